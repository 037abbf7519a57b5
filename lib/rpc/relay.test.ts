import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { EchoService } from "../../test/conformance/rpc/echo.ts";
import { Lab } from "../../test/conformance/rpc/lab.ts";
import { Channel } from "./channel.ts";
import { loopbackCredentials as credentials } from "./credentials.ts";
import { openServer, type RpcServer } from "./server.ts";
import { createService } from "./service.ts";
import type { DuplexChannel } from "./stream.ts";

const { relay } = EchoService.method;
const PAYLOAD = randomBytes(8 * 1024 * 1024);

let servers: RpcServer[];
let channels: Channel[];

/** A caller's channel to a server that hands bytes on to a second one, which answers each message with itself. */
async function openRelay(): Promise<DuplexChannel<Uint8Array, Uint8Array>> {
  const about = { host: "127.0.0.1", port: 0, credentials, clock: systemClock, log: silentLog, metrics: noMetrics };
  const far = await openServer({ ...about, services: [new Lab().service] });
  const onward = new Channel(far.address, credentials, systemClock);
  const handOn = createService(EchoService, {
    relay: {
      bytes(near) {
        const next = onward.openBytes(relay);
        next.receive({ onMessage: (bytes) => near.send(bytes), onEnd: (error) => near.end(error) });
        near.receive({ onMessage: (bytes) => next.send(bytes), onEnd: (error) => next.end(error) });
      },
    },
  });
  const middle = await openServer({ ...about, services: [handOn] });
  const caller = new Channel(middle.address, credentials, systemClock);
  servers = [far, middle];
  channels = [onward, caller];
  return caller.openBytes(relay);
}

beforeEach(() => {
  servers = [];
  channels = [];
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const channel of channels) channel.close();
  for (const server of servers) await server.close();
});

/** Counts memory that is made for, or filled with, at least so many bytes from here on. */
function countLarge(bytes: number): () => number {
  let large = 0;
  const count = (size: number) => {
    if (size >= bytes) large++;
  };
  for (const name of ["alloc", "allocUnsafe", "allocUnsafeSlow"] as const) {
    const make = Buffer[name].bind(Buffer);
    vi.spyOn(Buffer, name).mockImplementation((size: number) => {
      count(size);
      return make(size);
    });
  }
  const join = Buffer.concat.bind(Buffer);
  vi.spyOn(Buffer, "concat").mockImplementation((...given) => {
    const joined = join(...given);
    count(joined.byteLength);
    return joined;
  });
  const proto = Uint8Array.prototype;
  const { set, slice } = proto;
  vi.spyOn(proto, "set").mockImplementation(function (this: Uint8Array, from, at) {
    count(from.length);
    set.call(this, from, at);
  });
  vi.spyOn(proto, "slice").mockImplementation(function (this: Uint8Array, ...range) {
    const part = slice.apply(this, range);
    count(part.byteLength);
    return part;
  });
  return () => large;
}

test("a message is copied twice by each process that it passes: when it comes and when it goes", async () => {
  const call = await openRelay();
  const large = countLarge(PAYLOAD.byteLength);
  const got: Uint8Array[] = [];
  const ended = new Promise((resolve) => {
    call.receive({ onMessage: (bytes) => got.push(bytes), onEnd: resolve });
  });
  call.send(PAYLOAD);
  call.end();
  expect(await ended).toBeUndefined();
  expect(got.map((bytes) => PAYLOAD.equals(bytes))).toEqual([true]);
  // On the way there one by the caller, two in the middle and one at the far end; as many back.
  expect(large()).toBe(8);
});
