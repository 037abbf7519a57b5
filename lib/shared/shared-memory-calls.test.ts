import { afterAll, afterEach, expect, test } from "vitest";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { StatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { loopbackCredentials as credentials } from "#lib/rpc/credentials";
import { openServer } from "#lib/rpc/server";
import { createService } from "#lib/rpc/service";
import { TestObjects } from "../../test/support/shared-object.ts";
import { createSharedMemoryCalls } from "./shared-memory-calls.ts";
import { SharedRegions } from "./shared-regions.ts";

const objects = new TestObjects();
const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(() => objects.remove());

async function openClient() {
  const regions = new SharedRegions();
  const calls = createSharedMemoryCalls(regions);
  const services = [createService(GRPCInferenceService, calls, { access: Access.OPERATOR })];
  const observed = { clock: systemClock, log: silentLog, metrics: noMetrics };
  const server = await openServer({ host: "127.0.0.1", port: 0, credentials, services, ...observed });
  const channel = new Channel(server.address, credentials, systemClock);
  closing.push(
    () => regions.close(),
    () => server.drain(100),
    () => channel.close(),
  );
  return { regions, client: createClient(GRPCInferenceService, channel) };
}

const reasonOf = (error: unknown): unknown => (error instanceof StatorError ? [error.reason, error.row.grpc] : error);

test("regions are registered, told of and forgotten over gRPC", async () => {
  const { client, regions } = await openClient();
  const { key } = objects.create(128);
  await client.systemSharedMemoryRegister({ name: "a", key, offset: 0n, byteSize: 64n });
  await client.systemSharedMemoryRegister({ name: "__proto__", key: key.slice(1), offset: 64n, byteSize: 64n });
  const second = { name: "__proto__", key: key.slice(1), offset: 64n, byteSize: 64n };
  const all = await client.systemSharedMemoryStatus({ name: "" });
  expect(Object.entries(all.regions)).toMatchObject([
    ["a", { name: "a", key, offset: 0n, byteSize: 64n }],
    ["__proto__", second],
  ]);
  const one = await client.systemSharedMemoryStatus({ name: "a" });
  expect(Object.keys(one.regions)).toEqual(["a"]);
  await client.systemSharedMemoryUnregister({ name: "a" });
  await client.systemSharedMemoryUnregister({ name: "a" });
  expect(await client.systemSharedMemoryStatus({ name: "a" }).catch(reasonOf)).toEqual(["NOT_FOUND", 5]);
  await client.systemSharedMemoryUnregister({ name: "" });
  expect(regions.open).toBe(0);
});

test("what is refused has the status of its reason", async () => {
  const { client } = await openClient();
  const { key } = objects.create(16);
  const register = (change: { name?: string; key?: string; offset?: bigint; byteSize?: bigint }) =>
    client.systemSharedMemoryRegister({ name: "a", key, offset: 0n, byteSize: 16n, ...change }).catch(reasonOf);
  const invalid = ["INVALID_ARGUMENT", 3];
  expect(await register({ key: "/../etc/passwd" })).toEqual(invalid);
  expect(await register({ byteSize: 2n ** 64n - 1n })).toEqual(invalid);
  expect(await register({ offset: 2n ** 64n - 16n })).toEqual(invalid);
  expect(await register({ byteSize: 17n })).toEqual(invalid);
  expect(await register({ byteSize: 0n })).toEqual(invalid);
  expect(await register({ key: "/stator-nobody-made-this" })).toEqual(["NOT_FOUND", 5]);
  await register({});
  expect(await register({})).toEqual(["ALREADY_EXISTS", 6]);
});

test("CUDA memory is refused with the reason, and clients that forget it before they begin may go on", async () => {
  const { client } = await openClient();
  await client.cudaSharedMemoryUnregister({ name: "" });
  expect((await client.cudaSharedMemoryStatus({ name: "" })).regions).toEqual({});
  expect(await client.cudaSharedMemoryStatus({ name: "c" }).catch(reasonOf)).toEqual(["NOT_FOUND", 5]);
  await expect(client.cudaSharedMemoryRegister({ name: "c" })).rejects.toMatchObject({
    reason: "UNSUPPORTED_FEATURE",
    message: expect.stringMatching(/the region c is not registered, since this process uses no GPU/),
  });
});
