import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import { createLog } from "#lib/host/log";
import { encodeBytes } from "../../../test/support/rehearsal/byte-text.ts";
import { RehearsalDispatcher } from "../../../test/support/rehearsal/dispatcher.ts";
import { openRehearsal, type Rehearsal } from "../../../test/support/rehearsal/open.ts";

const LIMIT = 20_000;
const lines: string[] = [];
const refused = new Map<string, StatorError>();
let rehearsal: Rehearsal;
let dispatcher: RehearsalDispatcher;

beforeAll(async () => {
  dispatcher = new RehearsalDispatcher({
    running: true,
    reply: () => ({ tokens: encodeBytes("x") }),
    admit({ cacheSalt }) {
      const error = refused.get(cacheSalt);
      if (error) throw error;
    },
  });
  const log = createLog({ level: "info", pretty: false, write: (line) => void lines.push(line) });
  rehearsal = await openRehearsal(dispatcher, { limits: { bodyBytes: LIMIT, headersMs: 300, requestMs: 600 }, log });
  lines.length = 0;
});
afterAll(() => rehearsal.frontend.close({ drainMs: 0 }));

const JSON_TYPE = { "content-type": "application/json" };

async function send(method: string, path: string, body?: string | Buffer, headers: Record<string, string> = JSON_TYPE) {
  const response = await fetch(rehearsal.url + path, { method, body, headers });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text };
}

