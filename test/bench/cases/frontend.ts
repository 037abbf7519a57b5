// Cost of the frontend against bare node:http, as ratios of CPU time in one run.
import { type ChildProcess, fork } from "node:child_process";
import path from "node:path";
import type { HttpLoad } from "./http-client.ts";

interface Usage {
  readonly cpuUs: number;
  readonly tokens: number;
  readonly rssBytes: number;
}

function start(file: string, ...args: (string | number)[]): ChildProcess {
  return fork(path.join(import.meta.dirname, file), args.map(String), {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
}

function heard<Message>(child: ChildProcess): Promise<Message> {
  return new Promise((resolve) => child.once("message", (message) => resolve(message as Message)));
}

async function ask<Message>(child: ChildProcess, message: object): Promise<Message> {
  const answer = heard<Message>(child);
  child.send(message);
  return answer;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** CPU microseconds of a server per token and per request, under one load. */
export async function measure(
  server: ChildProcess,
  load: Omit<HttpLoad, "port">,
  options: { warmMs: number; ms: number },
) {
  const { port } = await heard<{ port: number }>(server);
  const client = start("http-client.ts");
  await ask(client, { load: { ...load, port } });
  await sleep(options.warmMs);
  const before = await ask<Usage>(server, {});
  const requestsBefore = await ask<{ requests: number }>(client, {});
  await sleep(options.ms);
  const after = await ask<Usage>(server, {});
  const requestsAfter = await ask<{ requests: number }>(client, {});
  client.kill();
  server.kill();
  const cpuUs = after.cpuUs - before.cpuUs;
  const requests = requestsAfter.requests - requestsBefore.requests;
  const tokens = after.tokens - before.tokens;
  return { perToken: cpuUs / tokens, perRequest: cpuUs / requests, tokens, requests, rssMb: after.rssBytes / 1e6 };
}

const message = "The quick brown fox jumps over the lazy dog, and the dog does not mind it at all. ";
const chat = (stream: boolean, at = 0): string =>
  JSON.stringify({
    model: "rehearsal",
    messages: [{ role: "user", content: `${at} ${message.repeat(10)}` }],
    stream,
    stop: ["\n\nUser:", "</s>"],
  });

const CASES = {
  "frontend/stream/512-paced": async () => {
    const load = {
      sockets: 512,
      path: "/v1/chat/completions",
      bodies: [chat(true)],
      ending: "data: [DONE]\n\n\r\n0\r\n\r\n",
    };
    const time = { warmMs: 4000, ms: 4000 };
    const bare = await measure(start("http-bare.ts", "sse", 20, 100, 1), load, time);
    const ours = await measure(start("frontend-server.ts", 20, 100, 1, "auto"), load, time);
    const bare4 = await measure(start("http-bare.ts", "sse", 20, 100, 4), load, time);
    const ours4 = await measure(start("frontend-server.ts", 20, 100, 1, 4), load, time);
    return {
      bare,
      ours,
      ratio: ours.perToken / bare.perToken,
      target: 1.6,
      bare4,
      ours4,
      joined: ours4.perToken / bare4.perToken,
      joinedTarget: 2.2,
    };
  },
  "frontend/stream/64-unthrottled": async () => {
    const load = {
      sockets: 64,
      path: "/v1/chat/completions",
      bodies: [chat(true)],
      ending: "data: [DONE]\n\n\r\n0\r\n\r\n",
    };
    const time = { warmMs: 1500, ms: 3000 };
    const bare = await measure(start("http-bare.ts", "sse", 0, 300, 1), load, time);
    const ours = await measure(start("frontend-server.ts", 0, 300, 1, "auto"), load, time);
    return { bare, ours, ratio: ours.perToken / bare.perToken, target: 1.0 };
  },
  "frontend/unary/16": async () => {
    const bodies = Array.from({ length: 1000 }, (_, at) => chat(false, at));
    const load = { sockets: 16, path: "/v1/chat/completions", bodies, ending: "}}" };
    const time = { warmMs: 1500, ms: 3000 };
    const bare = await measure(start("http-bare.ts", "json"), load, time);
    const ours = await measure(start("frontend-server.ts", 0, 16, 16, "auto"), load, time);
    return { bare, ours, ratio: ours.perRequest / bare.perRequest, target: 4.7 };
  },
};

for (const [name, run] of Object.entries(CASES)) {
  if (process.argv[2] && !name.includes(process.argv[2])) continue;
  console.log(
    name,
    JSON.stringify(await run(), (_, value) => (typeof value === "number" ? Number(value.toPrecision(4)) : value)),
  );
}
