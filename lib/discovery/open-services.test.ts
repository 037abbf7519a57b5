import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, it } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Serving } from "#gen/grpc/health/v1/health_pb";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { createHealth } from "#lib/rpc/health";
import { openServer } from "#lib/rpc/server";
import { openServices } from "./open-services.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "stator-services-"));
const url = pathToFileURL(folder).href;
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("finds the servers of a service, calls them, and forgets those that are gone", async () => {
  const health = createHealth();
  health.set("", true);
  const listen = { host: "127.0.0.1", port: 0, credentials: loopbackCredentials, services: [health.service] };
  const server = await openServer({ ...listen, clock: systemClock, log: silentLog, metrics: noMetrics });
  const [here, there, other] = await Promise.all([
    openServices(url),
    openServices(url),
    openServices(url, { namespace: "other" }),
  ]);
  const announced = await here.announce({ services: [Health], address: server.address });
  const pool = await there.find(Health);
  expect(await pool.client.check({})).toMatchObject({ status: Serving.SERVING });
  expect((await other.find(Health)).instances).toEqual([]);
  await announced.close();
  await expect.poll(() => pool.instances).toEqual([]);
  expect(() => pool.pick()).toThrow("no instance answers it now");
  for (const each of [here, there, other]) await each.close();
  health.close();
  await server.close();
});

it("a place where nobody can meet is refused with what to do", async () => {
  await expect(openServices("nowhere")).rejects.toThrow("it is no place where processes can meet");
});
