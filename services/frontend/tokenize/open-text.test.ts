import { readFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { asStatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { parseGgufHeader } from "#lib/text/gguf";
import { TEMPLATE_LIMITS } from "#lib/text/template";
import { chatTemplateOf, extractVocabulary, VOCABULARY_FORMAT } from "#lib/text/vocabulary";
import { makeVocabulary } from "../../../test/fixtures/text/vocabulary.ts";
import { unigramVocabulary } from "../../../test/support/tiny-models.ts";
import { createTextOpener } from "./open-text.ts";
import { ThreadPool } from "./thread-pool.ts";

const header = parseGgufHeader(readFileSync(new URL("../../../models/stator-demo-q8_0.gguf", import.meta.url)), "demo");
const tokenizer = extractVocabulary(header);
const artifacts = { tokenizer, tokenizerFormat: VOCABULARY_FORMAT, template: chatTemplateOf(header) };
const long = "Disaggregated serving splits a request into two phases. ".repeat(60);

async function reasonOf(call: () => unknown): Promise<string> {
  try {
    await call();
    return "nothing thrown";
  } catch (error) {
    return asStatorError(error).reason;
  }
}

describe("the text of a model, in JavaScript", () => {
  const opener = createTextOpener({ addon: undefined, clock: systemClock, log: silentLog });
  afterAll(() => opener.close());

  test("short text is encoded at once, long text in a thread, with equal results", async () => {
    const text = await opener.open(artifacts);
    const short = text.encodePrompt({ text: "<|im_start|>user\nHi<|im_end|>\n", content: [] });
    expect(short).toBeInstanceOf(Uint32Array);
    const far = text.encodePrompt({ text: long, content: [] });
    expect(far).toBeInstanceOf(Promise);
    const tokens = await far;
    const decoder = text.createDecoder();
    expect(decoder.push(tokens) + decoder.end()).toBe(long);
    // What the thread found is known now.
    expect(text.encodePrompt({ text: long, content: [] })).toEqual(tokens);
    expect(text.encodeText(`${long}<|im_end|>`)).toEqual(Uint32Array.of(...tokens, 2042));
    expect(text.vocabularySize).toBe(2048);
    expect(new TextDecoder().decode(text.piece(2042))).toBe("<|im_end|>");
    await text.close();
  });

  test("renders conversations, and says why it cannot", async () => {
    const text = await opener.open(artifacts);
    expect(text.renderChat({ messages: [{ role: "user", content: "Hi" }] }).text).toBe(
      "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    );
    const without = await opener.open({ ...artifacts, template: undefined });
    expect(await reasonOf(() => without.renderChat({ messages: [] }))).toBe("UNSUPPORTED_FEATURE");
    const broken = await opener.open({ ...artifacts, template: "{% if %}" });
    expect(await reasonOf(() => broken.renderChat({ messages: [] }))).toBe("INVALID_TEMPLATE");
    expect(broken.encodeText("works still")).toBeInstanceOf(Uint32Array);
  });

  test("what is spelled like a control token in a message is text, unless the model says that it is one", async () => {
    const ends = async (more: object) => {
      const text = await opener.open({ ...artifacts, ...more });
      const tokens = await text.encodePrompt(text.renderChat({ messages: [{ role: "user", content: "a<|im_end|>" }] }));
      await text.close();
      return tokens.filter((token) => token === 2042).length;
    };
    expect(await ends({})).toBe(1);
    expect(await ends({ markersInContent: false })).toBe(1);
    expect(await ends({ markersInContent: true })).toBe(2);
  });

  test("refuses tokenizers that it cannot use", async () => {
    const open = (changed: Partial<typeof artifacts>) => reasonOf(() => opener.open({ ...artifacts, ...changed }));
    expect(await open({ tokenizerFormat: "sentencepiece" })).toBe("UNSUPPORTED_FEATURE");
    expect(await open({ tokenizer: tokenizer.subarray(1) })).toBe("BAD_MODEL_FILE");
    expect(await open({ tokenizer: tokenizer.subarray(0, 4000) })).toBe("BAD_MODEL_FILE");
    const strange = extractVocabulary(parseGgufHeader(makeVocabulary({ pre: "tekken", merges: 1 }), "m"));
    expect(await open({ tokenizer: strange })).toBe("UNSUPPORTED_FEATURE");
    const unigrams = extractVocabulary(parseGgufHeader(unigramVocabulary(), "m"));
    expect(await open({ tokenizer: unigrams })).toBe("UNSUPPORTED_FEATURE");
  });
});

describe("encoding threads", () => {
  test("take no more than the limit, and answer in any order of need", async () => {
    const pool = new ThreadPool({ threads: 2, queueLimit: 3, log: silentLog });
    const encoder = pool.open(tokenizer);
    expect(pool.running).toBe(0);
    const calls = [encoder.encode(["one", "two"]), encoder.encode(["three"]), encoder.encode([])];
    expect(await reasonOf(() => encoder.encode(["four"]))).toBe("OVERLOADED");
    const [first, second, third] = await Promise.all(calls);
    expect(first).toHaveLength(2);
    expect(second).toHaveLength(1);
    expect(third).toEqual([]);
    expect(pool.running).toBe(2);
    expect(await encoder.encode(["four"])).toHaveLength(1);
    await encoder.close();
    expect(await reasonOf(() => encoder.encode(["five"]))).toBe("DRAINING");
    await pool.close();
  });

  test("a vocabulary that cannot be opened fails its own calls alone", async () => {
    const pool = new ThreadPool({ threads: 1, queueLimit: 8, log: silentLog });
    expect(await reasonOf(() => pool.open(new Uint8Array(100)).encode(["x"]))).toBe("BAD_MODEL_FILE");
    expect(await pool.open(tokenizer).encode(["x"])).toHaveLength(1);
    const last = pool.open(tokenizer).encode(["y"]);
    const ended = reasonOf(() => last);
    await pool.close();
    expect(["DRAINING", "nothing thrown"]).toContain(await ended);
  });

  test("a rendering takes no more than it may, here and where long conversations are rendered", async () => {
    const limits = { ...TEMPLATE_LIMITS, mostSteps: 1000 };
    const limited = createTextOpener({ addon: undefined, clock: systemClock, log: silentLog, templateLimits: limits });
    const text = await limited.open({ ...artifacts, template: "{% for i in range(2000) %}{% endfor %}" });
    expect(await reasonOf(() => text.renderChat({ messages: [] }))).toBe("INVALID_TEMPLATE");
    expect(text.template()).toMatchObject({ limits });
    expect([text.readsVariable("range"), text.readsVariable("tools")]).toEqual([true, false]);
    await text.close();
    await limited.close();
  });
});
