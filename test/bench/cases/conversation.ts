// The 40th turn of a chat: rendering, encoding and hashing a prompt of 60k tokens of which 500 are new, against a new prompt
// of 1k tokens through the same functions, as ratios of CPU time in one run. No text is there twice, and each
// request brings strings of its own, as one that was parsed does.
//   node test/bench/cases/conversation.ts [NAME_PART]

import type { ModelText, TemplateMessage } from "#services/frontend/text/model-text";
import { cpuUs, median, runCases, volume } from "../harness.ts";
import {
  BlockHashes,
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
/** Short conversations before: a server has answered many when a long one comes. */
const WARM_ROUNDS = volume(2000, 3);
const ROUNDS = volume(120, 3);

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

/** A model's texts, and who hashes the blocks of its prompts. */
interface Opened {
  readonly text: ModelText;
  readonly hashes: BlockHashes;
}

async function open(model: TextModel, template: string): Promise<Opened> {
  return { text: await openModelText(model, template), hashes: new BlockHashes(model) };
}

/** Each request brings strings of its own. */
function received(messages: readonly TemplateMessage[]): TemplateMessage[] {
  return JSON.parse(JSON.stringify(messages));
}

async function make({ text, hashes }: Opened, given: readonly TemplateMessage[]): Promise<Made> {
  const messages = received(given);
  const before = cpuUs();
  const ids = await text.encodePrompt(text.renderChat({ messages }));
  hashes.of(ids);
  return { ids, us: cpuUs() - before };
}

/** What is remembered must change nothing. */
async function checkSame(
  model: TextModel,
  template: string,
  { messages, ids }: { messages: TemplateMessage[]; ids: Uint32Array },
) {
  const anew = await open(model, template);
  const { ids: expected } = await make(anew, messages);
  await anew.text.close();
  if (ids.join() !== expected.join()) throw new Error("a prompt whose beginning is known has other tokens");
}

async function run(template: string): Promise<object> {
  const model = realModel("152k");
  if (typeof model === "string") return { skipped: model };
  const writer = await MessageWriter.of(model);
  const opened = await open(model, template);
  const [turns, fresh]: [Made[], Made[]] = [[], []];
  for (let round = 0; round < WARM_ROUNDS; round++) {
    await make(opened, writer.before(4, 300));
  }
  for (let round = 0; round < ROUNDS; round++) {
    const known = writer.before(TURNS, ALL_TOKENS - NEW_TOKENS);
    await make(opened, known);
    const messages = [...known, writer.message("assistant", NEW_TOKENS / 2), writer.message("user", NEW_TOKENS / 2)];
    const other = [writer.message("user", FRESH_TOKENS)];
    const steps = [
      async () => turns.push(await make(opened, messages)),
      async () => fresh.push(await make(opened, other)),
    ];
    for (const step of round % 2 === 0 ? steps : steps.reverse()) await step();
    if (round === 0) await checkSame(model, template, { messages, ids: turns[0]!.ids });
  }
  await opened.text.close();
  const [turnUs, freshUs] = [turns, fresh].map((each) => median(each.map(({ us }) => us)));
  const [turnTokens, freshTokens] = [turns, fresh].map((each) => median(each.map(({ ids }) => ids.length)));
  return { ratio: turnUs! / freshUs!, turnUs, freshUs, turnTokens, freshTokens };
}

await runCases({
  "conversation/turn-40/marks": () => run(MARKS_TEMPLATE),
  "conversation/turn-40/plain": () => run(PLAIN_TEMPLATE),
});
