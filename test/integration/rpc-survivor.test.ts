import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import { silentLog } from "#lib/host/log";
import { createMetrics, type Metrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { RPC_INSTRUMENTS } from "#lib/rpc/metrics";
import type { ResetLimit } from "#lib/rpc/reset-limit";
import { openServer, type RpcServer } from "#lib/rpc/server";
import { createService } from "#lib/rpc/service";
import { EchoService } from "../conformance/rpc/echo.ts";

/** Calls that one client cancels; Node alone closes a session after about 1,000. */
const CANCELS = 5_000;
const CONCURRENT = 50;

let server: RpcServer;
let metrics: Metrics;
let clients: Client[];
let running: number;

async function open(resetLimit?: ResetLimit): Promise<void> {
  metrics = createMetrics([RPC_INSTRUMENTS], { processMetrics: false });
  const service = createService(EchoService, {
    // A tick at once and then every 5 ms, until the caller leaves.
    async *count(_, call) {
      running++;
      try {
        for (let at = 0; !call.signal.aborted; at++) {
          yield { value: at };
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      } finally {
        running--;
      }
    },
  });
  const listen = { host: "127.0.0.1", port: 0, credentials: loopbackCredentials };
  server = await openServer({
    ...listen,
    services: [service],
    clock: systemClock,
    log: silentLog,
    metrics,
    resetLimit,
  });
}

beforeEach(() => {
  clients = [];
  running = 0;
});
afterEach(async () => {
  for (const client of clients) client.close();
  await server.close();
});

/** A client that shares nothing with ours: grpc-js as it comes, with a session of its own. */
function foreignClient(): Client {
  const client = new Client(server.address, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
  clients.push(client);
  return client;
}

const bytes = (buffer: Buffer) => buffer;
const startStream = (client: Client) =>
  client.makeServerStreamRequest("/stator.test.v1.EchoService/Count", bytes, bytes, Buffer.alloc(0), new Metadata());

interface Innocent {
  messages: number;
  error: unknown;
}

function openInnocent(client: Client): Innocent {
  const innocent: Innocent = { messages: 0, error: undefined };
  const stream = startStream(client);
  stream.on("data", () => innocent.messages++);
  stream.on("error", (error) => {
    innocent.error = error;
  });
  stream.on("end", () => {
    innocent.error ??= "ended";
  });
  return innocent;
}

/** Cancels one call at its first message. The code with which it ended. */
function cancelOne(client: Client): Promise<number> {
  return new Promise((resolve) => {
    const stream = startStream(client);
    stream.on("data", () => stream.cancel());
    stream.on("error", (error: { code?: number }) => resolve(error.code ?? -1));
    stream.on("end", () => resolve(0));
  });
}

async function cancelMany(client: Client, total: number): Promise<Map<number, number>> {
  const codes = new Map<number, number>();
  let started = 0;
  const run = async () => {
    while (started < total) {
      started++;
      const code = await cancelOne(client);
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT }, run));
  return codes;
}

test("5,000 calls cancelled by one foreign client take no innocent stream along", async () => {
  await open();
  const rowdy = foreignClient();
  const besides = openInnocent(rowdy);
  const elsewhere = openInnocent(foreignClient());
  await expect.poll(() => besides.messages > 0 && elsewhere.messages > 0).toBe(true);

  expect(await cancelMany(rowdy, CANCELS)).toEqual(new Map([[status.CANCELLED, CANCELS]]));

  const before = [besides.messages, elsewhere.messages] as const;
  await expect.poll(() => besides.messages > before[0] && elsewhere.messages > before[1]).toBe(true);
  expect([besides.error, elsewhere.error]).toEqual([undefined, undefined]);
  await expect.poll(() => running, { timeout: 5_000 }).toBe(2);
  expect(server.openCalls).toBe(2);
  expect(await metrics.print()).toContain(`stator_rpc_resets_total ${CANCELS}`);
});

test("a peer beyond its limit gets no new stream on that session, and its old ones finish", async () => {
  await open({ burst: 200, perSecond: 1 });
  const rowdy = foreignClient();
  const besides = openInnocent(rowdy);
  const elsewhere = openInnocent(foreignClient());
  await expect.poll(() => besides.messages > 0 && elsewhere.messages > 0).toBe(true);

  await cancelMany(rowdy, 300);

  const before = [besides.messages, elsewhere.messages] as const;
  await expect.poll(() => besides.messages > before[0] && elsewhere.messages > before[1]).toBe(true);
  expect([besides.error, elsewhere.error]).toEqual([undefined, undefined]);
  const printed = await metrics.print();
  expect(Number(/stator_rpc_sessions_closed_total (\d+)/.exec(printed)?.[1])).toBeGreaterThan(0);
});
