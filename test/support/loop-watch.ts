import process from "node:process";
import { Worker } from "node:worker_threads";

/** How often 0.9 megabytes of JSON could be parsed while one request holds an event loop, at most: 20 ms on cores of 3 GHz. */
const HELD_PARSES = 2.25;
const PARSED = `[${'{"a":1,"b":"two"},'.repeat(50_000)}0]`;

/** CPU time of this thread in milliseconds. The kernel counts it in ticks of up to 4 ms. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** The longest CPU time of this thread in one turn of its event loop while `run` goes on. */
async function longestTurnMs(run: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = cpuMs();
  let over = false;
  const look = (): void => {
    const now = cpuMs();
    longest = Math.max(longest, now - last);
    last = now;
    if (!over) setImmediate(look);
  };
  // What was to be done before is not counted.
  await new Promise(setImmediate);
  last = cpuMs();
  setImmediate(look);
  await run();
  await new Promise(setImmediate);
  over = true;
  look();
  return longest;
}

/** What the bound is on this machine now: other work beside the tests makes it slower, as what is measured. */
function boundMs(): number {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 3; round++) {
    const began = performance.now();
    JSON.parse(PARSED);
    least = Math.min(least, performance.now() - began);
  }
  return HELD_PARSES * least;
}

/**
 * The longest turn as a share of what one request may take: the least of several measures, which is what `run` costs every
 * time, without what happened beside it, such as a collection of garbage or code that is compiled. Stops at the first up to 1.
 */
export async function heldShare(run: () => Promise<unknown>, tries = 5): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < tries && least > 1; round++) {
    const bound = boundMs();
    least = Math.min(least, (await longestTurnMs(run)) / bound);
  }
  return least;
}

/** A text as bytes that threads share. */
export function sharedBytes(text: string): Uint8Array<SharedArrayBuffer> {
  const bytes = Buffer.from(text);
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  return shared;
}

/** A client in a thread of its own, whose work does not count here. */
export interface FarClient {
  /** Sends a body, which is shared and not copied, and resolves with the status and the first two kilobytes of the answer. */
  post(url: string, body: Uint8Array<SharedArrayBuffer>): Promise<{ status: number; text: string }>;
  close(): Promise<void>;
}

const CLIENT = `
const { parentPort } = require("node:worker_threads");
const http = require("node:http");
parentPort.on("message", ({ call, url, body }) => {
  const request = http.request(url, { method: "POST", headers: { "content-type": "application/json" } }, (response) => {
    let text = "";
    response.on("data", (chunk) => { if (text.length < 2048) text += chunk.toString("latin1"); });
    response.on("end", () => parentPort.postMessage({ call, status: response.statusCode, text: text.slice(0, 2048) }));
  });
  request.on("error", (error) => parentPort.postMessage({ call, status: 0, text: String(error) }));
  request.end(Buffer.from(body));
});`;

/** Opens a client. */
export function openFarClient(): FarClient {
  const worker = new Worker(CLIENT, { eval: true });
  const waiting = new Map<number, (answer: { status: number; text: string }) => void>();
  let next = 0;
  worker.on("message", ({ call, ...answer }: { call: number; status: number; text: string }) => {
    waiting.get(call)?.(answer);
    waiting.delete(call);
  });
  return {
    post(url, body) {
      const call = next++;
      worker.postMessage({ call, url, body });
      return new Promise((resolve) => waiting.set(call, resolve));
    },
    close: async () => void (await worker.terminate()),
  };
}
