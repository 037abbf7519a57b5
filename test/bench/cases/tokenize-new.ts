// Encoding text that nobody has seen, in pieces of 100 kB: ours against the encoders of PyPI, as ratios of CPU time in one
// run, with equal ids. Cold: each piece is the first of an encoder. Warm: an encoder has read a megabyte of other text of
// the kind before.
//   node test/bench/cases/tokenize-new.ts [NAME_PART]
import { frameOf } from "#lib/text/tokenizer";
import type { Vocabulary } from "#lib/text/vocabulary";
import type { PromptEncoder } from "#services/frontend/tokenize/encoder";
import {
  ENCODER_LIBRARIES,
  type Encoded,
  type Encoder,
  installEncoders,
  LibraryEncoder,
  libraryTokenizer,
} from "../encoders.ts";
import { cpuUs, median, runCases, volume } from "../harness.ts";
import { openFrontendEncoder, type RealVocabularySize, realModel, type TextModel } from "../models.ts";
import { NaturalWriter, type TextKind } from "../natural-text.ts";

const PIECE_BYTES = volume(100_000, 10_000);
const COLD_PIECES = volume(5, 1);
/** Read before what is measured. */
const WARMING_PIECES = volume(10, 1);
const WARM_PIECES = volume(15, 2);

/** The encoder that the frontend uses, without the tokens around a text. */
class OurEncoder implements Encoder {
  readonly #model: TextModel;
  #encoder: PromptEncoder | undefined;

  constructor(model: TextModel) {
    this.#model = model;
  }

  async open(): Promise<void> {
    await this.close();
    this.#encoder = await openFrontendEncoder(this.#model);
  }

  async encode(text: string): Promise<Encoded> {
    const before = cpuUs();
    const ids = await this.#encoder!.encode(text, { chat: false });
    const us = cpuUs() - before;
    return { us, ids: withoutFrame(ids, this.#model.vocabulary) };
  }

  async close(): Promise<void> {
    await this.#encoder?.close();
  }
}

function withoutFrame(ids: Uint32Array, vocabulary: Vocabulary): Uint32Array {
  const { first, last } = frameOf(vocabulary);
  return ids.subarray(first === undefined ? 0 : 1, last === undefined ? ids.length : -1);
}

/** By side: CPU microseconds of each piece. */
type Times = ReadonlyMap<string, number[]>;

/** Another side begins each time. */
function inTurn<Side>(sides: readonly Side[], round: number): Side[] {
  return sides.map((_, at) => sides[(at + round) % sides.length]!);
}

/** Encodes one piece by each side; all must make the same of it. */
async function encodePiece(sides: ReadonlyMap<string, Encoder>, text: string, { round }: { round: number }) {
  const found = new Map<string, Encoded>();
  for (const [name, side] of inTurn([...sides], round)) found.set(name, await side.encode(text));
  const [ours] = [...sides.keys()].map((name) => found.get(name)!.ids);
  for (const [name, { ids }] of found) {
    const at = ids.findIndex((id, place) => id !== ours![place]);
    if (at >= 0 || ids.length !== ours!.length) throw new Error(`${name} disagrees with ours at token ${at}`);
  }
  return found;
}

function add(times: Times, found: ReadonlyMap<string, Encoded>): void {
  for (const [name, { us }] of found) times.get(name)!.push(us);
}

async function measure(
  sides: ReadonlyMap<string, Encoder>,
  writer: NaturalWriter,
): Promise<{ cold: Times; warm: Times }> {
  const noTimes = (): Times => new Map([...sides.keys()].map((name) => [name, []]));
  const [cold, warm] = [noTimes(), noTimes()];
  const begin = async () => {
    for (const side of sides.values()) await side.open();
    // What is made ready by the first call of all is no part of any text.
    await encodePiece(sides, "A", { round: 0 });
  };
  for (let round = 0; round < COLD_PIECES; round++) {
    await begin();
    add(cold, await encodePiece(sides, writer.bytes(PIECE_BYTES), { round }));
  }
  await begin();
  for (let round = 0; round < WARMING_PIECES + WARM_PIECES; round++) {
    const found = await encodePiece(sides, writer.bytes(PIECE_BYTES), { round });
    if (round >= WARMING_PIECES) add(warm, found);
  }
  return { cold, warm };
}

/** How often ours goes into each library's, by figure. */
function ratiosOf(times: Times, figure: "Cold" | "Warm"): Record<string, number> {
  const ours = median(times.get("ours")!);
  return Object.fromEntries(ENCODER_LIBRARIES.map((name) => [name + figure, median(times.get(name)!) / ours]));
}

async function run(size: RealVocabularySize, kind: TextKind): Promise<object> {
  const model = realModel(size);
  if (typeof model === "string") return { skipped: model };
  let site: string;
  try {
    site = installEncoders();
  } catch (error) {
    return {
      skipped: `the encoders of PyPI cannot be had: ${error instanceof Error ? error.message.split("\n")[0] : error}`,
    };
  }
  const sides = new Map<string, Encoder>([["ours", new OurEncoder(model)]]);
  try {
    const tokenizer = libraryTokenizer(model.vocabulary);
    for (const name of ENCODER_LIBRARIES) sides.set(name, new LibraryEncoder(name, tokenizer, site));
    const { cold, warm } = await measure(sides, new NaturalWriter(kind, Date.now()));
    return { ...ratiosOf(cold, "Cold"), ...ratiosOf(warm, "Warm"), oursWarmUs: median(warm.get("ours")!) };
  } finally {
    for (const side of sides.values()) await side.close();
  }
}

await runCases({
  "tokenize/new/128k-prose": () => run("128k", "prose"),
  "tokenize/new/128k-code": () => run("128k", "code"),
  "tokenize/new/128k-chinese": () => run("128k", "chinese"),
  "tokenize/new/128k-mixed": () => run("128k", "mixed"),
  "tokenize/new/152k-prose": () => run("152k", "prose"),
  "tokenize/new/152k-code": () => run("152k", "code"),
  "tokenize/new/152k-chinese": () => run("152k", "chinese"),
  "tokenize/new/152k-mixed": () => run("152k", "mixed"),
  "tokenize/new/32k-scored-prose": () => run("32k-scored", "prose"),
  "tokenize/new/32k-scored-code": () => run("32k-scored", "code"),
  "tokenize/new/32k-scored-chinese": () => run("32k-scored", "chinese"),
  "tokenize/new/32k-scored-mixed": () => run("32k-scored", "mixed"),
});
