import { type ClientRequest, get, request } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { ModelView } from "#lib/discovery/model-view";
import { instanceKey, modelKey } from "#lib/discovery/record-keys";
import { createLog } from "#lib/host/log";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { createByteText, encodeBytes } from "../../../test/support/rehearsal/byte-text.ts";
import { RehearsalDispatcher } from "../../../test/support/rehearsal/dispatcher.ts";
import {
  openRehearsal,
  REHEARSAL_TOKENIZER,
  type Rehearsal,
  RehearsalWatch,
  rehearsalRecords,
} from "../../../test/support/rehearsal/open.ts";
import { openFrontend } from "../frontend.ts";
import type { RenderedPrompt } from "../text/model-text.ts";

const opened: Rehearsal[] = [];
afterEach(async () => {
  for (const { frontend } of opened.splice(0)) await frontend.close({ drainMs: 0 });
});

async function open(
  reply: string,
  options: Parameters<typeof openRehearsal>[1] & { running?: boolean } = {},
): Promise<{ dispatcher: RehearsalDispatcher; rehearsal: Rehearsal }> {
  const dispatcher = new RehearsalDispatcher({
    running: options.running ?? true,
    reply: () => ({ tokens: encodeBytes(reply) }),
  });
  const rehearsal = await openRehearsal(dispatcher, options);
  opened.push(rehearsal);
  return { dispatcher, rehearsal };
}

const BODY = JSON.stringify({ model: "rehearsal", messages: [{ role: "user", content: "hi" }], stream: true });

function post(url: string, options: { signal?: AbortSignal; body?: string } = {}): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: options.body ?? BODY,
    signal: options.signal,
  });
}

async function until(check: () => boolean): Promise<void> {
  while (!check()) await new Promise((resolve) => setTimeout(resolve, 2));
}

describe("the small routes", () => {
  it("tell health, life, models, metrics and the document", async () => {
    const { rehearsal } = await open("x");
    const read = (path: string) => fetch(rehearsal.url + path);
    expect(await (await read("/health")).json()).toEqual({ status: "ready", models: ["rehearsal"] });
    expect(await (await read("/live?x=1")).json()).toEqual({ status: "live" });
    expect(await (await read("/v1/models")).json()).toEqual({
      object: "list",
      data: [
        {
          id: "rehearsal",
          object: "model",
          created: 1_800_000_000,
          owned_by: "stator",
          max_model_len: 4096,
          default_sampling: { temperature: 1 },
          deterministic: "no",
        },
      ],
    });
    expect(await (await read("/v1/models/rehearsal")).json()).toMatchObject({ id: "rehearsal", object: "model" });
    for (const path of ["/v1/models/", "/v1/models/rehearsal/", "/live/"]) expect((await read(path)).status).toBe(200);
    expect((await read("/v1/models//")).status).toBe(404);
    expect((await read("/v1/models/other%2Fone")).status).toBe(404);
    expect((await read("/v1/models/%zz")).status).toBe(404);
    expect(await (await read("/openapi.json")).json()).toMatchObject({ openapi: "3.1.0" });
    expect(await (await read("/metrics")).text()).toContain(
      'stator_frontend_requests_total{route="health",outcome="ok"} 1',
    );
  });

  it("answer HEAD and OPTIONS", async () => {
    const { rehearsal } = await open("x");
    const head = await fetch(`${rehearsal.url}/health`, { method: "HEAD" });
    expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "41", ""]);
    const options = await fetch(`${rehearsal.url}/v1/chat/completions`, { method: "OPTIONS" });
    expect([options.status, options.headers.get("allow")]).toEqual([204, "POST, OPTIONS"]);
    expect(options.headers.get("access-control-allow-origin")).toBeNull();
  });

  it("let pages in only from the origins that were named", async () => {
    const { rehearsal } = await open("x", { corsOrigins: ["https://a.example"] });
    const ask = (origin: string, headers = {}, method = "GET") =>
      fetch(`${rehearsal.url}/live`, { method, headers: { origin, ...headers } });
    expect((await ask("https://a.example")).headers.get("access-control-allow-origin")).toBe("https://a.example");
    expect((await ask("https://b.example")).headers.get("access-control-allow-origin")).toBeNull();
    const preflight = await ask(
      "https://a.example",
      { "access-control-request-method": "POST", "access-control-request-headers": "x-stainless-lang" },
      "OPTIONS",
    );
    expect(preflight.headers.get("access-control-allow-headers")).toBe("x-stainless-lang");
    expect(preflight.headers.get("access-control-allow-methods")).toBe("GET, HEAD, OPTIONS");
  });
});

