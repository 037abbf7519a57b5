import { expect, it } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "#gen/grpc/health/v1/health_pb";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { createHealth } from "./health.ts";
import { loopbackCredentials, openClient, StatorError } from "./open-client.ts";
import { openServer } from "./server.ts";

it("calls a service by its stub, and nothing after it was closed", async () => {
  const health = createHealth();
  health.set("", true);
  const observed = { clock: systemClock, log: silentLog, metrics: noMetrics };
  const listen = { host: "127.0.0.1", port: 0, credentials: loopbackCredentials };
  const server = await openServer({ ...listen, services: [health.service], ...observed });
  const { client, close } = openClient(Health, server.address);
  expect(await client.check({})).toMatchObject({ status: ServingStatus.SERVING });
  close();
  await expect(client.check({})).rejects.toThrow(StatorError);
  health.close();
  await server.drain(1_000);
});

it("calls no other machine in plaintext unless that is said", () => {
  expect(() => openClient(Health, "192.0.2.1:1")).toThrow(StatorError);
});