/** The error in OpenAI's form; everything about the form is checked here. */
function errorOf(text: string): { message: string; type: string; param: string | null; code: string | null } {
  const body = JSON.parse(text) as {
    error: { message: string; type: string; param: string | null; code: string | null };
  };
  expect(Object.keys(body)).toEqual(["error"]);
  expect(Object.keys(body.error)).toEqual(["message", "type", "param", "code"]);
  expect(body.error.message).not.toMatch(/\n|\.ts|node:|at \//);
  return body.error;
}

const chat = (fields: object = {}): string =>
  JSON.stringify({ model: "rehearsal", messages: [{ role: "user", content: "hi" }], ...fields });

describe("bad input gets a status and OpenAI's form", () => {
  const CHAT = "/v1/chat/completions";
  it.each<[string, string, string | Buffer, number, string, string | null]>([
    ["malformed JSON", CHAT, '{"model": "rehearsal",', 400, "invalid_json", null],
    ["an empty body", CHAT, "", 400, "invalid_json", null],
    ["JSON that is no object", CHAT, "[1]", 400, "invalid_value", null],
    ["invalid UTF-8", CHAT, Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22]), 400, "invalid_utf8", null],
    [
      "half of a character",
      CHAT,
      '{"model":"rehearsal","messages":[{"role":"user","content":"\\ud83d"}]}',
      400,
      "invalid_value",
      "messages[0].content",
    ],
    ["an unknown field", CHAT, chat({ temprature: 1 }), 400, "unknown_field", "temprature"],
    ["a wrong type", CHAT, chat({ max_tokens: "5" }), 400, "invalid_value", "max_tokens"],
    ["temperature 3", CHAT, chat({ temperature: 3 }), 400, "invalid_value", "temperature"],
    ["max_tokens 0", CHAT, chat({ max_tokens: 0 }), 400, "invalid_value", "max_tokens"],
    ["several mistakes", CHAT, chat({ max_tokens: 0, n: 0 }), 400, "invalid_request", "max_tokens"],
    ["a refused field", CHAT, chat({ audio: {} }), 400, "unsupported_value", "audio"],
    [
      "a prompt longer than the context",
      CHAT,
      chat({ messages: [{ role: "user", content: "x".repeat(5000) }] }),
      400,
      "context_length_exceeded",
      "messages",
    ],
    ["an unknown model", CHAT, chat({ model: "reharsal" }), 404, "model_not_found", "model"],
    ["a body over the limit", CHAT, chat({ user: "x".repeat(LIMIT) }), 413, "body_too_large", null],
    [
      "a broken schema",
      CHAT,
      chat({ response_format: { type: "json_schema", json_schema: { name: "s", schema: { typ: 1 } } } }),
      400,
      "unsupported_schema",
      "response_format",
    ],
    [
      "messages that the template refuses",
      CHAT,
      chat({ messages: [{ role: "assistant", content: "a" }] }),
      400,
      "invalid_messages",
      "messages",
    ],
    [
      "a token outside the vocabulary",
      "/v1/completions",
      '{"model":"rehearsal","prompt":[9999]}',
      400,
      "invalid_value",
      "prompt",
    ],
    ["a bias for such a token", CHAT, chat({ logit_bias: { "9999": 1 } }), 400, "invalid_value", "logit_bias"],
    [
      "an over-long input",
      "/v1/embeddings",
      JSON.stringify({ model: "rehearsal", input: "x".repeat(5000) }),
      400,
      "context_length_exceeded",
      "input",
    ],
    ["an unknown path", "/v1/chat/complete", "{}", 404, "not_found", null],
  ])("%s", async (_, path, body, status, code, param) => {
    const answer = await send("POST", path, body);
    expect([answer.status, errorOf(answer.text)]).toMatchObject([
      status,
      { code, param, type: "invalid_request_error" },
    ]);
    expect(answer.headers.get("x-request-id")).toBeTruthy();
  });

  it("says where the JSON is broken, and what the model was probably called", async () => {
    expect(errorOf((await send("POST", CHAT, '{\n "model": x}')).text).message).toContain(
      "expected a value at line 2, column 11",
    );
    const long = chat({ messages: [{ role: "user", content: "x".repeat(5000) }] });
    expect(errorOf((await send("POST", CHAT, long)).text).message).toContain("maximum context length is 4096 tokens");
    expect(errorOf((await send("POST", CHAT, chat({ model: "reharsal" }))).text).message).toContain(
      "Did you mean rehearsal?",
    );
  });

  it("a body that is not JSON by its header", async () => {
    for (const headers of [
      { "content-type": "text/html" },
      { "content-type": "text/plain", origin: "http://elsewhere.example" },
      { "content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "cross-site" },
      { "content-type": "application/json; charset=latin1" },
      { ...JSON_TYPE, "content-encoding": "gzip" },
    ] as Record<string, string>[]) {
      const { status, text } = await send("POST", CHAT, chat(), headers);
      expect([status, errorOf(text).code]).toEqual([415, "unsupported_media_type"]);
    }
    expect((await send("POST", CHAT, Buffer.from(chat()), {})).status).toBe(200);
    // What curl -d and fetch say by themselves.
    for (const type of ["application/x-www-form-urlencoded", "text/plain;charset=UTF-8"])
      expect((await send("POST", CHAT, chat(), { "content-type": type })).status).toBe(200);
    expect((await send("POST", CHAT, chat(), { "content-type": "application/json; charset=UTF-8" })).status).toBe(200);
  });

  it("a method that the path does not have", async () => {
    for (const [method, path, allow] of [
      ["GET", CHAT, "POST, OPTIONS"],
      ["DELETE", "/v1/models", "GET, HEAD, OPTIONS"],
    ] as const) {
      const { status, headers, text } = await send(method, path, undefined, {});
      expect([status, errorOf(text).code, headers.get("allow")]).toEqual([405, "method_not_allowed", allow]);
    }
  });

  it("a worker that cannot be named", async () => {
    expect((await send("POST", CHAT, chat(), { ...JSON_TYPE, "x-stator-worker": "nope" })).status).toBe(400);
  });

  it("what the dispatcher refuses, with the time to wait", async () => {
    const cases = [
      [new StatorError("OVERLOADED", { what: "rehearsal" }, { retryAfterMs: 2500 }), 429, "3"],
      [new StatorError("NO_WORKERS", { model: "rehearsal" }), 503, "1"],
      [new StatorError("WORKER_NOT_FOUND", { worker: "1", model: "rehearsal" }), 404, null],
    ] as const;
    for (const [error, status, retryAfter] of cases) {
      refused.set("refuse", error);
      const answer = await send("POST", CHAT, chat({ cache_salt: "refuse", stream: true }));
      expect([answer.status, answer.headers.get("retry-after")]).toEqual([status, retryAfter]);
      expect(errorOf(answer.text).message).toBe(error.message);
    }
  });

  it("and leaks nothing of a bug of ours, which is logged", async () => {
    refused.set("refuse", new TypeError("secret detail in /some/file.ts") as never);
    const answer = await send("POST", CHAT, chat({ cache_salt: "refuse" }));
    expect([answer.status, errorOf(answer.text)]).toMatchObject([
      500,
      { code: "internal_error", type: "server_error" },
    ]);
    expect(answer.text).not.toContain("secret");
    expect(answer.headers.get("x-should-retry")).toBe("false");
    expect(lines.splice(0).join("")).toContain("request failed");
  });
});

