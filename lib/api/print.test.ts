import { describe, expect, it } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { REASONS, StatorError } from "#lib/base/errors";
import { findJsonError } from "./json-error.ts";
import { printChatBody, printCompletionBody, printEmbeddings, printFloats, printModels } from "./openai/bodies.ts";
import { createChatChunks, createCompletionChunks } from "./openai/chunks.ts";
import { printErrorBody, retryHeaders } from "./openai/error-body.ts";
import { CompletionLogprobs, printChatLogprobs } from "./openai/logprobs.ts";
import { printUsage } from "./openai/usage.ts";
import { printOpenApi } from "./openapi.ts";
import { printFieldsPage } from "./page.ts";
import { CHAT_ROUTE, COMPLETION_ROUTE, EMBEDDING_ROUTE, READ_ROUTES } from "./routes.ts";
import { printEvent } from "./sse.ts";

describe("findJsonError", () => {
  it.each([
    ['{"a":x}', 1, 6, "a value"],
    ['{"a":1,}', 1, 8, "a name in double quotes"],
    ["[1,\n2", 2, 2, "a comma or ]"],
    ['{"a" 1}', 1, 6, "a colon"],
    ["{} {}", 1, 4, "the end"],
    ['"a\tb"', 1, 3, "a value"],
    ["", 1, 1, "a value"],
    ["{'a':1}", 1, 2, "a name in double quotes"],
  ])("finds the first mistake of %j", (text, line, column, expected) => {
    expect(findJsonError(text)).toMatchObject({ line, column, expected });
  });

  it("agrees with JSON.parse on mutations of valid texts", () => {
    const chance = new SeededChance(7n);
    const source = JSON.stringify({ a: [1, -2.5e3, "x\\y\n\u00e9", null, true, { b: {}, c: [] }], d: "" }, null, 1);
    for (let round = 0; round < 3000; round++) {
      const at = Math.floor(chance.next() * source.length);
      const kind = Math.floor(chance.next() * 3);
      const insert = kind === 0 ? "" : '{}[],:"\\x1e.- \n'[Math.floor(chance.next() * 15)]!;
      const text = source.slice(0, at) + insert + source.slice(at + (kind === 2 ? 0 : 1));
      let valid = true;
      try {
        JSON.parse(text);
      } catch {
        valid = false;
      }
      expect([text, findJsonError(text) === undefined]).toEqual([text, valid]);
    }
  });

  it("takes any depth and length", () => {
    expect(findJsonError("[".repeat(100_000))?.offset).toBe(100_000);
    expect(findJsonError(`"${"a\\n".repeat(500_000)}`)?.offset).toBe(1_500_001);
  });
});

/** The JSON of one event, after its frame was looked at. */
function parseEvent(event: string): Record<string, unknown> {
  expect(event).toMatch(/^data: [^\n]*\n\n$/);
  return JSON.parse(event.slice(6)) as Record<string, unknown>;
}

const head = { id: 'a"b', createdUnixSeconds: 7, model: "m/\u00fc", includeUsage: false };
const nasty = 'say "hi"\n\u2028\ud83d\ude00\ud800 </script> \\';

describe("chunks", () => {
  it("of chat carry text of any kind on one line", () => {
    const chunks = createChatChunks(head);
    expect(parseEvent(chunks.delta(3, nasty))).toEqual({
      id: 'a"b',
      object: "chat.completion.chunk",
      created: 7,
      model: "m/\u00fc",
      choices: [{ index: 3, delta: { content: nasty }, finish_reason: null }],
    });
  });

  it("of chat say the role first, the finish last, and null usage when usage will come", () => {
    const chunks = createChatChunks({ ...head, includeUsage: true });
    const first = parseEvent(chunks.event(0, "", { first: true }));
    expect(first).toMatchObject({
      choices: [{ delta: { role: "assistant", content: "" }, finish_reason: null }],
      usage: null,
    });
    const last = parseEvent(chunks.event(0, "", { finish: "stop", logprobs: '{"content":[]}' }));
    expect(last.choices).toEqual([{ index: 0, delta: {}, logprobs: { content: [] }, finish_reason: "stop" }]);
    const usage = parseEvent(chunks.usage(printUsage({ promptTokens: 3, cachedTokens: 1, completionTokens: 2 })));
    expect(usage).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5, prompt_tokens_details: { cached_tokens: 1 } },
    });
  });

  it("of completions have their own form", () => {
    const chunks = createCompletionChunks(head);
    expect(parseEvent(chunks.delta(1, nasty)).choices).toEqual([
      { index: 1, text: nasty, logprobs: null, finish_reason: null },
    ]);
    expect(parseEvent(chunks.event(1, "x", { finish: "length", usage: '{"a":1}', explain: '{"b":2}' }))).toMatchObject({
      object: "text_completion",
      choices: [{ text: "x", finish_reason: "length" }],
      usage: { a: 1 },
      stator: { b: 2 },
    });
  });
});

