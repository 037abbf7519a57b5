import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import type { SizedEngine } from "#lib/engines/engine";
import { aggregated, askAll, differences, type GateAnswer, type Way } from "../support/gate/answers.ts";
import type { GateAsk } from "../support/gate/asks.ts";
import { handedOver, newTally } from "../support/gate/hand-over.ts";
import { EngineClient } from "./engine-rig.ts";

/** An engine whose answers depend on nothing but the request, and what it is asked. */
export interface TransferRig {
  /** Opens it with room for all that is asked at once. */
  open(): Promise<SizedEngine>;
  /** Opens it with so little room that blocks are evicted. */
  openSmall(): Promise<SizedEngine>;
  readonly asks: readonly GateAsk[];
  /** Requests at once. */
  readonly width: number;
  /** A damaged byte that is not checked changes the answer, whichever it is. */
  readonly everyByteTells: boolean;
}

/** A prime: multiples of it fall everywhere. */
const SPREAD = 7919;

/**
 * The gate of hand-overs within one process: an answer is the same, to the last bit of its log-probabilities, whether one
 * engine computes all of it or another goes on from the first one's blocks, after any number of tokens, while blocks are
 * evicted on both sides. A byte that is changed on the way is found, and where nobody looks for it the gate finds it.
 */
export function transferGate(name: string, rig: TransferRig): void {
  describe(`hand-overs of ${name}`, { timeout: 600_000 }, () => {
    const { asks, width } = rig;
    const clients: EngineClient[] = [];
    const open = async (engine: Promise<SizedEngine>) => {
      const client = new EngineClient(await engine);
      clients.push(client);
      return client;
    };
    let from: EngineClient;
    let to: EngineClient;
    let wanted: GateAnswer[];
    beforeAll(async () => {
      [from, to] = [await open(rig.openSmall()), await open(rig.openSmall())];
      const alone = await open(rig.open());
      await Promise.all(clients.map(prepare));
      wanted = await askAll(asks, 1, aggregated(alone));
      await alone.engine.close();
    });
    afterAll(() => Promise.all([from, to].map(({ engine }) => engine.close())));

    const same = async (way: Way) => {
      const wrong = differences(await askAll(asks, width, way), wanted);
      expect(wrong.slice(0, 3).map((at) => ({ at, ask: asks[at] }))).toEqual([]);
      expect(clients.flatMap(({ failures }) => failures)).toEqual([]);
    };
    const evictions = ({ notices }: EngineClient) => notices.filter(({ kind }) => kind === "removed").length;

    it("asks something", () => {
      const ends = new Set(wanted.map(({ end }) => end));
      expect([...ends]).toEqual(expect.arrayContaining(["length"]));
      expect(wanted.filter(({ tokens }) => tokens.length > 1).length).toBeGreaterThan(asks.length / 3);
    });

    it("one engine answers all the same when it has little room", () => same(aggregated(to)));

    it("another engine goes on behind the first token", async () => {
      const tally = newTally();
      await same(handedOver({ from, to }, tally));
      expect(tally.blocks).toBeGreaterThan(tally.handOvers);
      expect(tally.reusedTokens).toBeGreaterThan(0.5 * tally.blocks * to.engine.card.blockTokens);
      expect(tally.withoutRoom).toBeLessThan(tally.handOvers / 2);
      expect(tally.damaged).toBe(0);
      expect([evictions(from), evictions(to)].every((count) => count > 0)).toBe(true);
      for (const client of [from, to]) await expectNothingHeld(client);
    });

    it("another engine goes on behind any token", async () => {
      const chance = new SeededChance(3n);
      const places = asks.map(() => 1 + pick(chance, 8));
      await same(handedOver({ from: to, to: from, firstTokens: (at) => places[at]! }, newTally()));
    });

    /** Changes one byte of one block of each, anywhere: an odd one, which has the sign and the exponent of halves. */
    const meddle = (payloads: Uint8Array[], at: number) => {
      const bytes = payloads[at % Math.max(1, payloads.length)];
      if (bytes) bytes[(((at + 1) * SPREAD) % (bytes.length / 2)) * 2 + 1]! ^= 0x55;
    };

    it("a flipped byte is found, and what is behind it computed", async () => {
      const tally = newTally();
      await same(handedOver({ from, to, meddle }, tally));
      expect(tally.damaged).toBeGreaterThan(tally.handOvers / 4);
    });

    it("a flipped byte that nobody looks for is a wrong answer", async () => {
      const fresh = await open(rig.open());
      await prepare(fresh);
      const spoiled: number[] = [];
      const note = (payloads: Uint8Array[], at: number) => {
        if (payloads.length > 0) spoiled.push(at);
        meddle(payloads, at);
      };
      const apart = asks.map((ask, at) => ({ ...ask, cacheSalt: `own ${at}` }));
      const answers = await askAll(
        apart,
        width,
        handedOver({ from, to: fresh, meddle: note, checks: false }, newTally()),
      );
      await fresh.engine.close();
      const wrong = new Set(differences(answers, wanted));
      const found = spoiled.filter((at) => wrong.has(at)).length;
      expect(spoiled.length).toBeGreaterThan(asks.length / 8);
      if (rig.everyByteTells) expect(found).toBeGreaterThan(spoiled.length * 0.9);
      else expect(found).toBeGreaterThan(spoiled.length / 4);
      expect([...wrong].filter((at) => !spoiled.includes(at))).toEqual([]);
    });

    async function expectNothingHeld(client: EngineClient): Promise<void> {
      expect(client.engine.cache!.clear().kept).toBe(0);
      await client.ask({ prompt: Uint32Array.of(1), stopping: { maxTokens: 1 } });
      expect(client.metrics.at(-1)!.usedBlocks).toBe(0);
    }

    async function prepare({ engine }: EngineClient): Promise<void> {
      const names = new Set(asks.flatMap(({ adapter }) => adapter ?? []));
      for (const adapter of names) await engine.adapters!.load(adapter, adapter);
    }
  });
}
