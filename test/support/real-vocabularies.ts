import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fetchLlamaSources } from "./llama-sources.ts";

/** A text and the ids that it has, without the tokens around it. */
export interface EncodedText {
  readonly text: string;
  readonly ids: readonly number[];
}

/** A vocabulary of a real model, for the long tests: never committed. */
export interface RealVocabulary {
  /** Such as llama-bpe. */
  readonly name: string;
  /** The path of a GGUF file without tensors. */
  readonly path: string;
  /** What its model's own tokenizer makes of some texts; none where nobody wrote it down. */
  readonly encoded: () => readonly EncodedText[];
}

const PREFIX = "ggml-vocab-";
const BETWEEN_TEXTS = "\n__ggml_vocab_test__\n";

/** The vocabularies, by their names. Throws when they cannot be had or are not those that were pinned. */
export function fetchRealVocabularies(): readonly RealVocabulary[] {
  const folder = fetchLlamaSources("vocabularies");
  const files = readdirSync(folder).filter((file) => file.endsWith(".gguf"));
  return files.sort().map((file) => ({
    name: file.slice(PREFIX.length, -".gguf".length),
    path: path.join(folder, file),
    encoded: () => (existsSync(path.join(folder, `${file}.inp`)) ? readEncoded(path.join(folder, file)) : []),
  }));
}

/** Texts lie in one file, the ids of each on a line of another. */
function readEncoded(file: string): readonly EncodedText[] {
  const texts = readFileSync(`${file}.inp`, "utf8").split(BETWEEN_TEXTS);
  const lines = readFileSync(`${file}.out`, "utf8").split("\n").slice(0, -1);
  return lines.map((line, at) => ({ text: texts[at]!, ids: (line.match(/\d+/g) ?? []).map(Number) }));
}
