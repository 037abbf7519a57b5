import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { type RandomFormat, randomModel } from "./random-model.ts";
import { type VocabularyName, vocabularyModel } from "./vocabulary.ts";

/** Folder outside the tree for what benchmarks make once: models, and other commits with what was built of them. */
export function cacheFolder(): string {
  const base = process.env.XDG_CACHE_HOME || path.join(os.homedir(), ".cache");
  const folder = path.join(base, "stator-bench");
  mkdirSync(folder, { recursive: true });
  return folder;
}

const SOURCES = ["text.ts", "vocabulary.ts", "random-model.ts"];

/** A file made when it is first asked for, and again after a change of what makes it. Returns its path. */
function madeFile(name: string, make: () => Uint8Array): string {
  const hash = createHash("sha256");
  for (const source of SOURCES) hash.update(readFileSync(path.join(import.meta.dirname, source)));
  const file = path.join(cacheFolder(), `${name}-${hash.digest("hex").slice(0, 12)}.gguf`);
  if (existsSync(file)) return file;
  // Under another name first: who comes meanwhile must not read half a file.
  const half = `${file}.${process.pid}`;
  writeFileSync(half, make());
  renameSync(half, file);
  return file;
}

/** Path of a model file that has such a vocabulary and no weights. */
export function vocabularyFile(name: VocabularyName): string {
  return madeFile(`vocabulary-${name}`, () => vocabularyModel(name));
}

/** Path of a model with random weights. */
export function randomModelFile(format: RandomFormat): string {
  return madeFile(`random-${format}`, () => randomModel(format));
}
