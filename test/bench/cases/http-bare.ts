// Baselines: what bare node:http costs for the same work. One role per process.
//   node http-bare.ts sse STEP_MS TOKENS JOIN | json | proxy PORT
import { Agent, createServer, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { cpuUs } from "../harness.ts";

const [role, ...rest] = process.argv.slice(2);
const numbers = rest.map(Number);
let tokens = 0;

const CHUNK_START =
  'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1760000000,"model":"m","choices":[{"index":0,"delta":{"content":';
const CHUNK_END = '},"finish_reason":null}]}\n\n';

interface Stream {
  readonly response: ServerResponse;
  told: number;
  waiting: string;
  waits: number;
}

/** One event per token, or one for every `join` tokens. */
function sse(stepMs: number, count: number, join: number) {
  const open = new Set<Stream>();
  const step = (): void => {
    for (const stream of open) {
      if (stream.response.writableNeedDrain) continue;
      tokens++;
      stream.told++;
      stream.waiting += " word";
      stream.waits++;
      if (stream.told === 1 || stream.waits >= join || stream.told >= count) {
        stream.response.write(CHUNK_START + JSON.stringify(stream.waiting) + CHUNK_END);
        stream.waiting = "";
        stream.waits = 0;
      }
      if (stream.told < count) continue;
      open.delete(stream);
      stream.response.end("data: [DONE]\n\n");
    }
  };
  const turn = (): void => {
    step();
    if (open.size > 0) setImmediate(turn);
  };
  if (stepMs > 0) setInterval(step, stepMs);
  return createServer((message, response) => {
    message.resume().on("end", () => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const stream = { response, told: 0, waiting: "", waits: 0 };
      open.add(stream);
      if (stepMs === 0 && open.size === 1) setImmediate(turn);
      response.on("close", () => open.delete(stream));
    });
  });
}

/** The same body for everybody, after reading the request. */
function json() {
  const body = JSON.stringify({
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1760000000,
    model: "m",
    choices: [{ index: 0, message: { role: "assistant", content: "word ".repeat(16) }, finish_reason: "stop" }],
    usage: { prompt_tokens: 200, completion_tokens: 16, total_tokens: 216 },
  });
  const reply = body.replace(/\}$/, ',"last":{}}');
  return createServer((message, response) => {
    message.resume().on("end", () => {
      response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(reply) });
      response.end(reply);
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

const server =
  role === "sse" ? sse(numbers[0]!, numbers[1]!, numbers[2]!) : role === "json" ? json() : proxy(numbers[0]!);
server.listen(0, "127.0.0.1", 4096, () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on("message", () => process.send?.({ cpuUs: cpuUs(), tokens }));
process.on("disconnect", () => process.exit());
