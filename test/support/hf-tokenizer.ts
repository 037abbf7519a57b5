import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { readModelHeader, textArtifacts } from "#lib/engines/model-file";
import type { Vocabulary } from "#lib/text/vocabulary";
import { cachedFolder, python } from "./packages.ts";

const CONTROL = 3;
const LIBRARY = "tokenizers==0.23.3";

/** Writes the number of ids of each text, and then all ids, as 32-bit numbers. */
const ENCODE = `
import array, json, sys
from tokenizers import Tokenizer
tokenizer, texts, answers = sys.argv[1:]
encode = Tokenizer.from_file(tokenizer).encode
ids = [encode(text, add_special_tokens=False).ids for text in json.load(open(texts, encoding="utf8"))]
with open(answers, "wb") as out:
    array.array("I", [len(each) for each in ids]).tofile(out)
    for each in ids:
        array.array("I", each).tofile(out)
`;

/** What Hugging Face's tokenizers makes of texts, by a tokenizer.json. It is installed beside, once. */
export function encodeWithHf(tokenizer: object, texts: readonly string[]): readonly Uint32Array[] {
  const library = cachedFolder(LIBRARY.replace("==", "-"), (to) =>
    python("-m", "pip", "install", "--quiet", "--no-deps", "--target", to, LIBRARY),
  );
  const scratch = mkdtempSync(path.join(tmpdir(), "stator-encode-"));
  const files = ["tokenizer.json", "texts.json", "answers"].map((name) => path.join(scratch, name));
  try {
    writeFileSync(files[0]!, JSON.stringify(tokenizer));
    writeFileSync(files[1]!, JSON.stringify(texts));
    const env = { ...process.env, PYTHONPATH: library };
    execFileSync("python3", ["-c", ENCODE, ...files], { stdio: "pipe", timeout: 900_000, env });
    const answers = readFileSync(files[2]!);
    const numbers = new Uint32Array(answers.buffer, answers.byteOffset, answers.byteLength / 4);
    let end = texts.length;
    return texts.map((_, at) => {
      const start = end;
      end += numbers[at]!;
      return numbers.subarray(start, end);
    });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

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
