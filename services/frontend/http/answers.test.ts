import { afterEach, describe, expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import type { DoorChunk } from "../../../test/support/doors.ts";
import { BYTE_TEXT, encodeBytes } from "../../../test/support/rehearsal/byte-text.ts";
import { RehearsalDispatcher, type RehearsalOptions } from "../../../test/support/rehearsal/dispatcher.ts";
import { openRehearsal, type Rehearsal, rehearsalRecords } from "../../../test/support/rehearsal/open.ts";

const opened: Rehearsal[] = [];
afterEach(async () => {
  for (const { frontend } of opened.splice(0)) await frontend.close({ drainMs: 0 });
});

/** A frontend whose model says this. */
async function serve(reply: RehearsalOptions["reply"] | string, options: Partial<RehearsalOptions> = {}) {
  const say = typeof reply === "string" ? () => ({ tokens: encodeBytes(reply) }) : reply;
  const dispatcher = new RehearsalDispatcher({ running: true, ...options, reply: say });
  const rehearsal = await openRehearsal(dispatcher);
  opened.push(rehearsal);
  const post = (path: string, body: object, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${rehearsal.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ model: "rehearsal", ...body }),
    });
  return {
    dispatcher,
    rehearsal,
    chat: (body: object, headers?: Record<string, string>) =>
      post("/v1/chat/completions", { messages: [{ role: "user", content: "hi" }], ...body }, headers),
    complete: (body: object) => post("/v1/completions", { prompt: "hi", ...body }),
    embed: (body: object) => post("/v1/embeddings", body),
  };
}

type Chunk = DoorChunk & { readonly stator?: object };

/** The chunks of a stream, after its frame was looked at. */
async function chunksOf(response: Response): Promise<Chunk[]> {
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
  const events = (await response.text()).split("\n\n");
  expect(events.pop()).toBe("");
  expect(events.pop()).toBe("data: [DONE]");
  return events
    .filter((event) => event !== ": ping")
    .map((event) => {
      expect(event).toMatch(/^data: \{[^\n]*\}$/);
      return JSON.parse(event.slice(6)) as Chunk;
    });
}

/** Text, and how it finished, of each choice. */
function told(chunks: readonly Chunk[]): [string, string | null][] {
  const choices: [string, string | null][] = [];
  for (const { choices: parts } of chunks) {
    for (const { index, delta, text, finish_reason } of parts) {
      choices[index] ??= ["", null];
      const choice = choices[index];
      choice[0] += delta ? (delta.content ?? "") : (text ?? "");
      expect(choice[1]).toBeNull();
      choice[1] = finish_reason;
    }
  }
  return choices;
}

