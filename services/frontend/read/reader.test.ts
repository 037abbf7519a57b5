import { afterEach, expect, test } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { silentLog } from "#lib/host/log";
import { compileGuidance } from "#lib/text/grammar/guidance";
import { TEMPLATE_LIMITS } from "#lib/text/template";
import { createByteText } from "../../../test/support/rehearsal/byte-text.ts";
import { reader as chat } from "../doors/chat/read.ts";
import { reader as completions } from "../doors/completions/read.ts";
import { reader as embeddings } from "../doors/embeddings/read.ts";
import type { RenderedPrompt } from "../text/model-text.ts";
import { BodyReader } from "./reader.ts";

const clock = new FakeClock();
const readers: BodyReader[] = [];
function reader(): BodyReader {
  const made = new BodyReader({ readers: [chat, completions, embeddings], clock, log: silentLog });
  readers.push(made);
  return made;
}
afterEach(async () => {
  for (const each of readers.splice(0)) await each.close();
});

/** A body as it may arrive: in chunks that part anywhere. */
function chunked(json: string, size = 10_007): Buffer[] {
  const bytes = Buffer.from(json);
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.subarray(at * size, (at + 1) * size));
}
const body = (fields: object): Buffer[] => chunked(JSON.stringify({ model: "m", ...fields }));
const pad = "x".repeat(70_000);
const schema = { type: "object", properties: { a: { type: "integer" } } };
const format = { type: "json_schema", json_schema: { name: "s", schema } };
const text = createByteText();
const asText = (prompt: string | Uint8Array) => (typeof prompt === "string" ? prompt : Buffer.from(prompt).toString());

test("a large chat request reads as a small one does, and its thread keeps what is large", async () => {
  const door = reader();
  const messages = [{ role: "user", content: "häj" }];
  const fields = { messages, temperature: 0.5, response_format: format, store: true };
  const small = await door.read(chat, body(fields));
  expect(door.running).toBe(false);
  const large = await door.read(chat, body({ ...fields, user: pad }));
  expect(door.running).toBe(true);
  const { ask } = small.asked;
  expect(large.asked).toEqual({
    ...small.asked,
    ask: { ...ask, input: { kind: "messages", messages: { messages: [] } } },
    ignored: ["store", "user"],
  });
  expect([ask.sampling.temperature, ask.guidance?.kind, small.asked.ignored]).toEqual([0.5, "jsonSchema", ["store"]]);
  expect(await large.conversation!.render(text)).toEqual(asOne(await small.conversation!.render(text)));
  large.close();
  await expect(large.conversation!.render(text), "forgotten").rejects.toMatchObject({ reason: "OVERLOADED" });
});

/** A prompt as a thread brings it: in one piece. */
function asOne({ text, content }: RenderedPrompt): RenderedPrompt {
  return { text, content };
}

test("a body reads the same in however many chunks it came", async () => {
  const door = reader();
  const json = JSON.stringify({ model: "m", prompt: `${pad}ä` });
  for (const size of [1, 1000, 10_007, 200_000]) {
    const { input } = (await door.read(completions, chunked(json, size))).asked.ask;
    if (input.kind !== "text") throw new Error("it has a text");
    expect(input.texts.map(asText), `chunks of ${size}`).toEqual([`${pad}ä`]);
  }
});

test("many messages of a short body are rendered in the thread, to the same prompt", async () => {
  const door = reader();
  const messages = Array.from({ length: 300 }, (_, at) => ({ role: "user", content: `m${at}` }));
  const read = await door.read(chat, body({ messages }));
  expect(await read.conversation!.render(text)).toEqual(asOne(text.renderChat({ messages })));
  const limits = { ...TEMPLATE_LIMITS, mostSteps: 100 };
  const limited = { ...text, template: () => ({ ...text.template(), source: `${text.template().source} `, limits }) };
  await expect(read.conversation!.render(limited)).rejects.toMatchObject({ reason: "INVALID_TEMPLATE" });
  expect(door.running).toBe(true);
});

test("long variables of a short body are read in the thread, to the same prompt", async () => {
  const door = reader();
  const messages = [{ role: "user", content: "a" }];
  const read = await door.read(chat, body({ messages, chat_template_kwargs: { a: "x".repeat(10_000) } }));
  expect(door.running).toBe(false);
  expect(await read.conversation!.render(text)).toEqual(asOne(text.renderChat({ messages })));
  expect(door.running).toBe(true);
});

