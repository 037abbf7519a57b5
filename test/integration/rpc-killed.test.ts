import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { create } from "@bufbuild/protobuf";
import { BytesValueSchema } from "@bufbuild/protobuf/wkt";
import { afterEach, expect, test } from "vitest";
import type { StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { root } from "../../tools/run-tool.ts";
import { EchoService } from "../conformance/rpc/echo.ts";
import { Lab } from "../conformance/rpc/lab.ts";
import { openGrpcRig } from "../conformance/rpc/rigs.ts";

const children = new Set<ChildProcess>();

afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
});

/** Runs a module in a process of its own until it is killed. */
function start(code: string): ChildProcess {
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.add(child);
  return child;
}

const CALLER = (target: string) => `
  const { systemClock } = await import("#lib/host/system-clock");
  const { Channel } = await import("#lib/rpc/channel");
  const { loopbackCredentials } = await import("#lib/rpc/credentials");
  const { EchoService } = await import("./test/conformance/rpc/echo.ts");
  const { create } = await import("@bufbuild/protobuf");
  const { BytesValueSchema } = await import("@bufbuild/protobuf/wkt");
  const link = new Channel("${target}", loopbackCredentials, systemClock).open(EchoService.method.link);
  link.receive({ onMessage() {}, onEnd() {} });
  link.send(create(BytesValueSchema, { value: new Uint8Array(9) }));
`;

const SERVER = `
  const { Lab } = await import("./test/conformance/rpc/lab.ts");
  const { openServer } = await import("#lib/rpc/server");
  const { loopbackCredentials: credentials } = await import("#lib/rpc/credentials");
  const { silentLog: log } = await import("#lib/host/log");
  const { noMetrics: metrics } = await import("#lib/host/metrics");
  const { systemClock: clock } = await import("#lib/host/system-clock");
  const services = [new Lab().service];
  const server = await openServer({ host: "127.0.0.1", port: 0, credentials, services, clock, log, metrics });
  process.stdout.write(server.address);
`;

test("a caller that is killed never ends its stream in order", async () => {
  const lab = new Lab();
  const rig = await openGrpcRig(lab);
  const child = start(CALLER(rig.transport.target));
  await expect.poll(() => lab.links.length, { timeout: 20_000 }).toBe(1);
  child.kill("SIGKILL");
  await expect.poll(() => lab.ends.length, { timeout: 5_000 }).toBe(1);
  expect(lab.ends[0]?.reason).toBe("CANCELLED");
  expect(lab.last.signal.aborted).toBe(true);
  await rig.close();
});

test("a server that is killed is unavailable at once", async () => {
  const child = start(SERVER);
  const [address] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
  const channel = new Channel(address.toString(), loopbackCredentials, systemClock);
  const link = channel.open(EchoService.method.link);
  const seen = { messages: 0, ends: [] as (StatorError | undefined)[] };
  link.receive({ onMessage: () => seen.messages++, onEnd: (error) => seen.ends.push(error) });
  link.send(create(BytesValueSchema, { value: new Uint8Array(9) }));
  await expect.poll(() => seen.messages, { timeout: 5_000 }).toBe(1);
  child.kill("SIGKILL");
  await expect.poll(() => seen.ends.length, { timeout: 5_000 }).toBe(1);
  expect(seen.ends[0]).toMatchObject({ reason: "UNAVAILABLE", row: { retry: "backoff", blame: "dependency" } });
  channel.close();
});