/** Sends raw bytes and returns all that comes back until the server closes. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let got = "";
    const socket = connect(rehearsal.frontend.port, "127.0.0.1", () => void socket.write(bytes));
    socket.on("data", (chunk) => {
      got += chunk.toString();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(got));
  });
}

describe("bytes that are no request", () => {
  it("get 400 in OpenAI's form", async () => {
    const [head, body] = (await raw("NOT HTTP\r\n\r\n")).split("\r\n\r\n");
    expect(head).toMatch(/^HTTP\/1\.1 400 /);
    expect(errorOf(body!).type).toBe("invalid_request_error");
  });

  it("are requests without a host all the same, and with a whole address", async () => {
    expect(await raw("GET /live HTTP/1.1\r\nconnection: close\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 /);
    const whole = "GET http://127.0.0.1/v1/models?x=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    expect(await raw(whole)).toMatch(/^HTTP\/1\.1 200 /);
  });

  it("get 431 when the headers are too long", async () => {
    expect(await raw(`GET / HTTP/1.1\r\nx: ${"y".repeat(40_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
  });

  it("get 408 when they come too slowly", async () => {
    expect(await raw("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n")).toMatch(/^HTTP\/1\.1 408 /);
    expect(await raw('POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{"a"')).toMatch(
      /^HTTP\/1\.1 408 /,
    );
  });

  it("get 417 when they expect what nobody knows, and 501 when they come in a coding that nobody undoes", async () => {
    const post = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n";
    for (const [headers, status, code] of [
      ["expect: the-unexpected\r\ncontent-length: 2\r\n\r\n{}", 417, "expectation_failed"],
      ["transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "unsupported_transfer_encoding"],
    ] as const) {
      const [head, body] = (await raw(post + headers)).split("\r\n\r\n");
      expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
      expect(head).toMatch(/^connection: close$/im);
      expect(errorOf(body!)).toMatchObject({ code, type: "invalid_request_error" });
    }
  });

  it("are not asked for when the client announces too many", async () => {
    const answer = await raw(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: ${LIMIT + 1}\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer.toLowerCase()).toContain("connection: close");
  });
});

it("logs one line for each refusal with nothing of the request in it, keeps nothing and dispatches nothing", async () => {
  expect(lines.length).toBeGreaterThan(0);
  for (const line of lines) {
    const { phrase, ...fields } = JSON.parse(line) as Record<string, unknown>;
    expect(phrase).toBe("request refused");
    expect(Object.keys(fields)).toEqual(["time", "level", "request", "route", "ms", "outcome", "reason", "status"]);
    expect([fields.level, fields.outcome]).toEqual(["info", "refused"]);
    expect(fields.reason).toMatch(/^[A-Z_]+$/);
  }
  expect(dispatcher.open).toBe(0);
  expect(await rehearsal.metrics.print()).toMatch(/stator_frontend_body_bytes 0\n/);
});