describe("a streamed chat", () => {
  it("tells role first, text, finish once, usage last", async () => {
    const { chat } = await serve("Grüße 😀!");
    const chunks = await chunksOf(await chat({ stream: true, stream_options: { include_usage: true } }));
    expect(chunks[0]?.choices[0]?.delta?.role).toBe("assistant");
    expect(told(chunks)).toEqual([["Grüße 😀!", "stop"]]);
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    expect(chunks.at(-1)).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 9, completion_tokens: 13, prompt_tokens_details: { cached_tokens: 3 } },
    });
  });

  it("counts on every chunk when asked", async () => {
    const { chat } = await serve("abc");
    const chunks = await chunksOf(await chat({ stream: true, stream_options: { continuous_usage_stats: true } }));
    const counts = chunks.map(({ usage }) => usage?.completion_tokens);
    expect(counts.at(-1)).toBe(3);
    expect(counts).toEqual(counts.toSorted());
  });

  it("never shows a stop text, wherever the tokens cut it, and ends the choice", async () => {
    const { chat, dispatcher } = await serve("one STOtwo STOP three");
    const chunks = await chunksOf(await chat({ stream: true, stop: ["STOP", "zzz"] }));
    expect(told(chunks)).toEqual([["one STOtwo ", "stop"]]);
    expect(dispatcher.open).toBe(0);
    const shown = await chunksOf(await chat({ stream: true, stop: "STOP", include_stop_str_in_output: true }));
    expect(told(shown)).toEqual([["one STOtwo STOP", "stop"]]);
  });

  it("lets go of text that was held back for a stop text", async () => {
    const { chat } = await serve("ends with STO");
    expect(told(await chunksOf(await chat({ stream: true, stop: "STOP" })))).toEqual([["ends with STO", "stop"]]);
  });

  it("keeps n choices apart, each with its own end", async () => {
    const { chat } = await serve((_, choice) => ({
      tokens: encodeBytes(`choice ${choice} ${"x".repeat(choice * 5)}`),
    }));
    const chunks = await chunksOf(await chat({ stream: true, n: 3, max_tokens: 12 }));
    expect(told(chunks)).toEqual([
      ["choice 0 ", "stop"],
      ["choice 1 xxx", "length"],
      ["choice 2 xxx", "length"],
    ]);
  });

  it("gives every token its log-probability, one event per step", async () => {
    const { chat } = await serve("abcd", { tokensPerStep: 2 });
    const chunks = await chunksOf(await chat({ stream: true, logprobs: true, top_logprobs: 2 }));
    const content = chunks.flatMap((chunk) => chunk.choices[0]?.logprobs?.content ?? []);
    expect(content).toHaveLength(4);
    expect(content[0]).toEqual({
      token: "a",
      logprob: -0.5,
      bytes: [97],
      top_logprobs: [
        { token: "a", logprob: -0.5, bytes: [97] },
        { token: "b", logprob: -1.5, bytes: [98] },
      ],
    });
  });

  it("explains when asked and always says where it ran", async () => {
    const { chat } = await serve("abc");
    const response = await chat({ stream: true, stator: { explain: true }, user: "u" }, { "x-request-id": "my-name" });
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "x-request-id": "my-name",
      "x-stator-worker": "0000000000005f3a",
      "x-stator-cached-tokens": "3",
      "x-stator-decision": "round-robin, 1 of 1",
      "x-stator-ignored": "user",
      "cache-control": "no-cache",
    });
    const [first] = await chunksOf(response);
    expect(first).toMatchObject({
      id: "chatcmpl-my-name",
      stator: { worker: "0000000000005f3a", attempt: 1, cached_tokens: 3 },
    });
  });

  it("tells an empty answer", async () => {
    const { chat } = await serve("");
    const chunks = await chunksOf(await chat({ stream: true }));
    expect(chunks.map(({ choices }) => choices[0])).toEqual([
      { index: 0, delta: { role: "assistant", content: "" }, finish_reason: null },
      { index: 0, delta: {}, finish_reason: "stop" },
    ]);
  });

  it("fails with a status before the first token, and in the stream after it", async () => {
    const error = new StatorError("ENGINE_FAILED", { detail: "out of memory" });
    const early = await serve(() => ({ tokens: new Uint32Array(0), error }));
    const response = await early.chat({ stream: true });
    expect([response.status, await response.json()]).toMatchObject([500, { error: { code: "engine_failed" } }]);
    const late = await serve(() => ({ tokens: encodeBytes("ab"), error }));
    const chunks = await chunksOf(await late.chat({ stream: true }));
    expect(told(chunks.slice(0, -1))).toEqual([["ab", null]]);
    expect(chunks.at(-1)).toEqual({
      error: { message: "The engine failed: out of memory.", type: "server_error", param: null, code: "engine_failed" },
    });
  });

  it("never makes up a finish for a choice that was cancelled elsewhere", async () => {
    const { chat } = await serve(() => ({ tokens: encodeBytes("ab"), reason: "cancelled" }));
    const chunks = await chunksOf(await chat({ stream: true }));
    expect(chunks.at(-1)?.error?.code).toBe("stream_lost");
  });
});

