import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import { encodeBytes } from "../../../test/support/rehearsal/byte-text.ts";
import { RehearsalDispatcher } from "../../../test/support/rehearsal/dispatcher.ts";
import { openRehearsal, type Rehearsal } from "../../../test/support/rehearsal/open.ts";

let rehearsal: Rehearsal;
let dispatcher: RehearsalDispatcher;
/** What the worker fails with, once. */
let failure: StatorError | undefined;
beforeAll(async () => {
  const reply = () => {
    const error = failure;
    failure = undefined;
    return { tokens: encodeBytes("hi"), ...(error && { error }) };
  };
  const embedding = () => Float32Array.of(0.5, -1, 0.1);
  dispatcher = new RehearsalDispatcher({ running: true, reply, embedding });
  rehearsal = await openRehearsal(dispatcher);
});
afterAll(() => rehearsal.frontend.close({ drainMs: 0 }));

type Headers = Record<string, string>;

const get = (path: string, headers: Headers = {}): Promise<Response> => fetch(rehearsal.url + path, { headers });
const post = (path: string, body: unknown, headers: Headers = {}): Promise<Response> =>
  fetch(rehearsal.url + path, {
    method: "POST",
    body: body instanceof Buffer ? (body as unknown as Uint8Array<ArrayBuffer>) : JSON.stringify(body),
    headers: { "content-type": "application/json", ...headers },
  });
const told = async (response: Response): Promise<[number, unknown]> => [response.status, await response.json()];

const TEXT = { name: "text_input", shape: [1], datatype: "BYTES", data: ["hello"] };
const USAGE = { prompt_tokens: 6, completion_tokens: 2, total_tokens: 8, cached_tokens: 3 };
const HEAD = { model_name: "rehearsal", model_version: "1", parameters: USAGE };
const LENGTH = "inference-header-content-length";

/** JSON and what stands behind it, of an answer with both. */
async function cut(response: Response): Promise<[unknown, string]> {
  const bytes = Buffer.from(await response.arrayBuffer());
  const length = Number(response.headers.get(LENGTH));
  return [JSON.parse(bytes.subarray(0, length).toString()), bytes.subarray(length).toString("hex")];
}