describe("bodies", () => {
  const answer = { id: "i", createdUnixSeconds: 1, model: "m", usage: '{"total_tokens":2}', explain: undefined };
  const choices = [
    { text: nasty, finish: "stop", logprobs: undefined },
    { text: "", finish: "length", logprobs: '{"content":[]}' },
  ];

  it("of chat and completions are JSON in OpenAI's form", () => {
    expect(JSON.parse(printChatBody({ ...answer, choices }))).toEqual({
      id: "i",
      object: "chat.completion",
      created: 1,
      model: "m",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: nasty, refusal: null },
          logprobs: null,
          finish_reason: "stop",
        },
        {
          index: 1,
          message: { role: "assistant", content: "", refusal: null },
          logprobs: { content: [] },
          finish_reason: "length",
        },
      ],
      usage: { total_tokens: 2 },
    });
    expect(JSON.parse(printCompletionBody({ ...answer, choices, explain: '{"worker":"1"}' }))).toMatchObject({
      object: "text_completion",
      choices: [
        { index: 0, text: nasty },
        { index: 1, text: "" },
      ],
      stator: { worker: "1" },
    });
  });

  it("of embeddings give back the same f32", () => {
    const values = Float32Array.of(0.1, -1.25, 3e-39, 123456.79);
    const parsed = JSON.parse(printEmbeddings("m", [printFloats(values), '"AAAAPw=="'], 4)) as {
      data: { embedding: number[] }[];
    };
    expect(Float32Array.from(parsed.data[0]!.embedding)).toEqual(values);
    expect(parsed).toMatchObject({
      object: "list",
      data: [{}, { index: 1, embedding: "AAAAPw==" }],
      usage: { prompt_tokens: 4, total_tokens: 4 },
    });
  });

  it("list models", () => {
    const model = {
      id: "a",
      createdUnixSeconds: 1,
      ownedBy: "o",
      contextTokens: 9,
      defaultSampling: { top_k: 64 },
      deterministic: "batch",
      parent: undefined,
    } as const;
    const default_sampling = { temperature: 1, top_k: 64 };
    const shown = {
      object: "model",
      created: 1,
      owned_by: "o",
      max_model_len: 9,
      default_sampling,
      deterministic: "batch",
    };
    const listed = [model, { ...model, id: "b", parent: "a" }];
    const list = {
      object: "list",
      data: [
        { id: "a", ...shown },
        { id: "b", ...shown, parent: "a" },
      ],
    };
    expect(JSON.parse(printModels({ listed, away: [] }))).toEqual(list);
    const away = [{ id: "c", state: "loading", reason: "The model is loading." }] as const;
    expect(JSON.parse(printModels({ listed, away }))).toEqual({ ...list, stator: { not_ready: away } });
  });
});

it("writes log-probabilities without infinities, whole characters or not", () => {
  const token = { text: "\ufffd", bytes: Uint8Array.of(0xc3), logprob: Number.NEGATIVE_INFINITY };
  const tokens = [{ ...token, top: [{ text: "a", bytes: Uint8Array.of(97), logprob: -0.5 }], offset: 2 }];
  expect(JSON.parse(printChatLogprobs(tokens))).toEqual({
    content: [
      { token: "\ufffd", logprob: -9999, bytes: [0xc3], top_logprobs: [{ token: "a", logprob: -0.5, bytes: [97] }] },
    ],
    refusal: null,
  });
  const printed = new CompletionLogprobs();
  printed.add(tokens.slice(0, 1));
  printed.add(tokens.slice(1));
  expect(JSON.parse(printed.print())).toEqual({
    tokens: ["\ufffd"],
    token_logprobs: [-9999],
    top_logprobs: [{ "\ufffd": -9999, a: -0.5 }],
    text_offset: [2],
  });
});

describe("errors", () => {
  it("have OpenAI's nested form for every reason", () => {
    for (const reason of Object.keys(REASONS) as (keyof typeof REASONS)[]) {
      const body = JSON.parse(printErrorBody(new StatorError(reason, {}, { param: "p" }))) as {
        error: Record<string, unknown>;
      };
      expect(body).toEqual({
        error: { message: expect.any(String), type: REASONS[reason].type, param: "p", code: REASONS[reason].code },
      });
    }
  });

  it("tell clients whether to try again", () => {
    expect(retryHeaders(new StatorError("INVALID_JSON"))).toEqual({});
    expect(retryHeaders(new StatorError("INTERNAL"))).toEqual({ "x-should-retry": "false" });
    expect(retryHeaders(new StatorError("OVERLOADED", {}, { retryAfterMs: 1500 }))).toEqual({
      "retry-after": "2",
      "retry-after-ms": "1500",
    });
  });
});

it("documents every route, and points only to schemas that are there", () => {
  const routes = [CHAT_ROUTE, COMPLETION_ROUTE, EMBEDDING_ROUTE, ...READ_ROUTES];
  const text = printOpenApi("1.2.3", routes);
  const document = JSON.parse(text) as {
    paths: Record<string, object>;
    components: { schemas: Record<string, object> };
  };
  expect(Object.keys(document.paths)).toContain("/v1/chat/completions");
  // JSON Schema wants at least one alternative in each of these.
  expect(text).not.toMatch(/"(?:oneOf|anyOf|allOf|enum)":\[\]/);
  for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g))
    expect(document.components.schemas).toHaveProperty(name!);
  expect(document.components.schemas.CreateChatCompletionRequest).toMatchObject({
    required: ["model", "messages"],
    additionalProperties: false,
  });
  const page = printFieldsPage(routes);
  expect(page).toContain("| `temperature` | a number from 0 to 2 | honoured |");
  expect(page).toContain("| `stator.worker` |");
});

it("an event is one line to a reader that knows every line end of Unicode", () => {
  const said = "a\u0085b\u2028c\u2029d\ne";
  const head = { id: said, createdUnixSeconds: 1, model: said, includeUsage: false };
  for (const chunks of [createChatChunks(head), createCompletionChunks(head)]) {
    for (const event of [chunks.delta(0, said), chunks.event(0, said, { first: true }), chunks.usage("1")]) {
      expect(event.slice(0, -2)).not.toMatch(/[\u0085\u2028\u2029\n]/);
      expect(JSON.stringify(JSON.parse(event.slice("data: ".length)))).toContain(JSON.stringify(said));
    }
  }
  expect(printEvent('"plain é"')).toBe('data: "plain é"\n\n');
});
