// The 40th turn of a chat: rendering, encoding and hashing a prompt of 60k tokens of which 500 are new, against a new prompt
// of 1k tokens through the same functions, as ratios of CPU time in one run. No text is there twice.
//   node test/bench/cases/conversation.ts [NAME_PART]
import type { ModelText, TemplateMessage } from "#services/frontend/text/model-text";
import { cpuUs, median, runCases, volume } from "../harness.ts";
import {
  hashesOf,
  MARKS_TEMPLATE,
  openFrontendEncoder,
  openModelText,
  PLAIN_TEMPLATE,
  realModel,
  type TextModel,
} from "../models.ts";
import { NaturalWriter } from "../natural-text.ts";

const TURNS = volume(40, 5);
const ALL_TOKENS = volume(60_000, 3000);
const NEW_TOKENS = 500;
const FRESH_TOKENS = 1000;
const ROUNDS = volume(30, 3);

/** Writes messages of about so many tokens. */
class MessageWriter {
  readonly #writer = new NaturalWriter("prose", Date.now());
  readonly #unitsPerToken: number;

  private constructor(unitsPerToken: number) {
    this.#unitsPerToken = unitsPerToken;
  }

  /** Learns how long a token is. */
  static async of(model: TextModel): Promise<MessageWriter> {
    const sample = new NaturalWriter("prose", 1).units(100_000);
    const encoder = await openFrontendEncoder(model);
    const { length } = await encoder.encode(sample, { chat: false });
    await encoder.close();
    return new MessageWriter(sample.length / length);
  }

  message(role: string, tokens: number): TemplateMessage {
    return { role, content: this.#writer.units(Math.round(tokens * this.#unitsPerToken)) };
  }

  /** The prompt of the turn before the last: `turns - 1` questions and the answers between them. */
  before(turns: number, tokens: number): TemplateMessage[] {
    const count = 2 * turns - 3;
    return Array.from({ length: count }, (_, at) => this.message(at % 2 === 0 ? "user" : "assistant", tokens / count));
  }
}

/** What a prompt becomes, and the CPU time in microseconds. */
interface Made {
  readonly ids: Uint32Array;
  readonly us: number;
}

async function make({ addon }: TextModel, text: ModelText, messages: readonly TemplateMessage[]): Promise<Made> {
  const before = cpuUs();
  const ids = await text.encodePrompt(text.renderChat({ messages }));
  hashesOf(addon, ids);
  return { ids, us: cpuUs() - before };
}

/** What is remembered must change nothing. */
async function checkSame(
  model: TextModel,
  template: string,
  { messages, ids }: Made & { messages: TemplateMessage[] },
) {
  const anew = await openModelText(model, template);
  const { ids: expected } = await make(model, anew, messages);
  await anew.close();
  if (ids.join() !== expected.join()) throw new Error("a prompt whose beginning is known has other tokens");
}

async function run(template: string): Promise<object> {
  const model = realModel("152k");
  if (typeof model === "string") return { skipped: model };
  const writer = await MessageWriter.of(model);
  const text = await openModelText(model, template);
  const [turns, fresh]: [Made[], Made[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    const known = writer.before(TURNS, ALL_TOKENS - NEW_TOKENS);
    await make(model, text, known);
    const messages = [...known, writer.message("assistant", NEW_TOKENS / 2), writer.message("user", NEW_TOKENS / 2)];
    const other = [writer.message("user", FRESH_TOKENS)];
    const steps = [
      async () => turns.push(await make(model, text, messages)),
      async () => fresh.push(await make(model, text, other)),
    ];
    for (const step of round % 2 === 0 ? steps : steps.reverse()) await step();
    if (round === 0) await checkSame(model, template, { ...turns[0]!, messages });
  }
  await text.close();
  const [turnUs, freshUs] = [turns, fresh].map((each) => median(each.map(({ us }) => us)));
  const [turnTokens, freshTokens] = [turns, fresh].map((each) => median(each.map(({ ids }) => ids.length)));
  return { ratio: turnUs! / freshUs!, turnUs, freshUs, turnTokens, freshTokens };
}

await runCases({
  "conversation/turn-40/marks": () => run(MARKS_TEMPLATE),
  "conversation/turn-40/plain": () => run(PLAIN_TEMPLATE),
});
