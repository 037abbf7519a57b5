import OpenAI from "openai";
import OpenAI6 from "openai6";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import { encodeBytes } from "../support/rehearsal/byte-text.ts";
import { RehearsalDispatcher } from "../support/rehearsal/dispatcher.ts";
import { openRehearsal, type Rehearsal } from "../support/rehearsal/open.ts";

// The official client, newest two majors, against the front door. The workers are rehearsed: what they say is known.
const SAYS = 'Grüße: {"answer": 42} 😀 und mehr';
let dispatcher: RehearsalDispatcher;
let rehearsal: Rehearsal;

beforeAll(async () => {
  dispatcher = new RehearsalDispatcher({
    running: true,
    reply({ cacheSalt, guidance, stopping }) {
      if (cacheSalt === "fails")
        return { tokens: encodeBytes("half"), error: new StatorError("ENGINE_FAILED", { detail: "boom" }) };
      if (cacheSalt === "endless") return { tokens: new Uint32Array(stopping.maxTokens).fill(97) };
      return { tokens: encodeBytes(guidance ? '{"answer":42}' : SAYS) };
    },
    admit({ cacheSalt }) {
      if (cacheSalt === "busy") throw new StatorError("OVERLOADED", { what: "rehearsal" }, { retryAfterMs: 20 });
    },
  });
  rehearsal = await openRehearsal(dispatcher);
});
afterAll(() => rehearsal.frontend.close({ drainMs: 0 }));

/** The parts of the client that both majors have. */
type Client = OpenAI;

const messages = [{ role: "user" as const, content: "hi" }];
const model = "rehearsal";