describe("POST /v2/models/{model}/infer", () => {
  it("answers JSON with JSON, at each of its paths", async () => {
    const outputs = [
      { name: "text_output", datatype: "BYTES", shape: [1], data: ["hi"] },
      { name: "finish_reason", datatype: "BYTES", shape: [1], data: ["stop"] },
    ];
    const answer = { ...HEAD, id: "r1", outputs };
    const body = { id: "r1", inputs: [TEXT], parameters: { max_tokens: 8, temperature: 0.5 } };
    for (const path of ["/v2/models/rehearsal/infer", "/v2/models/rehearsal/versions/1/infer"]) {
      expect(await told(await post(path, body))).toEqual([200, answer]);
    }
    const { route, stopping, sampling, input } = dispatcher.requests.at(-1)!;
    expect([route, stopping.maxTokens, sampling.temperature]).toEqual(["infer", 8, 0.5]);
    expect(input.prompts[0]!.length).toBe(6);
  });

  it("reads raw tensors behind the JSON, whatever the content type says, and answers likewise", async () => {
    const json =
      '{"inputs":[{"name":"text_input","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":9}}],"outputs":[{"name":"text_output"}],"parameters":{"binary_data_output":true}}';
    const body = Buffer.concat([Buffer.from(json), Buffer.from("0500000068656c6c6f", "hex")]);
    for (const type of ["application/octet-stream", "application/json"]) {
      const response = await post("/v2/models/rehearsal/infer", body, {
        [LENGTH]: String(json.length),
        "content-type": type,
      });
      expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/octet-stream"]);
      const output = { name: "text_output", datatype: "BYTES", shape: [1], parameters: { binary_data_size: 6 } };
      expect(await cut(response)).toEqual([{ ...HEAD, outputs: [output] }, "020000006869"]);
    }
    const plain = await post("/v2/models/rehearsal/infer", Buffer.from(JSON.stringify({ inputs: [TEXT] })), {
      "content-type": "application/octet-stream",
    });
    expect(plain.status).toBe(200);
  });

  it("answers with vectors, as JSON or raw", async () => {
    const body = { inputs: [{ ...TEXT, shape: [2], data: ["a", "b"] }], outputs: [{ name: "embedding" }] };
    const [, json] = await told(await post("/v2/models/rehearsal/infer", body));
    const output = { name: "embedding", datatype: "FP32", shape: [2, 3] };
    const row = [0.5, -1, 0.100000001];
    expect(json).toMatchObject({ outputs: [{ ...output, data: [...row, ...row] }] });
    const raw = await post("/v2/models/rehearsal/infer", {
      ...body,
      outputs: [{ name: "embedding", parameters: { binary_data: true } }],
    });
    const bytes = Buffer.from(Float32Array.of(0.5, -1, 0.1).buffer).toString("hex");
    expect(await cut(raw)).toMatchObject([
      { outputs: [{ ...output, parameters: { binary_data_size: 24 } }] },
      bytes + bytes,
    ]);
  });

  it("reads long bodies in the thread, and they are answered alike", async () => {
    const body = `${" ".repeat(70_000)}${JSON.stringify({ inputs: [TEXT] })}`;
    expect(await told(await post("/v2/models/rehearsal/infer", Buffer.from(body)))).toMatchObject([200, HEAD]);
    const wrong = await post("/v2/models/rehearsal/versions/2/infer", Buffer.from(body));
    expect(await told(wrong)).toMatchObject([404, { error: expect.stringContaining("2") }]);
  });

  it.each<[string, number, string, unknown, Headers?]>([
    ["/v2/models/none/infer", 404, "Request for unknown model: 'none' is not found", Buffer.from("{")],
    ["/v2/models/rehearsal/versions/7/infer", 404, "7", Buffer.from("{")],
    ["/v2/models/rehearsal/infer", 400, "not valid JSON", Buffer.from("{")],
    ["/v2/models/rehearsal/infer", 400, "not valid UTF-8", Buffer.from([0x22, 0xff, 0x22])],
    ["/v2/models/rehearsal/infer", 400, "INPUT0", { inputs: [{ ...TEXT, name: "INPUT0" }] }],
    ["/v2/models/rehearsal/infer", 400, "says 999 bytes", { inputs: [TEXT] }, { [LENGTH]: "999" }],
    ["/v2/models/rehearsal/infer", 400, "stream", { inputs: [TEXT], parameters: { stream: true } }],
    ["/v2/models/rehearsal/infer", 400, "temprature", { inputs: [TEXT], parameters: { temprature: 1 } }],
    ["/v2/models/rehearsal/infer", 415, "content-type", { inputs: [TEXT] }, { "content-type": "text/csv" }],
    ["/v2/models/rehearsal/generate", 400, "stream", { text_input: "a", stream: true }],
    ["/v2/models/rehearsal/generate_stream", 400, "text_input", {}],
    ["/v2/models/none/generate_stream", 404, "none", {}],
  ])("%s is refused with %d: %s", async (path, status, sentence, body, headers) => {
    const [code, answer] = await told(await post(path, body, headers));
    expect([code, Object.keys(answer as object)]).toEqual([status, ["error"]]);
    expect((answer as { error: string }).error).toContain(sentence);
  });

  it("tells of a wrong method in its own form, and what is right", async () => {
    const response = await get("/v2/models/rehearsal/infer");
    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST, OPTIONS"]);
    expect(await response.json()).toEqual({ error: expect.any(String) });
  });
});

