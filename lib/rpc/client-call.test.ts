import { create } from "@bufbuild/protobuf";
import { afterEach, expect, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { EchoService } from "../../test/conformance/rpc/echo.ts";
import { Lab } from "../../test/conformance/rpc/lab.ts";
import { Channel } from "./channel.ts";
import { loopbackCredentials } from "./credentials.ts";
import { openServer, type RpcServer } from "./server.ts";

let server: RpcServer;
let channel: Channel;

afterEach(async () => {
  channel.close();
  await server.close();
});

test("a call that is cancelled as soon as it was started leaves nothing open on the server", async () => {
  const lab = new Lab();
  const options = {
    host: "127.0.0.1",
    port: 0,
    credentials: loopbackCredentials,
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
  };
  server = await openServer({ ...options, services: [lab.service] });
  channel = new Channel(server.address, loopbackCredentials, systemClock);
  await channel.ready(5_000);
  const { method } = EchoService;
  const end = () =>
    new Promise((resolve) => {
      const call = channel.open(method.link);
      call.receive({ onMessage() {}, onEnd: resolve });
      call.send(create(method.link.input));
      call.end(new StatorError("CANCELLED"));
    });
  const ends = await Promise.all(Array.from({ length: 20 }, end));
  expect(ends).toEqual(Array(20).fill(expect.objectContaining({ reason: "CANCELLED" })));
  // What comes after them on the same session is answered after them.
  await channel.unary(method.say, create(method.say.input, { value: "hello" }));
  await expect.poll(() => server.openCalls).toBe(0);
});