for (const [major, Constructor] of [
  ["7", OpenAI],
  ["6", OpenAI6],
] as const) {
  describe(`openai ${major}`, () => {
    let client: Client;
    beforeAll(() => {
      client = new Constructor({ apiKey: "none", baseURL: `${rehearsal.url}/v1`, maxRetries: 0 }) as unknown as Client;
    });

    it("chats", async () => {
      const answer = await client.chat.completions.create({
        model,
        messages,
        n: 2,
        temperature: 0.2,
        seed: 7,
        stop: ["zzz"],
      });
      expect(answer.choices.map(({ message, finish_reason }) => [message.content, finish_reason])).toEqual([
        [SAYS, "stop"],
        [SAYS, "stop"],
      ]);
      expect(answer.usage?.prompt_tokens).toBe(9);
    });

    it("streams, by iterating and by its helper", async () => {
      let text = "";
      for await (const chunk of await client.chat.completions.create({ model, messages, stream: true }))
        text += chunk.choices[0]?.delta.content ?? "";
      expect(text).toBe(SAYS);
      const stream = client.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
      expect(await stream.finalContent()).toBe(SAYS);
      expect((await stream.totalUsage()).total_tokens).toBeGreaterThan(9);
      expect((await stream.finalChatCompletion()).choices[0]?.finish_reason).toBe("stop");
    });

    it("takes a schema and parses what comes", async () => {
      const schema = {
        type: "object",
        properties: { answer: { type: "integer" } },
        required: ["answer"],
        additionalProperties: false,
      };
      const answer = await client.chat.completions.parse({
        model,
        messages,
        response_format: { type: "json_schema", json_schema: { name: "reply", strict: true, schema } },
      });
      expect(JSON.parse(answer.choices[0]?.message.content ?? "")).toEqual({ answer: 42 });
      expect(dispatcher.requests.at(-1)?.guidance).toEqual({ kind: "jsonSchema", schema: JSON.stringify(schema) });
    });

    it("completes, by text and by tokens, with log-probabilities", async () => {
      const answer = await client.completions.create({ model, prompt: [[1, 2], [3]], max_tokens: 2, logprobs: 1 });
      expect(answer.choices.map(({ text, finish_reason }) => [text, finish_reason])).toEqual([
        ["Gr", "length"],
        ["Gr", "length"],
      ]);
      expect(answer.choices[0]?.logprobs?.tokens).toEqual(["G", "r"]);
      let text = "";
      for await (const chunk of await client.completions.create({ model, prompt: "hi", max_tokens: 4, stream: true }))
        text += chunk.choices[0]?.text;
      expect(text).toBe("Grü");
    });

    it("embeds", async () => {
      const answer = await client.embeddings.create({ model, input: ["a", "b"] });
      expect(answer.data.map(({ embedding }) => [...embedding])).toEqual([
        [0.5, -1.25, 3],
        [0.5, -1.25, 3],
      ]);
      const floats = await client.embeddings.create({ model, input: [1, 2], encoding_format: "float" });
      expect([...(floats.data[0]?.embedding ?? [])]).toEqual([0.5, -1.25, 3]);
    });

    it("lists models and reads headers", async () => {
      const names: string[] = [];
      for await (const { id } of client.models.list()) names.push(id);
      expect([names, (await client.models.retrieve(model)).object]).toEqual([[model], "model"]);
      const { response, request_id } = await client.chat.completions
        .create({ model, messages, user: "u" })
        .withResponse();
      expect([response.headers.get("x-stator-ignored"), request_id]).toEqual([
        "user",
        response.headers.get("x-request-id"),
      ]);
    });

    it("aborts, and the place is free", async () => {
      const stream = await client.chat.completions.create({
        model,
        messages,
        stream: true,
        ...{ cache_salt: "endless" },
      });
      for await (const _ of stream) break;
      const controller = new AbortController();
      const unary = client.chat.completions.create(
        { model, messages, ...{ cache_salt: "endless" } },
        { signal: controller.signal },
      );
      controller.abort();
      await expect(unary).rejects.toThrow(/abort/i);
      while (dispatcher.open > 0) await new Promise((resolve) => setTimeout(resolve, 2));
    });

    it("tells errors as its own", async () => {
      const create = (fields: object, path: "chat" | "stream" = "chat") =>
        client.chat.completions.create({ model, messages, stream: path === "stream", ...fields } as never);
      await expect(create({ temperature: 3 })).rejects.toMatchObject({
        status: 400,
        code: "invalid_value",
        param: "temperature",
        type: "invalid_request_error",
      });
      await expect(create({ frobnicate: 1 })).rejects.toMatchObject({ status: 400, code: "unknown_field" });
      await expect(create({ model: "nothing" })).rejects.toBeInstanceOf((Constructor as typeof OpenAI).NotFoundError);
      await expect(create({ messages: [{ role: "user", content: "x".repeat(9000) }] })).rejects.toMatchObject({
        status: 400,
        code: "context_length_exceeded",
      });
      await expect(create({ cache_salt: "busy" })).rejects.toBeInstanceOf(
        (Constructor as typeof OpenAI).RateLimitError,
      );
      await expect(create({ cache_salt: "fails" })).rejects.toMatchObject({ status: 500, code: "engine_failed" });
      const broken = (async () => {
        const stream = (await create({ cache_salt: "fails" }, "stream")) as unknown as AsyncIterable<object>;
        for await (const _ of stream);
      })();
      await expect(broken).rejects.toThrow(/boom/);
    });

    it("tries again by itself when it is told to", async () => {
      const patient = new Constructor({ apiKey: "none", baseURL: `${rehearsal.url}/v1`, maxRetries: 2 });
      const before = await rehearsal.metrics.print();
      const count = (text: string): number =>
        Number(/errors_total\{route="chat",reason="OVERLOADED"\} (\d+)/.exec(text)?.[1] ?? 0);
      await expect(
        (patient as unknown as Client).chat.completions.create({ model, messages, ...{ cache_salt: "busy" } }),
      ).rejects.toThrow();
      expect(count(await rehearsal.metrics.print()) - count(before)).toBe(3);
    });
  });
}
