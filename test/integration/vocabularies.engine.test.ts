import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import { afterAll, describe, expect, it, test } from "vitest";
import { asStatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { tokenizerJson } from "#lib/text/byte-pair";
import { createSplitter } from "#lib/text/segment";
import type { Vocabulary } from "#lib/text/vocabulary";
import { createTextOpener } from "#services/frontend/tokenize/open-text";
import { specialTorture, TORTURE } from "../fixtures/text/torture.ts";
import { makeVocabulary } from "../fixtures/text/vocabulary.ts";
import { DEMO_MODEL, openNative } from "../support/engine-driver.ts";
import { fuzzTexts } from "../support/fuzz-texts.ts";
import { encodeWithHf } from "../support/hf-tokenizer.ts";
import { fetchRealVocabularies } from "../support/real-vocabularies.ts";
import { IS_LONG } from "../support/seeds.ts";
import { encoderModel, pieceVocabulary, unigramVocabulary } from "../support/tiny-models.ts";
import { differ, TwoEncoders } from "../support/two-encoders.ts";

const seed = BigInt(process.env.FUZZ_SEED ?? 1);
const bytes = Number(process.env.FUZZ_BYTES ?? (IS_LONG ? 10_000_000 : 200_000));
/** Python keeps more of a text than its ids. */
const hfBytes = Math.min(bytes, 2_000_000);
const native = openNative();
const timeout = IS_LONG ? 3_600_000 : 120_000;

/**
 * The library cuts text for these by a general search that goes one call deeper for each character of a run, and ends
 * the process where the stack does: at some 30,000. Runs that it is asked about are shorter.
 */
const RECURSE = ["aquila", "deepseek-coder", "deepseek-llm", "falcon", "gpt-neox"];
const LONGEST_RUN = 12_000;

/** Letters and digits that came with Unicode 16, which Hugging Face's library knows and the engine's does not. */
const NEWER =
  /[\u1c89-\u1c8a\ua7cb-\ua7cd\ua7da-\ua7dc\u{105c0}-\u{105f3}\u{10d40}-\u{10d85}\u{10ec2}-\u{10ec4}\u{11380}-\u{113d3}\u{116d0}-\u{116e3}\u{11bc0}-\u{11bf9}\u{13460}-\u{143fa}\u{16100}-\u{16139}\u{16d40}-\u{16d79}\u{18cff}\u{1ccf0}-\u{1ccf9}\u{1e5d0}-\u{1e5fa}]/gu;

function breakRuns(text: string): string {
  let broken = text.slice(0, LONGEST_RUN);
  for (let at = LONGEST_RUN; at < text.length; at += LONGEST_RUN) broken += ` a1.\n${text.slice(at, at + LONGEST_RUN)}`;
  return broken;
}

describe.skipIf(native.reason !== undefined)(
  `text is encoded as the engine does it (${native.reason ?? "built"})`,
  () => {
    const { addon, llama } = native as Extract<typeof native, { addon: unknown }>;
    const opener = createTextOpener({ addon, clock: systemClock, log: silentLog });
    afterAll(() => opener.close());
    const open = (name: string, file: string) => TwoEncoders.open(name, file, { llama, opener });

    async function compareMany(both: TwoEncoders): Promise<void> {
      both.compareTokens();
      const specials = both.specials.map(({ text }) => text);
      const recurses = RECURSE.includes(both.name);
      for (const text of [...TORTURE, ...specialTorture(specials.slice(0, 200))]) await both.compare(text);
      let count = 0;
      for (const { text, seed: own } of fuzzTexts({ pieces: both.theirs.pieceTable(), specials }, { seed, bytes })) {
        await both.compareRandomly(recurses ? breakRuns(text) : text, own);
        // Whoever runs the tests hears that they live.
        if (++count % 20 === 0) await setImmediate();
      }
    }

    /** Plain text between special tokens, beside Hugging Face's own encoding of it. */
    async function compareWithHf(both: TwoEncoders, tokenizer: object): Promise<void> {
      const { split } = createSplitter(both.specials);
      const specials = both.specials.map(({ text }) => text);
      const plain = new Set<string>();
      for (const { text } of fuzzTexts({ pieces: both.theirs.pieceTable(), specials }, { seed, bytes: hfBytes })) {
        const given = text.toWellFormed().replaceAll(NEWER, "");
        split(given, { plain: (start, end) => plain.add(given.slice(start, end)), special() {} });
      }
      const texts = [...plain];
      let at = 0;
      for (const ids of encodeWithHf(tokenizer, texts)) {
        const text = texts[at++]!;
        const ours = await both.plainIds(text);
        if (differ(ours, ids)) expect(ours, `${both.name}: ${JSON.stringify(text)}`).toEqual(ids);
      }
    }

    test.each([
      ["demo", () => readFileSync(DEMO_MODEL)],
      ["made for gpt-2", () => makeVocabulary({ pre: "gpt-2" })],
      ["made for llama-bpe", () => makeVocabulary({ pre: "llama-bpe", addBos: true })],
      ["made for qwen2", () => makeVocabulary({ pre: "qwen2" })],
      ["pieces", pieceVocabulary],
      ["unigrams", unigramVocabulary],
      ["words", encoderModel],
    ])("%s", { timeout }, async (name, make) => {
      const folder = mkdtempSync(path.join(tmpdir(), "stator-vocabularies-"));
      try {
        const file = path.join(folder, "v.gguf");
        writeFileSync(file, make());
        const both = await open(name, file);
        await compareMany(both);
        await both.close();
      } finally {
        rmSync(folder, { recursive: true });
      }
    });

    if (!IS_LONG) {
      it.skip("npm run test:long does it with the vocabularies of real models", () => {});
      return;
    }
    for (const { name, path: file, encoded } of fetchRealVocabularies()) {
      test(name, { timeout }, async () => {
        const both = await open(name, file);
        for (const { text, ids } of encoded()) expect([...(await both.plainIds(text))], text).toEqual(ids);
        await compareMany(both);
        const tokenizer = hfTokenizer(both.vocabulary);
        if (tokenizer) await compareWithHf(both, tokenizer);
        await both.close();
      });
    }
  },
);

/** The vocabulary as Hugging Face's library opens it; undefined where it cannot be written so. */
function hfTokenizer(vocabulary: Vocabulary): object | undefined {
  try {
    return tokenizerJson(vocabulary);
  } catch (error) {
    if (asStatorError(error).reason === "UNSUPPORTED_FEATURE") return undefined;
    throw error;
  }
}