describe("a unary chat", () => {
  it("has OpenAI's body", async () => {
    const { chat } = await serve("hello", { tokensPerStep: 16 });
    const response = await chat({ n: 2, stator: { explain: true } });
    expect(response.headers.get("x-stator-worker")).toBe("0000000000005f3a");
    expect(await response.json()).toMatchObject({
      object: "chat.completion",
      model: "rehearsal",
      choices: [0, 1].map((index) => ({
        index,
        message: { role: "assistant", content: "hello", refusal: null },
        logprobs: null,
        finish_reason: "stop",
      })),
      usage: { prompt_tokens: 9, completion_tokens: 10, total_tokens: 19 },
      stator: { attempt: 1, decision: "round-robin, 1 of 1" },
    });
  });

  it("cuts at a stop text and scores no token behind it", async () => {
    const { chat } = await serve("abSTOPcd", { tokensPerStep: 3 });
    const body = (await (await chat({ stop: ["STOP"], logprobs: true })).json()) as {
      choices: { message: object; logprobs: { content: object[] } }[];
    };
    expect(body.choices[0]).toMatchObject({ message: { content: "ab" }, finish_reason: "stop" });
    expect(body.choices[0]?.logprobs.content).toHaveLength(2);
  });

  it("keeps the stop token's text when asked", async () => {
    const { complete } = await serve(() => ({ tokens: encodeBytes("ab"), reason: "stop_token", stopToken: 33 }));
    expect(await (await complete({ stop_token_ids: [33], include_stop_str_in_output: true })).json()).toMatchObject({
      choices: [{ text: "ab!" }],
    });
    expect(await (await complete({ stop_token_ids: [33] })).json()).toMatchObject({
      choices: [{ text: "ab", finish_reason: "stop" }],
    });
  });
});

describe("completions", () => {
  it("answer several prompts with several choices each, in order", async () => {
    const { complete, dispatcher } = await serve((request, choice) => ({
      tokens: encodeBytes(`${request.input.prompts.length}/${choice} `),
    }));
    const body = (await (await complete({ prompt: ["a", "bc"], n: 2, echo: true })).json()) as {
      choices: { text: string }[];
      usage: object;
    };
    expect(body.choices.map(({ text }) => text)).toEqual(["a2/0 ", "a2/1 ", "bc2/2 ", "bc2/3 "]);
    expect(body.usage).toMatchObject({ prompt_tokens: 5, completion_tokens: 16 });
    expect(dispatcher.requests[0]).toMatchObject({
      choicesPerPrompt: 2,
      stopping: { maxTokens: 16 },
      input: { prompts: [Uint32Array.of(BYTE_TEXT.begin, 97), Uint32Array.of(BYTE_TEXT.begin, 98, 99)] },
    });
  });

  it("take token ids and echo their text", async () => {
    const { complete } = await serve("!");
    expect(await (await complete({ prompt: [72, 105], echo: true })).json()).toMatchObject({
      choices: [{ text: "Hi!" }],
    });
    const chunks = await chunksOf(await complete({ prompt: [[72, 105], [79]], echo: true, stream: true }));
    expect(told(chunks)).toEqual([
      ["Hi!", "stop"],
      ["O!", "stop"],
    ]);
  });

  it("write log-probabilities in their own form", async () => {
    const { complete } = await serve("é!", { tokensPerStep: 3 });
    const body = (await (await complete({ logprobs: 1 })).json()) as { choices: { logprobs: object }[] };
    expect(body.choices[0]?.logprobs).toEqual({
      tokens: ["\ufffd", "\ufffd", "!"],
      token_logprobs: [-0.5, -0.5, -0.5],
      top_logprobs: [{ "\ufffd": -0.5 }, { "\ufffd": -0.5 }, { "!": -0.5 }],
      text_offset: [0, 0, 1],
    });
  });
});

interface Logprobs {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
  readonly text_offset: readonly number[];
}