describe("generate", () => {
  it("answers as a whole with each output under its name", async () => {
    const answer = { ...HEAD, text_output: "hi", finish_reason: "stop" };
    expect(await told(await post("/v2/models/rehearsal/generate", { text_input: "hello", max_tokens: 8 }))).toEqual([
      200,
      answer,
    ]);
    const several = { text_input: ["a", "b"], parameters: { stop: ["x"] } };
    expect(await told(await post("/v2/models/rehearsal/generate", several))).toMatchObject([
      200,
      { text_output: ["hi", "hi"] },
    ]);
    expect(dispatcher.requests.at(-1)!.stopping.stopTexts).toEqual(["x"]);
  });

  const events = async (response: Response): Promise<object[]> => {
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/event-stream; charset=utf-8"]);
    const parts = (await response.text()).split("\n\n");
    expect(parts.pop()).toBe("");
    return parts.map((part) => JSON.parse(part.replace(/^data: /, "")) as object);
  };

  it("streams an event for each part, the usage with the last, and no other mark of the end", async () => {
    const said = await events(await post("/v2/models/rehearsal/generate_stream", { id: "a", text_input: "hello" }));
    const head = { model_name: "rehearsal", model_version: "1", id: "a" };
    expect(said).toEqual([
      { ...head, text_output: "h" },
      { ...head, text_output: "i" },
      { ...head, parameters: USAGE, text_output: "", finish_reason: "stop" },
    ]);
  });

  it("has one event for who asks there without a stream", async () => {
    const body = { text_input: "hello", parameters: { stream: false } };
    const said = await events(await post("/v2/models/rehearsal/versions/1/generate_stream", body));
    expect(said).toEqual([{ ...HEAD, text_output: "hi", finish_reason: "stop" }]);
  });

  it("tells an error before the first part as a status, and behind it as an event", async () => {
    failure = new StatorError("ENGINE_FAILED", { detail: "boom" });
    const said = await events(await post("/v2/models/rehearsal/generate_stream", { text_input: "hello" }));
    expect(said.at(-1)).toEqual({ error: "The engine failed: boom." });
  });
});

describe("OpenAI's API where KServe's clients look for it", () => {
  it("is the same", async () => {
    const chat = { model: "rehearsal", messages: [{ role: "user", content: "a" }] };
    const [, answer] = await told(await post("/openai/v1/chat/completions", chat));
    expect(answer).toMatchObject({ object: "chat.completion", choices: [{ message: { content: "hi" } }] });
    const [, completion] = await told(await post("/openai/v1/completions", { model: "rehearsal", prompt: "a" }));
    expect(completion).toMatchObject({ object: "text_completion", choices: [{ text: "hi" }] });
    const [, list] = await told(await post("/openai/v1/embeddings", { model: "rehearsal", input: "a" }));
    expect(list).toMatchObject({ object: "list", data: [{ object: "embedding" }] });
    expect(await (await get("/openai/v1/models")).json()).toEqual(await (await get("/v1/models")).json());
    expect(await (await get("/openai/v1/models/rehearsal")).json()).toMatchObject({ id: "rehearsal" });
  });

  it("but for its errors, whose code is the status as a text", async () => {
    const error = (code: string) => {
      return { error: { message: expect.any(String), type: "invalid_request_error", param: "", code } };
    };
    expect(await told(await post("/openai/v1/completions", { model: "rehearsal" }))).toEqual([400, error("400")]);
    expect(await told(await get("/openai/v1/models/none"))).toEqual([404, error("404")]);
    failure = new StatorError("ENGINE_FAILED", { detail: "boom" });
    const stream = await post("/openai/v1/completions", { model: "rehearsal", prompt: "a", stream: true });
    const events = (await stream.text()).split("\n\n").slice(-3);
    expect(JSON.parse(events[0]!.slice("data: ".length))).toMatchObject({ error: { param: "", code: "500" } });
    expect(events[1]).toBe("data: [DONE]");
  });
});