test("prompts come as texts, long ones as UTF-8, or as token ids", async () => {
  const door = reader();
  const { ask } = (await door.read(completions, body({ prompt: ["ä", pad], n: 2 }))).asked;
  expect([ask.model, ask.choicesPerPrompt]).toEqual(["m", 2]);
  if (ask.input.kind !== "text") throw new Error("it has texts");
  expect(ask.input.texts.map(asText)).toEqual(["ä", pad]);
  const inputOf = async (reader: typeof completions | typeof embeddings, fields: object) =>
    (await door.read<unknown>(reader, body({ ...fields, user: pad }))).asked.ask.input;
  const ids = (...prompts: Uint32Array[]) => ({ kind: "tokens", prompts, tokenizer: "" });
  expect(await inputOf(completions, { prompt: [[1, 2], [3]] })).toEqual(ids(Uint32Array.of(1, 2), Uint32Array.of(3)));
  expect(await inputOf(embeddings, { input: [7, 8] })).toEqual(ids(Uint32Array.of(7, 8)));
});

test("the form of a completion and a seed of 64 bits read the same from small and large bodies", async () => {
  const door = reader();
  const seed = 2n ** 63n - 1n;
  const exact = (fields: object) =>
    chunked(Buffer.concat(body(fields)).toString().replace('"seed":0', `"seed":${seed}`));
  const small = await door.read(completions, exact({ prompt: "a", seed: 0, response_format: format }));
  expect(door.running).toBe(false);
  const large = await door.read(completions, exact({ prompt: "a", seed: 0, response_format: format, user: pad }));
  const guidance = { kind: "jsonSchema", schema: JSON.stringify(schema) } as const;
  expect(small.asked.ask).toMatchObject({ guidance, sampling: { seed } });
  expect(large.asked).toEqual({ ...small.asked, ignored: ["user"] });
});

test("a long schema goes on as UTF-8, and its grammar is made in the thread", async () => {
  const door = reader();
  const wide = { type: "object", properties: { [pad]: { type: "integer" } } };
  const response_format = { ...format, json_schema: { name: "s", schema: wide } };
  const { guidance } = (await door.read(completions, body({ prompt: "a", response_format }))).asked.ask;
  if (guidance?.kind !== "jsonSchema") throw new Error("it has a schema");
  expect(Buffer.from(guidance.schema).toString()).toBe(JSON.stringify(wide));
  expect(typeof guidance.schema).toBe("object");
  const small = { kind: "jsonSchema", schema: JSON.stringify(schema) } as const;
  expect(door.compile(small)).toBe(compileGuidance(small));
  expect(await door.compile(guidance)).toBe(compileGuidance(guidance));
  await expect(door.compile({ kind: "jsonSchema", schema: `{"typ":"${pad}"}` })).rejects.toMatchObject({
    reason: "UNSUPPORTED_SCHEMA",
  });
});

test("mistakes are the same, wherever they are found", async () => {
  const door = reader();
  for (const prompt of [pad, "x"]) {
    const wrong = door.read(completions, body({ prompt, n: 0, temprature: 1 }));
    await expect(wrong).rejects.toMatchObject({
      reason: "INVALID_REQUEST",
      param: "n",
      message: expect.stringContaining("did you mean temperature?"),
    });
  }
  await expect(door.read(chat, chunked(`{"a":"${pad}",`))).rejects.toMatchObject({ reason: "INVALID_JSON" });
  await expect(door.read(chat, [Buffer.alloc(70_000, 0xff)])).rejects.toMatchObject({ reason: "INVALID_UTF8" });
});

test("a body of two hundred thousand unknown fields is told eight of them and their number", async () => {
  const many = Object.fromEntries(Array.from({ length: 200_000 }, (_, at) => [`z${at}`, 1]));
  await expect(reader().read(chat, body({ messages: [{ role: "user", content: "" }], ...many }))).rejects.toThrow(
    /z0, z1, z2, z3, z4, z5, z6, z7, and 199,992 more\.$/,
  );
});

test("nesting and members are bounded before anything is parsed", async () => {
  const door = reader();
  await expect(door.read(chat, chunked("[".repeat(70_000)))).rejects.toThrow("nested deeper than 128 levels");
  await expect(door.read(chat, chunked(`{${'"a":1,'.repeat(300_000)}`))).rejects.toThrow("more than 262,144 members");
  await expect(door.read(chat, chunked(`[${"0,".repeat(2_100_000)}`))).rejects.toThrow("more than 2,097,152 values");
});

test("what is kept for a request outlives the idle time, since its model may take longer to load", async () => {
  const door = reader();
  const read = await door.read(chat, body({ messages: [{ role: "user", content: pad }] }));
  clock.advance(60_000);
  expect(asText((await read.conversation!.render(text)).text)).toContain(pad);
  read.close();
  clock.advance(15_000);
  expect(door.running).toBe(false);
});

test("the thread ends when nobody needs it, and when one request takes too long; the next starts another", async () => {
  const door = reader();
  await door.read(completions, body({ prompt: pad }));
  clock.advance(15_000);
  expect(door.running).toBe(false);
  const slow = door.read(completions, body({ prompt: pad }));
  clock.advance(20_000);
  await expect(slow).rejects.toMatchObject({ reason: "OVERLOADED" });
  expect(door.running).toBe(false);
  expect((await door.read(completions, body({ prompt: pad }))).asked.ask.model).toBe("m");
});
