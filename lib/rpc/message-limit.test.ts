import { connect, type IncomingHttpHeaders } from "node:http2";
import { Client, credentials } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { EchoService } from "../../test/conformance/rpc/echo.ts";
import { Lab } from "../../test/conformance/rpc/lab.ts";
import { Channel } from "./channel.ts";
import { createClient } from "./client.ts";
import { loopbackCredentials } from "./credentials.ts";
import { openServer, type RpcServer } from "./server.ts";
import { pathOf } from "./service.ts";

const LIMIT = 64 * 1024;
const MIRROR = pathOf(EchoService.method.mirror);
const RESOURCE_EXHAUSTED = 8;

let lab: Lab;
let server: RpcServer;

beforeEach(async () => {
  lab = new Lab();
  const about = { clock: systemClock, log: silentLog, metrics: noMetrics, credentials: loopbackCredentials };
  server = await openServer({ ...about, host: "127.0.0.1", port: 0, services: [lab.service], messageBytes: LIMIT });
});
afterEach(() => server.close());

/** A client that has no limits of ours. */
function ask(bytes: Buffer, options: Record<string, number> = {}): Promise<number> {
  const client = new Client(server.address, credentials.createInsecure(), options);
  const whole = (each: Buffer) => each;
  return new Promise((resolve) => {
    client.makeUnaryRequest(MIRROR, whole, whole, bytes, (error) => {
      client.close();
      resolve(error?.code ?? 0);
    });
  });
}

test("a message of the limit is taken, and one of a byte more is refused, compressed or not", async () => {
  expect(await ask(Buffer.alloc(LIMIT))).toBe(0);
  expect(await ask(Buffer.alloc(LIMIT + 1))).toBe(RESOURCE_EXHAUSTED);
  const gzip = { "grpc.default_compression_algorithm": 2 };
  expect(await ask(Buffer.alloc(LIMIT), gzip)).toBe(0);
  expect(await ask(Buffer.alloc(LIMIT * 512), gzip)).toBe(RESOURCE_EXHAUSTED);
  expect(lab.seen.map(({ byteLength }) => byteLength)).toEqual([LIMIT, LIMIT]);
  expect(server.openCalls).toBe(0);
});

test("what is sent is held to it too, at either end", async () => {
  const channel = new Channel(server.address, loopbackCredentials, systemClock, { messageBytes: 2 * LIMIT });
  const client = createClient(EchoService, channel);
  await expect(client.mirror({ value: Buffer.alloc(2 * LIMIT) })).rejects.toMatchObject({
    reason: "LIMIT",
    facts: { limit: `${2 * LIMIT} bytes` },
  });
  // The answer is what the server does not send, and the request what it does not take.
  await expect(client.fill({ value: LIMIT })).rejects.toMatchObject({ facts: { limit: `${LIMIT} bytes` } });
  await expect(client.mirror({ value: Buffer.alloc(LIMIT) })).rejects.toMatchObject({
    row: { grpc: RESOURCE_EXHAUSTED },
  });
  expect((await client.mirror({ value: Buffer.alloc(LIMIT - 16) })).value).toHaveLength(LIMIT - 16);
  channel.close();
  const narrow = new Channel(server.address, loopbackCredentials, systemClock, { messageBytes: LIMIT / 2 });
  const fill = createClient(EchoService, narrow).fill({ value: LIMIT - 16 });
  await expect(fill).rejects.toMatchObject({ row: { grpc: RESOURCE_EXHAUSTED } });
  narrow.close();
});

test("a caller that goes on sending a message above the limit does not fill the memory", async () => {
  const session = connect(`http://${server.address}`);
  const stream = session.request({
    ...{ ":method": "POST", ":path": MIRROR, "content-type": "application/grpc", te: "trailers" },
  });
  stream.on("error", () => {});
  let status: IncomingHttpHeaders[string];
  // A refusal without a message has its status among the headers.
  for (const event of ["response", "trailers"] as const) {
    stream.on(event, (headers: IncomingHttpHeaders) => {
      status ??= headers["grpc-status"];
    });
  }
  stream.resume();
  const size = 1024 * 1024 * 1024;
  const header = Buffer.alloc(5);
  header.writeUInt32BE(size, 1);
  stream.write(header);
  const part = Buffer.alloc(1024 * 1024);
  const held = () => process.memoryUsage().arrayBuffers;
  const before = held();
  let most = 0;
  let sent = 0;
  while (sent < size / 4 && !stream.destroyed) {
    await new Promise<void>((resolve) => {
      stream.write(part, () => resolve());
      stream.once("close", resolve);
    });
    stream.removeAllListeners("close");
    sent += part.byteLength;
    most = Math.max(most, held() - before);
  }
  await expect.poll(() => status).toBe(String(RESOURCE_EXHAUSTED));
  expect(most).toBeLessThan(128 * 1024 * 1024);
  expect(lab.seen).toEqual([]);
  session.destroy();
});
