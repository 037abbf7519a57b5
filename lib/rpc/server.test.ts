import { connect } from "node:http2";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import type { DescMethod } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { Health } from "#gen/grpc/health/v1/health_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "./channel.ts";
import { createClient } from "./client.ts";
import { loopbackCredentials } from "./credentials.ts";
import { openServer } from "./server.ts";
import { createService } from "./service.ts";
import { WINDOW_BYTES } from "./settings.ts";

const usual = {
  credentials: loopbackCredentials,
  services: [],
  clock: systemClock,
  log: silentLog,
  metrics: noMetrics,
};
const flags = { port: "--worker-port", tls: "--worker-cert" };

test("a port in use is told in one sentence", async () => {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  const { port } = holder.address() as AddressInfo;
  await expect(openServer({ ...usual, host: "localhost", port, flags })).rejects.toMatchObject({
    reason: "PORT_IN_USE",
    message: `Port ${port} on 127.0.0.1 is in use. Choose another with --worker-port, or end the program that has it.`,
  });
  await new Promise((resolve) => holder.close(resolve));
});

test("an address that is not ours, a name that is none, and plaintext to the world are refused", async () => {
  const insecure = { ...usual, credentials: { kind: "insecure" } as const, port: 0 };
  await expect(openServer({ ...insecure, host: "192.0.2.1" })).rejects.toMatchObject({
    reason: "BAD_CONFIG",
    message: "Cannot listen on 192.0.2.1:0: EADDRNOTAVAIL.",
  });
  await expect(openServer({ ...insecure, host: "no.such.invalid" })).rejects.toMatchObject({ reason: "BAD_CONFIG" });
  await expect(openServer({ ...usual, port: 0, host: "0.0.0.0", flags })).rejects.toMatchObject({
    reason: "UNSAFE_LISTEN",
    facts: { host: "0.0.0.0", flag: "--worker-cert" },
  });
});

test("a port answers only whom it allows", async () => {
  const health = createService(Health, { check: () => ({ status: 1 }) }, { access: Access.OPERATOR });
  const listen = { ...usual, host: "127.0.0.1", port: 0, services: [health] };
  const server = await openServer({ ...listen, allow: [Access.PUBLIC] });
  const channel = new Channel(server.address, loopbackCredentials, systemClock);
  await expect(createClient(Health, channel).check({})).rejects.toMatchObject({
    reason: "ACCESS_DENIED",
    message: "/grpc.health.v1.Health/Check is not open on this port.",
  });
  channel.close();
  await server.close();
});

test("of a contract that declares no access each method has the one that its service is given", async () => {
  const access = ({ name }: DescMethod) => (name === "Check" ? Access.PUBLIC : Access.OPERATOR);
  const health = createService(Health, { check: () => ({ status: 1 }), list: () => ({}) }, { access });
  const server = await openServer({ ...usual, host: "127.0.0.1", port: 0, services: [health], allow: [Access.PUBLIC] });
  const channel = new Channel(server.address, loopbackCredentials, systemClock);
  const client = createClient(Health, channel);
  expect((await client.check({})).status).toBe(1);
  await expect(client.list({})).rejects.toMatchObject({ reason: "ACCESS_DENIED" });
  channel.close();
  await server.close();
});

test("a server that is not there is unavailable, and comes into reach when it is", async () => {
  const health = createService(Health, { check: () => ({ status: 1 }) }, { access: Access.PUBLIC });
  const listen = { ...usual, host: "127.0.0.1", services: [health] };
  const first = await openServer({ ...listen, port: 0 });
  await first.close();
  const channel = new Channel(first.address, loopbackCredentials, systemClock);
  const client = createClient(Health, channel);
  await expect(client.check({})).rejects.toMatchObject({ reason: "UNAVAILABLE", row: { retry: "backoff" } });
  await expect(channel.ready(50)).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  const second = await openServer({ ...listen, port: first.port });
  await channel.ready(10_000);
  expect((await client.check({})).status).toBe(1);
  channel.close();
  await expect(client.check({})).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  await second.close();
});

test("a client may send a whole window before it hears back", async () => {
  const server = await openServer({ ...usual, host: "127.0.0.1", port: 0 });
  const session = connect(`http://${server.address}`);
  await expect.poll(() => session.state.remoteWindowSize).toBe(WINDOW_BYTES);
  expect(session.remoteSettings.initialWindowSize).toBe(WINDOW_BYTES);
  session.destroy();
  await server.close();
});

test("a method that nobody may call is a bug of ours", () => {
  expect(() => createService(Health, {})).toThrow("does not declare who may call it");
  expect(() => createService(Health, {}, { access: () => Access.UNSPECIFIED })).toThrow("does not declare who may");
});
