import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import type { SizedEngine } from "#lib/engines/engine";
import { putBlocks, takeBlocks } from "../support/move-blocks.ts";
import { type Answer, type Ask, EngineClient, reusable, sequenceHashes } from "./engine-rig.ts";

/** An engine that declares `batch`, and how much it is asked. */
export interface ExactnessRig {
  /** Opens it with room for `sequences`. */
  open(sequences: number): Promise<SizedEngine>;
  /** Token ids are below it. */
  readonly vocabularySize: number;
  readonly prompts: number;
  /** Longest prompt. */
  readonly promptTokens: number;
}

const ANSWER_TOKENS = 10;
const OTHERS = 7;

/** Bits of all that a caller can see of an answer, from one of its tokens on. */
function bitsOf({ tokens, chosen, top }: Answer, from = 0): string {
  const bits = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0]!.toString(16);
  const row = (at: number) => [
    tokens[at],
    bits(chosen[at]!),
    ...top[at]!.map((each) => `${each.token}:${bits(each.logprob)}`),
  ];
  return tokens
    .slice(from)
    .map((_, at) => row(from + at).join(" "))
    .join("\n");
}

/** Seven callers who ask for one thing after another, in other words each, until they are told to stop. */
class Others {
  #isOver = false;
  readonly #callers: Promise<void>[];

  constructor(ask: (caller: number, round: number) => Promise<Answer>) {
    this.#callers = Array.from({ length: OTHERS }, async (_, caller) => {
      for (let round = 0; !this.#isOver; round++) await ask(caller, round);
    });
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#callers);
  }
}

/**
 * The gate of exactness: a request has one answer, to the last bit of its log-probabilities, however it came about. Cold,
 * repeated, behind a prefix of another, after its blocks were evicted, behind blocks of another engine, and carried on
 * from the middle; each alone, and with seven others in its steps.
 */
export function exactnessGate(name: string, rig: ExactnessRig): void {
  describe(`exactness of ${name}`, () => {
    let client: EngineClient;
    let second: EngineClient;
    let salts = 0;
    const salt = () => `salt ${salts++}`;
    const chance = new SeededChance(7n);
    const tokensOf = (count: number) => Uint32Array.from({ length: count }, () => pick(chance, rig.vocabularySize));
    // Around the places where chunks end, and anywhere.
    const lengths = [1, 63, 64, 65, 127, 128, 129, 192];
    const prompts = Array.from({ length: rig.prompts }, (_, at) =>
      tokensOf(Math.min(rig.promptTokens, at < lengths.length ? lengths[at]! : 2 + pick(chance, rig.promptTokens - 2))),
    );
    const asks = prompts.map((prompt, at): Ask & { prompt: Uint32Array } => ({
      prompt,
      topLogprobs: 5,
      sampling: { temperature: at % 2, seed: BigInt(at) },
      stopping: { maxTokens: ANSWER_TOKENS, ignoreEos: true },
    }));
    const references: Answer[] = [];

    beforeAll(async () => {
      client = new EngineClient(await rig.open(OTHERS + 3));
      second = new EngineClient(await rig.open(OTHERS + 3));
      for (const ask of asks) references.push(await client.ask({ ...ask, cacheSalt: salt() }));
    }, 120_000);
    afterAll(() => Promise.all([client.engine.close(), second.engine.close()]));

    /** Another prompt that begins like this one. */
    const cousin = (prompt: Uint32Array) => Uint32Array.of(...prompt, ...tokensOf(9));
    const histories: Record<string, (ask: Ask & { prompt: Uint32Array }, at: number) => Promise<[Answer, number]>> = {
      cold: async (ask) => [await client.ask({ ...ask, cacheSalt: salt() }), 0],
      async repeated(ask) {
        const cacheSalt = salt();
        await client.ask({ ...ask, cacheSalt });
        return [await client.ask({ ...ask, cacheSalt }), 0];
      },
      async "behind a prefix of another"(ask) {
        const cacheSalt = salt();
        await client.ask({ ...ask, cacheSalt, prompt: cousin(ask.prompt) });
        return [await client.ask({ ...ask, cacheSalt }), 0];
      },
      async evicted(ask) {
        const cacheSalt = salt();
        await client.ask({ ...ask, cacheSalt });
        const flood = Array.from({ length: OTHERS + 3 }, () =>
          client.ask({ ...ask, cacheSalt: salt(), prompt: tokensOf(70) }),
        );
        await Promise.all(flood);
        return [await client.ask({ ...ask, cacheSalt }), 0];
      },
      async imported(ask) {
        const { blockTokens } = client.engine.card;
        await client.ask(ask);
        const kept = reusable(client, ask.prompt.length - 1) / blockTokens;
        const taken = await takeBlocks(client.engine, sequenceHashes(ask.prompt, blockTokens).slice(0, kept));
        await putBlocks(second.engine.blocks!, ask.prompt, taken);
        return [await second.ask(ask), 0];
      },
      async "carried on"(ask, at) {
        const from = 1 + (at % (ANSWER_TOKENS - 1));
        const generatedTokens = Uint32Array.from(references[at]!.tokens.slice(0, from));
        return [await client.ask({ ...ask, cacheSalt: salt(), generatedTokens }), from];
      },
    };

    const check = async () => {
      for (const [history, run] of Object.entries(histories)) {
        for (const [at, ask] of asks.entries()) {
          const [answer, from] = await run(ask, at);
          const where = `prompt ${at} of ${ask.prompt.length} tokens, ${history}`;
          expect(bitsOf(answer), where).toBe(bitsOf(references[at]!, from));
        }
      }
      expect(client.failures.concat(second.failures)).toEqual([]);
    };

    it("declares it", () => {
      expect(client.engine.card.deterministic).toBe("batch");
      expect(references.every(({ tokens, top }) => tokens.length === ANSWER_TOKENS && top[0]?.length === 5)).toBe(true);
    });

    it("gives the same bits alone, whatever ran before", check, 300_000);

    it("gives the same bits with seven others in its steps", async () => {
      const stopping = { maxTokens: 24, ignoreEos: true };
      const rest = { stopping, sampling: { temperature: 1 }, topLogprobs: 1 };
      const others = new Others((caller, round) => {
        const at = (round * OTHERS + caller) % rig.promptTokens;
        return client.ask({ ...rest, prompt: tokensOf(1 + at), cacheSalt: `other ${caller} ${round % 3}` });
      });
      try {
        await check();
      } finally {
        await others.stop();
      }
    }, 3_600_000);
  });
}