describe("models", () => {
  it("appear and disappear; who asks for what is loading may wait, or gets 503 and a time to wait", async () => {
    const { rehearsal } = await open("x", { empty: true, limits: { loadingMs: 0 } });
    const { watch, url, frontend } = rehearsal;
    const ask = () => post(url, { body: BODY.replace("true", "false") });
    expect([(await fetch(`${url}/health`)).status, (await ask()).status]).toEqual([503, 404]);
    watch.put(...rehearsalRecords("rehearsal", { state: InstanceState.LOADING, loaded: false }));
    const loading = await ask();
    expect([loading.status, loading.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(((await loading.json()) as { error: { code: string } }).error.code).toBe("model_loading");
    watch.put(...rehearsalRecords("rehearsal"));
    await until(() => frontend.routable().length > 0);
    expect([(await fetch(`${url}/health`)).status, (await ask()).status]).toEqual([200, 200]);
    watch.put(...rehearsalRecords("rehearsal", { state: InstanceState.DRAINING }));
    expect((await fetch(`${url}/health`)).status).toBe(503);
    watch.remove(modelKey("rehearsal", 1n));
    expect(((await (await ask()).json()) as { error: { code: string } }).error.code).toBe("no_workers");
    watch.remove(...watch.records.keys());
    const gone = await ask();
    expect([gone.status, gone.headers.get("retry-after")]).toEqual([503, "2"]);
  });
});

it("names the tokenizer that made a prompt, though the model comes anew while it is encoded", async () => {
  const encoding = Promise.withResolvers<void>();
  const encoded = Promise.withResolvers<void>();
  const text = () => ({
    ...createByteText(),
    async encodePrompt(prompt: RenderedPrompt) {
      encoding.resolve();
      await encoded.promise;
      return encodeBytes(prompt.text);
    },
  });
  const { dispatcher, rehearsal } = await open("x", { text });
  const [, card] = rehearsalRecords("rehearsal");
  const answer = post(rehearsal.url);
  await encoding.promise;
  if (card?.value.case === "model") card.value.value.artifacts[0]!.digest = new Uint8Array(32);
  rehearsal.watch.put(card!);
  encoded.resolve();
  await (await answer).text();
  expect(dispatcher.requests.map(({ input }) => input.tokenizer)).toEqual([REHEARSAL_TOKENIZER]);
});

/** Records of the one worker while it loads, with or without the name of what it loads. */
const loading = (name?: string) =>
  rehearsalRecords(name ?? "rehearsal", { state: InstanceState.LOADING, loaded: name !== undefined }).slice(0, 1);

describe("a request for a model that is loading", () => {
  const whole = BODY.replace("true", "false");
  const waiting = async ({ metrics }: Rehearsal) =>
    Number(/loading_requests (\d+)/.exec(await metrics.print())?.[1] ?? "-1");
  async function untilWaiting(rehearsal: Rehearsal, count: number): Promise<void> {
    while ((await waiting(rehearsal)) !== count) await new Promise(setImmediate);
  }

  it("waits until it is there, as do embeddings and completions", async () => {
    const { rehearsal } = await open("x", { empty: true });
    const { watch, url } = rehearsal;
    watch.put(...loading());
    const send = (path: string, fields: object) =>
      fetch(`${url}/v1/${path}`, { method: "POST", body: JSON.stringify({ model: "rehearsal", ...fields }) });
    const answers = [
      post(url, { body: whole }),
      send("completions", { prompt: "a" }),
      send("embeddings", { input: "a" }),
    ];
    await untilWaiting(rehearsal, 3);
    watch.put(...rehearsalRecords("rehearsal"));
    for (const answer of await Promise.all(answers)) expect(answer.status).toBe(200);
    expect(await waiting(rehearsal)).toBe(0);
  });

  it("hears at once that its worker went, or loads another model", async () => {
    const { rehearsal } = await open("x", { empty: true });
    const { watch, url } = rehearsal;
    for (const change of [() => watch.remove(instanceKey(1n)), () => watch.put(...loading("other"))]) {
      watch.put(...loading());
      const answer = post(url, { body: whole });
      await untilWaiting(rehearsal, 1);
      change();
      expect((await answer).status).toBe(404);
    }
  });

  it("waits no longer than the limit, and no more than the limit wait", async () => {
    const { rehearsal } = await open("x", { empty: true, limits: { loadingMs: 50, loadingRequests: 1 } });
    const { watch, url } = rehearsal;
    watch.put(...loading());
    for (const answer of await Promise.all([post(url), post(url)])) {
      expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
      expect(((await answer.json()) as { error: { code: string } }).error.code).toBe("model_loading");
    }
    expect(await waiting(rehearsal)).toBe(0);
  });

  it("frees its place when its client leaves, and hears that the frontend ends", async () => {
    const { rehearsal } = await open("x", { empty: true });
    rehearsal.watch.put(...loading());
    const leave = new AbortController();
    const left = post(rehearsal.url, { signal: leave.signal }).catch(() => "left");
    await untilWaiting(rehearsal, 1);
    leave.abort();
    expect(await left).toBe("left");
    await untilWaiting(rehearsal, 0);
    const stays = post(rehearsal.url);
    await untilWaiting(rehearsal, 1);
    await rehearsal.frontend.close({ drainMs: 0 });
    expect(((await (await stays).json()) as { error: { code: string } }).error.code).toBe("draining");
  });

  it("may come before the first worker of a frontend that has just started, for a while", async () => {
    const { rehearsal } = await open("x", { empty: true, startMs: 60_000 });
    const { watch, url } = rehearsal;
    const early = post(url, { body: whole });
    await untilWaiting(rehearsal, 1);
    watch.put(...loading());
    expect(await waiting(rehearsal)).toBe(1);
    watch.put(...rehearsalRecords("rehearsal"));
    expect((await early).status).toBe(200);
    // A worker was there: from now on a name that nobody serves is a mistake.
    expect((await post(url, { body: whole.replace("rehearsal", "other") })).status).toBe(404);
    const { rehearsal: alone } = await open("x", { empty: true, startMs: 50 });
    expect((await post(alone.url, { body: whole })).status).toBe(404);
  });
});

describe("limits", () => {
  it("refuse what is beyond the concurrent requests and take it when there is room", async () => {
    const { rehearsal, dispatcher } = await open("abc", { running: false, limits: { concurrentRequests: 2 } });
    const first = [post(rehearsal.url), post(rehearsal.url)];
    await until(() => dispatcher.open === 2);
    const third = await post(rehearsal.url);
    expect([third.status, third.headers.get("retry-after")]).toEqual([429, "1"]);
    for (let step = 0; step < 4; step++) dispatcher.step();
    for (const response of await Promise.all(first)) expect(await response.text()).toContain("[DONE]");
    const fourth = post(rehearsal.url);
    await until(() => dispatcher.open === 1);
    for (let step = 0; step < 4; step++) dispatcher.step();
    expect((await fourth).status).toBe(200);
  });

  it("refuse bodies when too many bytes are in memory", async () => {
    const { rehearsal } = await open("abc", { limits: { allBodiesBytes: 10 } });
    expect((await post(rehearsal.url)).status).toBe(429);
  });
});

describe("clients that leave", () => {
  it("free their place, streamed or not, and nothing is counted as open", async () => {
    const { rehearsal, dispatcher } = await open("a".repeat(500), { running: false });
    const controller = new AbortController();
    const stream = await Promise.all([
      post(rehearsal.url, { signal: controller.signal }),
      until(() => dispatcher.open === 1).then(() => dispatcher.step()),
    ]);
    expect(stream[0].status).toBe(200);
    const unary = post(rehearsal.url, { signal: controller.signal, body: BODY.replace("true", "false") }).catch(
      () => "aborted",
    );
    await until(() => dispatcher.open === 2);
    controller.abort();
    expect(await unary).toBe("aborted");
    await until(() => dispatcher.open === 0);
    expect(dispatcher.cancelled).toBe(2);
    const metrics = await rehearsal.metrics.print();
    expect(metrics).toContain('stator_frontend_requests_total{route="chat",outcome="aborted"} 2');
    expect(metrics).toMatch(/stator_frontend_open_streams\{route="chat"\} 0\n/);
    expect(metrics).toMatch(/stator_frontend_active_requests 0\n/);
  });

  it("may leave in the middle of their request", async () => {
    const { rehearsal } = await open("x");
    const half: ClientRequest = request(`${rehearsal.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-length": "1000", "content-type": "application/json" },
    });
    half.on("error", () => {});
    half.write("{");
    await new Promise((resolve) => setTimeout(resolve, 20));
    half.destroy();
    await until(() => true);
    const gauge = async () => /stator_frontend_active_requests (\d)/.exec(await rehearsal.metrics.print())?.[1];
    while ((await gauge()) !== "0") await new Promise((resolve) => setTimeout(resolve, 2));
  });
});

describe("readers that are slow", () => {
  it("get everything when they read in the end, joined into fewer events", async () => {
    const text = "word ".repeat(200_000);
    const dispatcher = new RehearsalDispatcher({
      running: true,
      tokensPerStep: 4000,
      reply: () => ({ tokens: encodeBytes(text) }),
    });
    const rehearsal = await openRehearsal(dispatcher, { text: undefined });
    opened.push(rehearsal);
    rehearsal.watch.put(...rehearsalRecords("rehearsal", { contextTokens: 2_000_000 }));
    const got = await new Promise<string>((resolve) => {
      const asked = request(
        `${rehearsal.url}/v1/chat/completions`,
        { method: "POST", headers: { "content-type": "application/json" } },
        (response) => {
          response.pause();
          let all = "";
          response.setEncoding("utf8").on("data", (chunk: string) => {
            all += chunk;
          });
          response.on("end", () => resolve(all));
          setTimeout(() => response.resume(), 100);
          response.pause();
        },
      );
      asked.end(BODY);
    });
    const events = got.split("\n\n").filter((event) => event.startsWith("data: {"));
    const told = events.map(
      (event) =>
        (JSON.parse(event.slice(6)) as { choices: [{ delta: { content?: string } }] }).choices[0].delta.content ?? "",
    );
    expect(told.join("")).toBe(text);
    expect(told.every((part) => part.length <= 8)).toBe(true);
  });

  it("are ended when they take nothing at all", async () => {
    const dispatcher = new RehearsalDispatcher({
      running: true,
      tokensPerStep: 2000,
      reply: () => ({ tokens: encodeBytes("word ".repeat(400_000)) }),
    });
    const rehearsal = await openRehearsal(dispatcher, { limits: { slowClientMs: 100 } });
    opened.push(rehearsal);
    rehearsal.watch.put(...rehearsalRecords("rehearsal", { contextTokens: 4_000_000 }));
    const asked = request(
      `${rehearsal.url}/v1/chat/completions`,
      { method: "POST", headers: { "content-type": "application/json" } },
      (response) => void response.pause(),
    );
    asked.on("error", () => {});
    asked.end(BODY);
    const ended = 'stator_frontend_errors_total{route="chat",reason="SLOW_CLIENT"} 1';
    while (!(await rehearsal.metrics.print()).includes(ended)) await new Promise((resolve) => setTimeout(resolve, 10));
    asked.destroy();
  });

  it("hear a comment while their stream is quiet", async () => {
    const { rehearsal, dispatcher } = await open("ab", { running: false, limits: { pingMs: 40 } });
    const response = await post(rehearsal.url);
    const reader = response.body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe(": ping\n\n");
    for (let step = 0; step < 3; step++) dispatcher.step();
    let rest = "";
    for (let part = await reader.read(); !part.done; part = await reader.read())
      rest += new TextDecoder().decode(part.value);
    expect(rest).toContain('"content":"ab"');
    expect(rest.endsWith("data: [DONE]\n\n")).toBe(true);
  });
});

describe("closing", () => {
  it("finishes streams that are open, and says DRAINING to what comes on open connections", async () => {
    const { rehearsal, dispatcher } = await open("abc", { running: false });
    const stream = post(rehearsal.url);
    await until(() => dispatcher.open === 1);
    const closed = rehearsal.frontend.close({ drainMs: 5000 });
    await expect(fetch(`${rehearsal.url}/health`)).rejects.toThrow();
    for (let step = 0; step < 4; step++) dispatcher.step();
    expect(await (await stream).text()).toContain("[DONE]");
    await closed;
  });

  it("cancels what is left at the deadline and tells it", async () => {
    const { rehearsal, dispatcher } = await open("abc", { running: false });
    const stream = post(rehearsal.url);
    const unary = post(rehearsal.url, { body: BODY.replace("true", "false") });
    await until(() => dispatcher.open === 2);
    dispatcher.step();
    const text = (await stream).text();
    await rehearsal.frontend.close({ drainMs: 30 });
    expect(await text).toMatch(/"code":"draining"\}\}\n\ndata: \[DONE\]\n\n$/);
    expect((await unary).status).toBe(503);
    expect(dispatcher.cancelled).toBe(2);
  });

  it("tells in one sentence that the port is taken", async () => {
    const { rehearsal, dispatcher } = await open("x");
    const logged: string[] = [];
    const again = openFrontend({
      host: "127.0.0.1",
      port: rehearsal.frontend.port,
      view: new ModelView({ watch: new RehearsalWatch(), clock: systemClock }),
      dispatcher,
      fetchArtifact: async () => new Uint8Array(),
      openText: () => Promise.reject(new Error("unused")),
      version: "0",
      clock: systemClock,
      chance: systemChance,
      log: createLog({ level: "info", pretty: false, write: (line) => void logged.push(line) }),
      metrics: rehearsal.metrics,
    });
    await expect(again).rejects.toMatchObject({ reason: "PORT_IN_USE" });
    expect(logged).toEqual([]);
  });
});

it("answers requests that were sent ahead on one connection in their order", async () => {
  const { rehearsal } = await open("x");
  const agent = { keepAlive: true, maxSockets: 1 };
  const names = await Promise.all(
    ["a", "b", "c"].map(
      (name) =>
        new Promise<string>((resolve) => {
          get(`${rehearsal.url}/live`, { headers: { "x-request-id": name } }, (response) => {
            response.resume().on("end", () => resolve(String(response.headers["x-request-id"])));
          });
        }),
    ),
  );
  expect([names, agent.maxSockets]).toEqual([["a", "b", "c"], 1]);
});