describe("operations", () => {
  it("tell health in a form that Triton's and KServe's clients read", async () => {
    expect(await told(await get("/v2/health/live"))).toEqual([200, { live: true }]);
    expect(await told(await get("/v2/health/ready"))).toEqual([200, { ready: true }]);
    expect(await told(await get("/v2/models/rehearsal/ready"))).toEqual([200, { name: "rehearsal", ready: true }]);
    expect(await told(await get("/v2/models/rehearsal/versions/1/ready"))).toMatchObject([200, { ready: true }]);
    expect(await told(await get("/v2/models/none/ready"))).toEqual([503, { name: "none", ready: false }]);
    expect((await get("/v2/models/rehearsal/versions/2/ready")).status).toBe(503);
  });

  it("describe the server and its models", async () => {
    expect(await told(await get("/v2"))).toMatchObject([
      200,
      { version: "0.0.0", extensions: expect.arrayContaining(["statistics"]) },
    ]);
    expect(await told(await get("/v2/"))).toMatchObject([200, { version: "0.0.0" }]);
    expect(await told(await get("/v2/models"))).toEqual([200, { models: ["rehearsal"] }]);
    const [, metadata] = await told(await get("/v2/models/rehearsal"));
    expect(metadata).toMatchObject({
      name: "rehearsal",
      versions: ["1"],
      inputs: expect.arrayContaining([{ name: "text_input", datatype: "BYTES", shape: [-1] }]),
    });
    const [, config] = await told(await get("/v2/models/rehearsal/versions/1/config"));
    expect(config).toMatchObject({ name: "rehearsal", model_transaction_policy: { decoupled: true } });
    const [, stats] = await told(await get("/v2/models/rehearsal/stats"));
    expect(stats).toMatchObject({ model_stats: [{ name: "rehearsal", version: "1", inference_count: 0 }] });
    expect(await told(await get("/v2/models/stats"))).toMatchObject([200, { model_stats: [{ name: "rehearsal" }] }]);
    for (const path of ["", "/config", "/stats"]) {
      expect(await told(await get(`/v2/models/none${path}`))).toEqual([
        404,
        { error: expect.stringContaining("none") },
      ]);
    }
  });

  it("list the repository, with a body or without", async () => {
    const list = [{ name: "rehearsal", version: "1", state: "READY", reason: "" }];
    const url = "/v2/repository/index";
    expect(await told(await post(url, { ready: true }))).toEqual([200, list]);
    expect(await told(await post(url, Buffer.alloc(0)))).toEqual([200, list]);
    expect(await told(await post(url, { redy: true }))).toMatchObject([
      400,
      { error: expect.stringContaining("ready") },
    ]);
    expect((await post(url, Buffer.alloc(70_000, " "))).status).toBe(413);
  });

  it("of operators are for this machine, whoever asks in its name", async () => {
    const far = { "x-forwarded-for": "10.0.0.1" };
    const body = { key: "/k", byte_size: 64 };
    const paths = [
      ["/v2/repository/models/m/load", {}],
      ["/v2/repository/models/m/unload", {}],
      ["/v2/systemsharedmemory/region/r/register", body],
      ["/v2/systemsharedmemory/unregister", {}],
      ["/v2/cudasharedmemory/region/r/register", {}],
      ["/v2/trace/setting", {}],
      ["/v2/logging", {}],
    ] as const;
    for (const [path, said] of paths) {
      expect(await told(await post(path, said, far)), path).toEqual([
        403,
        { error: expect.stringContaining("--operators-anywhere") },
      ]);
    }
    for (const path of ["/v2/systemsharedmemory/status", "/v2/logging", "/v2/models/m/trace/setting"]) {
      expect((await get(path, far)).status, path).toBe(403);
    }
  });

  it("are counted by their group, and documented each", async () => {
    const metrics = await rehearsal.metrics.print();
    for (const route of ["infer", "generate", "generate_stream", "hosted_chat", "v2_health", "v2_models"]) {
      expect(metrics).toContain(`stator_frontend_requests_total{route="${route}",outcome="ok"}`);
    }
    const document = (await (await get("/openapi.json")).json()) as {
      paths: Record<string, Record<string, { operationId?: string }>>;
    };
    const { paths } = document;
    expect(paths["/v2/models/{model}/versions/{version}/infer"]).toHaveProperty("post");
    expect(Object.keys(paths["/v2/logging"]!)).toEqual(["get", "post"]);
    const names = Object.values(paths).flatMap((path) =>
      Object.values(path).flatMap(({ operationId }) => operationId ?? []),
    );
    expect(new Set(names).size).toBe(names.length);
  });
});
