import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { TextEngine } from "../../../test/support/text-engine.ts";
import { createFrontend, createWorker, type Serving } from "./library.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "stator-text-"));
const OPTIONS = { discovery: pathToFileURL(folder).href, "tokenizer.engine": "javascript" } as const;
const engine = new TextEngine("far");
const opened: Serving[] = [];
let base: string;

async function listed(): Promise<readonly { readonly id: string }[]> {
  return ((await (await fetch(`${base}/v1/models`)).json()) as { data: { id: string }[] }).data;
}

beforeAll(async () => {
  opened.push(
    await createWorker(OPTIONS, {
      engine: { engine: "foreign", model: "far", aliases: ["distant"], open: async () => engine },
    }),
  );
  const frontend = await createFrontend({ ...OPTIONS, "http.port": 0 });
  opened.push(frontend);
  base = `http://${frontend.address}`;
  while ((await listed()).length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
});
afterAll(async () => {
  for (const each of opened.reverse()) await each.close();
  rmSync(folder, { recursive: true, force: true });
});

async function post(route: string, body: object) {
  const response = await fetch(`${base}/v1/${route}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "far", ...body }),
  });
  return { status: response.status, text: await response.text() };
}

async function complete(body: object) {
  const { status, text } = await post("completions", body);
  return { status, body: JSON.parse(text) };
}

it("a model of which only its worker has the tokenizer is listed, without what nobody knows", async () => {
  const data = await listed();
  expect(data.map(({ id }) => id)).toEqual(["distant", "far"]);
  expect(data[0]).not.toHaveProperty("max_model_len");
});

it("a completion goes there as text and comes back as text, with what was counted there", async () => {
  const { status, body } = await complete({ prompt: "Once upon a time" });
  expect(status).toBe(200);
  expect(engine.requests.at(-1)).toMatchObject({ promptText: "Once upon a time", promptTokens: new Uint32Array(0) });
  expect(body).toMatchObject({
    choices: [{ text: " there was a fox.", finish_reason: "stop" }],
    usage: { prompt_tokens: 4, completion_tokens: 6, total_tokens: 10 },
  });
  const cut = await complete({ prompt: ["Once", "upon a"], max_tokens: 2, echo: true, model: "distant" });
  expect(cut.body.choices.map(({ text }: { text: string }) => text)).toEqual(["Once there was", "upon a there was"]);
  expect(cut.body.choices[0].finish_reason).toBe("length");
  expect(cut.body.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 4 });
});

it("a stop string never shows, ends the answer there, and is the same as a stream", async () => {
  const asked = { prompt: "Once", stop: ["fox"] };
  const { body } = await complete(asked);
  expect(body.choices).toMatchObject([{ text: " there was a ", finish_reason: "stop" }]);
  expect(body.usage.completion_tokens).toBe(5);
  const stream = await post("completions", { ...asked, stream: true, stream_options: { include_usage: true } });
  const chunks = stream.text
    .split("\n\n")
    .filter((event) => event.startsWith("data: {"))
    .map((event) => JSON.parse(event.slice(6)));
  const choices = chunks.flatMap((chunk) => chunk.choices);
  expect(choices.map(({ text }) => text).join("")).toBe(" there was a ");
  expect(choices.at(-1)).toMatchObject({ finish_reason: "stop" });
  expect(chunks.at(-1).usage).toEqual(body.usage);
});

it("what needs its tokenizer is refused by name, and what its worker refuses is told with its reason", async () => {
  const detail = "only the workers of this model have its tokenizer and template";
  for (const [what, fields] of [
    ["Token ids in prompt", { prompt: [1, 2] }],
    ["logprobs", { prompt: "a", logprobs: 1 }],
    ["stop_token_ids", { prompt: "a", stop_token_ids: [1] }],
    ["logit_bias", { prompt: "a", logit_bias: { 5: 1 } }],
  ] as const) {
    const { status, body } = await complete(fields);
    expect([status, body.error.message]).toEqual([400, `${what} is not available: ${detail}.`]);
  }
  const chat = await post("chat/completions", { messages: [{ role: "user", content: "hi" }] });
  expect([chat.status, JSON.parse(chat.text).error.message]).toEqual([400, `Chat is not available: ${detail}.`]);
  const embedding = await post("embeddings", { input: "a" });
  expect([embedding.status, JSON.parse(embedding.text).error.message]).toEqual([
    400,
    expect.stringContaining("Embedding is not available"),
  ]);
  const empty = await complete({ prompt: "" });
  expect([empty.status, empty.body.error.param]).toEqual([400, "prompt"]);
  const refused = await complete({ prompt: "refuse this" });
  expect([refused.status, refused.body.error.code]).toEqual([400, "context_length_exceeded"]);
});

it("an answer that nobody reads any more is stopped there", async () => {
  engine.pieces = Array.from({ length: 100_000 }, () => " on");
  const abort = new AbortController();
  const response = await fetch(`${base}/v1/completions`, {
    method: "POST",
    signal: abort.signal,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "far", prompt: "on and", stream: true }),
  });
  await response.body!.getReader().read();
  const before = engine.said.length;
  abort.abort();
  await expect.poll(() => engine.said.length).toBe(before + 1);
  expect(engine.said.at(-1)).toBeLessThan(100_000);
});
