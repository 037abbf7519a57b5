import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";
import { i32sField, stringField, stringsField, writeGguf } from "./gguf-write.ts";

const TOKENS = 131_072;
/** The strings of so many tokens take 12 MB, and maps of them as much again. */
const HEAP_MB = 16;

/** A vocabulary of many tokens; its merges are not used here. */
function largeVocabulary(): Uint8Array {
  const tokens = Array.from({ length: TOKENS }, (_, id) => `Ġtoken${id.toString(36)}`);
  return writeGguf([
    stringField("general.architecture", "llama"),
    stringField("tokenizer.ggml.model", "gpt2"),
    stringField("tokenizer.ggml.pre", "llama-bpe"),
    stringsField("tokenizer.ggml.tokens", tokens),
    i32sField("tokenizer.ggml.token_type", new Array<number>(TOKENS).fill(1)),
    stringsField("tokenizer.ggml.merges", ["a b"]),
  ]);
}

const PROGRAM = `
const { parentPort, workerData } = require("node:worker_threads");
(async () => {
  const { checkVocabulary } = await import(workerData.vocabulary);
  const { createTokenizer } = await import(workerData.tokenizer);
  const vocabulary = checkVocabulary(workerData.bytes);
  const tokenizer = createTokenizer(vocabulary, { encoder: { encode: () => new Uint32Array() } });
  parentPort.postMessage([tokenizer.size, Buffer.from(tokenizer.pieceBytes(40)).toString(), vocabulary.texts.find("Ġtoken14")]);
})();`;

it("a vocabulary of 128,000 tokens is opened in a heap that could not hold its strings", async () => {
  const file = (name: string) => new URL(name, import.meta.url).href;
  const workerData = {
    vocabulary: file("./vocabulary.ts"),
    tokenizer: file("./tokenizer.ts"),
    bytes: largeVocabulary(),
  };
  const worker = new Worker(PROGRAM, {
    eval: true,
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: 4 },
  });
  const [answer] = (await once(worker, "message")) as [unknown];
  expect(answer).toEqual([TOKENS, " token14", 40]);
  await worker.terminate();
});
