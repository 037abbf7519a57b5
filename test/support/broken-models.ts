import { windowModel } from "./tiny-models.ts";

/** A model file that nobody can use, and what the sentence about it has to say. */
export interface BrokenModel {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly says: RegExp;
  /** Only who loads it finds out. */
  readonly inside?: true;
}

const CUTS = 40;

/** A whole model with one thing written over. */
function edited(whole: Buffer, edit: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(whole);
  edit(copy);
  return copy;
}

/** The byte behind a key, where its type stands. */
function behind(whole: Buffer, key: string): number {
  const at = whole.indexOf(key);
  if (at < 0) throw new Error(`The model has no ${key}.`);
  return at + key.length;
}

/** Another text of the same length in the place of one. */
function renamed(whole: Buffer, from: string, to: string): Buffer {
  if (from.length !== to.length) throw new Error(`${to} is not as long as ${from}.`);
  return Buffer.from(whole.toString("latin1").replaceAll(from, to), "latin1");
}

/** The same model cut at places that are spread over all of it: half of them within its header. */
export function cutModels(): BrokenModel[] {
  const whole = windowModel();
  const header = behind(whole, "output_norm.weight");
  const half = CUTS / 2;
  // Not within the last padding, which nobody misses.
  const rest = whole.length - 64 - header;
  const cutAt = (each: number): number =>
    Math.floor(each < half ? (header * each) / half : header + (rest * (each - half)) / (half - 1));
  return Array.from({ length: CUTS }, (_, each) => ({
    name: `cut-at-${cutAt(each)}`,
    bytes: whole.subarray(0, cutAt(each)),
    says: /middle of its header|beyond the end of the file/,
  }));
}

/** One of each other kind of broken model. */
export function brokenModels(): BrokenModel[] {
  const whole = windowModel();
  const tensor = behind(whole, "token_embd.weight");
  const merges = "tokenizer.ggml.merges";
  return [
    { name: "other-magic", bytes: edited(whole, (copy) => copy.write("PK\u0003\u0004", 0)), says: /not a GGUF file/ },
    { name: "version", bytes: edited(whole, (copy) => copy.writeUInt32LE(77, 4)), says: /version is 77/ },
    { name: "big-endian", bytes: edited(whole, (copy) => copy.writeUInt32BE(3, 4)), says: /big-endian/ },
    { name: "tensors", bytes: edited(whole, (copy) => copy.writeBigUInt64LE(1n << 60n, 8)), says: /tensors/ },
    { name: "keys", bytes: edited(whole, (copy) => copy.writeUInt32LE(0xffff_ffff, 16)), says: /keys/ },
    {
      name: "tokens",
      bytes: edited(whole, (copy) => copy.writeUInt32LE(0xffff_ffff, behind(whole, "tokenizer.ggml.tokens") + 8)),
      says: /values for tokenizer\.ggml\.tokens/,
    },
    {
      name: "dimensions",
      bytes: edited(whole, (copy) => copy.writeUInt32LE(0xffff_ffff, tensor)),
      says: /token_embd\.weight has 4294967295 dimensions/,
    },
    {
      name: "large-tensor",
      bytes: edited(whole, (copy) => copy.writeBigUInt64LE(1n << 62n, tensor + 4)),
      says: /token_embd\.weight ends beyond the end/,
    },
    {
      name: "far-tensor",
      bytes: edited(whole, (copy) => copy.writeBigUInt64LE(BigInt(whole.length), tensor + 24)),
      says: /token_embd\.weight ends beyond the end/,
    },
    { name: "architecture", bytes: renamed(whole, "gemma3", "gamma9"), says: /gamma9/, inside: true },
    {
      name: "nameless",
      bytes: renamed(whole, "general.architecture", "general.architectura"),
      says: /names no architecture/,
    },
    { name: "merges", bytes: renamed(whole, merges, "tokenizer.ggml.nerges"), says: /no merges/ },
    {
      name: "vocabulary",
      bytes: renamed(whole, "tokenizer.ggml.tokens", "tokenizer.ggml.tokenz"),
      says: /no vocabulary/,
    },
    {
      name: "tokenizer",
      bytes: edited(whole, (copy) => copy.write("gptX", behind(whole, "tokenizer.ggml.model") + 12)),
      says: /tokenizer of the kind gptX/,
    },
    {
      name: "twice",
      bytes: edited(whole, (copy) => copy.write("t8", whole.indexOf("t9"))),
      says: /token 9 twice/,
      inside: true,
    },
    { name: "text", bytes: Buffer.from("# A file\n".repeat(200)), says: /not a GGUF file/ },
  ];
}
