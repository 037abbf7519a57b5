import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { readModelHeader, textArtifacts } from "#lib/engines/model-file";
import type { Vocabulary } from "#lib/text/vocabulary";

const CONTROL = 3;

/** Writes a model's byte-pair vocabulary as the files that Python's transformers opens from a folder. */
export async function writeHfTokenizer(modelPath: string, folder: string): Promise<void> {
  const { vocabulary } = textArtifacts(await readModelHeader(modelPath));
  const named = (name: string) => {
    const id = vocabulary.ids.get(name);
    return id === undefined ? undefined : vocabulary.texts.text(id);
  };
  const settings = { tokenizer_class: "PreTrainedTokenizerFast", bos_token: named("bos"), eos_token: named("eos") };
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, "tokenizer.json"), JSON.stringify(tokenizerOf(vocabulary)));
  writeFileSync(path.join(folder, "tokenizer_config.json"), JSON.stringify(settings));
}

function tokenizerOf({ size, texts: all, types, merges }: Vocabulary) {
  const texts = Array.from({ length: size }, (_, id) => all.text(id));
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  return {
    version: "1.0",
    added_tokens: texts.flatMap((content, id) => (types[id] === CONTROL ? [{ id, content, ...plain }] : [])),
    pre_tokenizer: byteLevel,
    decoder: byteLevel,
    model: { type: "BPE", vocab: Object.fromEntries(texts.map((text, id) => [text, id])), merges: merges() },
  };
}