describe("echo with log-probabilities", () => {
  const whole: Logprobs = {
    tokens: ["<256>", "h", "\ufffd", "\ufffd", "x", "!"],
    token_logprobs: [null, -0.5, -0.5, -0.5, -0.5, -0.5],
    top_logprobs: [null, { h: -0.5 }, { "\ufffd": -0.5 }, { "\ufffd": -0.5 }, { x: -0.5 }, { "!": -0.5 }],
    text_offset: [0, 0, 1, 1, 2, 3],
  };
  type Body = { choices: { text: string; logprobs: Logprobs; finish_reason: string }[]; usage: object };

  it("begins with the prompt's, the first of which is none", async () => {
    const { complete, dispatcher } = await serve("x!");
    const { choices } = (await (await complete({ prompt: "hé", echo: true, logprobs: 1 })).json()) as Body;
    expect(choices).toMatchObject([{ text: "héx!", logprobs: whole, finish_reason: "stop" }]);
    expect(dispatcher.requests.at(-1)).toMatchObject({ topLogprobs: 1, promptLogprobs: true });
    await complete({ prompt: "hé", logprobs: 1 });
    expect(dispatcher.requests.at(-1)!.promptLogprobs).toBe(false);
  });

  it("is the same in a stream", async () => {
    const { complete } = await serve("x!");
    const chunks = await chunksOf(await complete({ prompt: "hé", echo: true, logprobs: 1, stream: true }));
    expect(told(chunks)).toEqual([["héx!", "stop"]]);
    const parts = chunks.flatMap(({ choices }) => choices.map(({ logprobs }) => logprobs as Logprobs));
    for (const name of Object.keys(whole) as (keyof Logprobs)[])
      expect(parts.flatMap((part) => part[name] as unknown[])).toEqual(whole[name]);
  });

  it("with max_tokens 0 is the prompt alone, of which nothing is counted as an answer", async () => {
    const { complete, dispatcher } = await serve("x!");
    const ask = { prompt: ["hé", "a"], n: 2, echo: true, max_tokens: 0 };
    const body = (await (await complete({ ...ask, logprobs: 1 })).json()) as Body;
    expect(body.choices.map(({ text, finish_reason }) => `${text} ${finish_reason}`)).toEqual(
      ["hé", "hé", "a", "a"].map((text) => `${text} length`),
    );
    expect(body.choices[0]!.logprobs.token_logprobs).toEqual([null, -0.5, -0.5, -0.5]);
    expect(body.usage).toMatchObject({ prompt_tokens: 6, completion_tokens: 0 });
    expect(dispatcher.requests.at(-1)!.stopping.maxTokens).toBe(1);
    const stream = { stream: true, stream_options: { include_usage: true } };
    const chunks = await chunksOf(await complete({ ...ask, ...stream }));
    expect(told(chunks).map(([text, finish]) => `${text} ${finish}`)).toEqual(
      ["hé", "hé", "a", "a"].map((text) => `${text} length`),
    );
    expect(chunks.at(-1)!.usage).toMatchObject({ completion_tokens: 0 });
  });

  it("is refused where a worker cannot do it, and beyond a bound", async () => {
    const { complete, rehearsal } = await serve("x");
    rehearsal.watch.put(...rehearsalRecords("rehearsal", { id: 2n, promptLogprobs: false }));
    const refused = await complete({ echo: true, logprobs: 0 });
    expect([refused.status, ((await refused.json()) as { error: { code: string } }).error.code]).toEqual([
      400,
      "unsupported_feature",
    ]);
    expect((await complete({ echo: true })).status).toBe(200);
    const bounded = await openRehearsal(
      new RehearsalDispatcher({ running: true, reply: () => ({ tokens: encodeBytes("x") }) }),
      {
        limits: { scoredTokens: 8 },
      },
    );
    opened.push(bounded);
    const ask = (prompt: string, n: number) =>
      fetch(`${bounded.url}/v1/completions`, {
        method: "POST",
        body: JSON.stringify({ model: "rehearsal", prompt, n, echo: true, logprobs: 0 }),
      });
    expect([(await ask("abc", 2)).status, (await ask("abc", 3)).status]).toEqual([200, 400]);
  });
});

describe("embeddings", () => {
  it("come as numbers or as base64 of f32 little endian", async () => {
    const { embed } = await serve("", { embedding: (tokens) => Float32Array.of(tokens.length, -1.25, 3) });
    const plain = await (await embed({ input: ["a", "bcd"] })).json();
    expect(plain).toMatchObject({
      object: "list",
      data: [{ embedding: [2, -1.25, 3] }, { index: 1, embedding: [4, -1.25, 3] }],
      usage: { prompt_tokens: 6, total_tokens: 6 },
    });
    const packed = (await (await embed({ input: [97, 98], encoding_format: "base64" })).json()) as {
      data: { embedding: string }[];
    };
    expect(packed.data[0]?.embedding).toBe(Buffer.from(Float32Array.of(2, -1.25, 3).buffer).toString("base64"));
    expect((await embed({ input: "a", dimensions: 3 })).status).toBe(200);
    expect((await embed({ input: "a", dimensions: 4 })).status).toBe(400);
  });
});

