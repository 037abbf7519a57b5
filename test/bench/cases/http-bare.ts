// Baselines: what bare node:http costs for the same work. One role per process.
//   node http-bare.ts sse RATE TOKENS GROUPS SEED | json | look | proxy PORT; {joined: TOKENS_PER_WRITE or null} by IPC
import { Agent, createServer, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { loadNative } from "#lib/native/addon";
import { cpuUs } from "../harness.ts";
import { TextWriter } from "../text.ts";

const [role, ...rest] = process.argv.slice(2);
const numbers = rest.map(Number);
let tokens = 0;
/** Tokens of a write, on average; undefined joins by the rule alone. */
let joined: number | undefined;

const CHUNK_START =
  'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1760000000,"model":"m","choices":[{"index":0,"delta":{"content":';
const CHUNK_END = '},"finish_reason":null}]}\n\n';

/**
 * When tokens wait for others to join them, unless it is told how many join: the rule of the frontend. While the socket has a backlog or the event loop
 * was busy for most of the last 20 ms, eight tokens join, and none waits longer than 25 ms.
 */
const JOIN = { tokens: 8, ms: 25, sampleMs: 20, busyShare: 0.85, calmShare: 0.7 } as const;

/** Whether the event loop lags behind its work. */
function createLag(): (nowMs: number) => boolean {
  let last = performance.eventLoopUtilization();
  let lookedMs = performance.now();
  let lagging = false;
  return (nowMs) => {
    if (nowMs - lookedMs < JOIN.sampleMs) return lagging;
    lookedMs = nowMs;
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    lagging = utilization > (lagging ? JOIN.calmShare : JOIN.busyShare);
    return lagging;
  };
}

interface Stream {
  readonly response: ServerResponse;
  told: number;
  text: string;
  waiting: number;
  sinceMs: number;
  writes: number;
}

/** Steps are a millisecond at least; a faster engine makes several tokens in one. */
const LEAST_STEP_MS = 1;

/** Streams in groups, as on so many workers; each group makes a step of one token for each of its streams at this rate. */
function sse(rate: number, count: number, groups: number, seed: number) {
  const words = new TextWriter(seed).words(20_000).match(/\s*\S+/g) ?? [];
  const perStep = Math.ceil((rate * LEAST_STEP_MS) / 1_000);
  const stepMs = (perStep * 1_000) / rate;
  const open = Array.from({ length: groups }, () => new Set<Stream>());
  const lag = createLag();
  const write = (stream: Stream): void => {
    stream.response.write(CHUNK_START + JSON.stringify(stream.text) + CHUNK_END);
    stream.writes++;
    stream.text = "";
    stream.waiting = 0;
  };
  const say = (stream: Stream, nowMs: number, lagging: boolean): void => {
    const made = Math.min(perStep, count - stream.told);
    for (let left = made; left > 0; left--) stream.text += words[tokens++ % words.length]!;
    if (stream.waiting === 0) stream.sinceMs = nowMs;
    const begun = stream.told > 0;
    stream.told += made;
    stream.waiting += made;
    if (begun && stream.told < count && waits(stream, nowMs, lagging)) return;
    write(stream);
  };
  const waits = (stream: Stream, nowMs: number, lagging: boolean): boolean => {
    // Whole tokens that come to the average over many writes.
    if (joined !== undefined)
      return stream.waiting < Math.floor(joined * (stream.writes + 1)) - Math.floor(joined * stream.writes);
    const congested = lagging || stream.response.writableLength > 0;
    return congested && stream.waiting < JOIN.tokens && nowMs < stream.sinceMs + JOIN.ms;
  };
  const flushLate = (): void => {
    if (joined !== undefined) return;
    const nowMs = performance.now();
    for (const group of open) {
      for (const stream of group) if (stream.waiting > 0 && nowMs >= stream.sinceMs + JOIN.ms) write(stream);
    }
  };
  const step = (group: Set<Stream>, dueMs: number): void => {
    const nowMs = performance.now();
    const lagging = lag(nowMs);
    for (const stream of group) {
      say(stream, nowMs, lagging);
      if (stream.told < count) continue;
      group.delete(stream);
      stream.response.end("data: [DONE]\n\n");
    }
    // Late timers do not add up, but what was missed by more than a step is not made up for.
    const nextMs = Math.max(dueMs + stepMs, nowMs);
    setTimeout(step, Math.max(0, nextMs - performance.now()), group, nextMs);
  };
  for (const [at, group] of open.entries()) setTimeout(step, (at * stepMs) / groups, group, performance.now());
  setInterval(flushLate, JOIN.ms);
  let started = 0;
  return createServer((message, response) => {
    message.resume().on("end", () => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const stream = { response, told: 0, text: "", waiting: 0, sinceMs: 0, writes: 0 };
      const group = open[started++ % groups]!;
      group.add(stream);
      response.on("close", () => group.delete(stream));
    });
  });
}

/** The same body for everybody, after reading the request, and, to look into it, parsing and hashing it. */
function json(looks: boolean) {
  const { addon } = loadNative();
  const body = JSON.stringify({
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1760000000,
    model: "m",
    choices: [{ index: 0, message: { role: "assistant", content: "word ".repeat(16) }, finish_reason: "stop" }],
    usage: { prompt_tokens: 200, completion_tokens: 16, total_tokens: 216 },
  });
  return createServer((message, response) => {
    const parts: Buffer[] = [];
    message.on("data", (part: Buffer) => parts.push(part));
    message.on("end", () => {
      if (looks) {
        const bytes = Buffer.concat(parts);
        JSON.parse(bytes.toString());
        addon?.xxh3(bytes, 1337n);
      }
      response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
      response.end(body);
    });
  });
}

/** Passes bytes on, both ways. */
function proxy(port: number) {
  const agent = new Agent({ keepAlive: true });
  return createServer((message, response) => {
    const onward = request(
      { host: "127.0.0.1", port, path: message.url, method: message.method, headers: message.headers, agent },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    message.pipe(onward);
  });
}

const [first = 0, second = 1, third = 1, fourth = 1] = numbers;
const server =
  role === "sse" ? sse(first, second, third, fourth) : role === "proxy" ? proxy(first) : json(role === "look");
server.listen(0, "127.0.0.1", 4096, () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on("message", (question: { joined?: number | null }) => {
  if (question.joined !== undefined) joined = question.joined ?? undefined;
  process.send?.({ cpuUs: cpuUs(), tokens });
});
process.on("disconnect", () => process.exit());