it("takes every seed of 64 bits as it is written, and the sum of nothing as the likeliest token", async () => {
  const { rehearsal, dispatcher } = await serve("x");
  for (const seed of ["9223372036854775807", "-9223372036854775808", "9007199254740993", "-5"]) {
    const body = `{"model": "rehearsal", "prompt": "a", "seed": ${seed}, "top_p": 0}`;
    expect((await fetch(`${rehearsal.url}/v1/completions`, { method: "POST", body })).status).toBe(200);
    const { sampling } = dispatcher.requests.at(-1)!;
    expect(sampling).toMatchObject({ seed: BigInt.asUintN(64, BigInt(seed)), topP: 1, topK: 1 });
  }
  const rounded = '{"model": "rehearsal", "prompt": "a", "seed": 9223372036854775808}';
  expect((await fetch(`${rehearsal.url}/v1/completions`, { method: "POST", body: rounded })).status).toBe(400);
});

it("gives a template the messages that the API has, whatever a client sends back with them", async () => {
  const { chat } = await serve("x");
  const answer = await chat({
    messages: [
      { role: "assistant", content: "a", reasoning_details: [{ deep: [[[]]] }], provider_specific_fields: null },
      { role: "user", content: "b" },
    ],
  });
  expect([answer.status, answer.headers.get("x-stator-ignored")]).toEqual([
    200,
    "messages.reasoning_details, messages.provider_specific_fields",
  ]);
});

it("tells which variables a template does not read, of a long body too", async () => {
  const { chat } = await serve("x");
  for (const prediction of ["", "a".repeat(100_000)]) {
    const variables = { chat_template_kwargs: { message: 1, never_read: 2 }, documents: [], prediction };
    const answer = await chat({ messages: [{ role: "user", content: "a" }], ...variables });
    expect([answer.status, answer.headers.get("x-stator-ignored")]).toEqual([200, "prediction, documents, never_read"]);
  }
  const forced = await chat({ messages: [{ role: "user", content: "a" }], chat_template_kwargs: { range: 1 } });
  expect([forced.status, await forced.text()]).toEqual([
    400,
    expect.stringContaining("the variable range is there already"),
  ]);
});

it("holds the form of a completion with a grammar", async () => {
  const { complete, dispatcher } = await serve("{}");
  expect((await complete({ response_format: { type: "json_object" } })).status).toBe(200);
  expect(dispatcher.requests.at(-1)!.guidance).toEqual({ kind: "jsonObject" });
});

it("fills in what a request leaves out, and passes on what it says", async () => {
  const { chat, dispatcher } = await serve("x");
  await (await chat({})).json();
  const usual = dispatcher.requests.at(-1)!;
  expect(usual).toMatchObject({
    stopping: { maxTokens: 4096 - 9, minTokens: 0, ignoreEos: false, stopTexts: [], includeStop: false },
    priority: 0,
    cacheSalt: "",
    topLogprobs: undefined,
    target: undefined,
  });
  expect(usual.sampling).toMatchObject({ temperature: 1, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 });
  await (await chat({})).json();
  expect(dispatcher.requests.at(-1)!.sampling.seed).not.toBe(usual.sampling.seed);
  const all = {
    temperature: 0.5,
    top_p: 0.9,
    top_k: 40,
    min_p: 0.1,
    repetition_penalty: 1.1,
    frequency_penalty: 1,
    presence_penalty: -1,
    seed: -1,
    logit_bias: { "65": -100, "7": 2.5 },
    max_completion_tokens: 50,
    min_tokens: 5,
    ignore_eos: true,
    stop_token_ids: [65],
    stop: "zz",
    cache_salt: "tenant",
    priority: -3,
    logprobs: true,
    top_logprobs: 4,
    stator: { worker: "ab" },
  };
  const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  await (await chat(all, { traceparent })).json();
  expect(dispatcher.requests.at(-1)).toMatchObject({
    stopping: { maxTokens: 50, minTokens: 5, ignoreEos: true, stopTokens: Uint32Array.of(65), stopTexts: ["zz"] },
    cacheSalt: "tenant",
    priority: -3,
    topLogprobs: 4,
    target: { worker: 0xabn },
    traceparent,
    sampling: {
      temperature: 0.5,
      topP: 0.9,
      topK: 40,
      minP: 0.1,
      seed: 2n ** 64n - 1n,
      biasTokens: Uint32Array.of(7, 65),
      biasValues: Float32Array.of(2.5, -100),
    },
  });
  await (await chat({ ...all, response_format: { type: "json_object" } }, { "x-stator-worker": "cd" })).json();
  expect(dispatcher.requests.at(-1)).toMatchObject({
    target: { worker: 0xcdn },
    guidance: { kind: "jsonObject" },
  });
});
