import { expect, test } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Serving } from "#gen/grpc/health/v1/health_pb";
import { createLog, silentLog } from "#lib/host/log";
import { Scope } from "#lib/host/scope";
import { openClient } from "#lib/rpc/open-client";
import type { ProcessContext } from "../command.ts";
import { OPTIONS } from "./options.ts";
import { openProcess } from "./process.ts";

const USUAL = Object.fromEntries(Object.entries(OPTIONS).map(([key, { initial }]) => [key, initial]));
const LISTEN = { host: "127.0.0.1", port: 0, flag: "--grpc-port" };

function contextOf(values: Record<string, unknown>, log = silentLog): ProcessContext {
  return { values: { ...USUAL, ...values } as ProcessContext["values"], scope: new Scope("test", log), log };
}

test("a process answers of its health on its port, tells its address as options say, and ends with its scope", async () => {
  const context = contextOf({ "advertise-host": "worker.example" });
  const process = openProcess(context, { role: "test", instruments: [], listen: LISTEN });
  const { server, address } = await process.listen([]);
  expect(address).toBe(`worker.example:${server.port}`);
  const { client, close } = openClient(Health, server.address);
  process.health.set("", true);
  expect(await client.check({})).toMatchObject({ status: Serving.SERVING });
  await context.scope.close();
  await expect(client.check({})).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  close();
});

test("its metrics are served beside it, where an option says so and it says when it is ready", async () => {
  const ports: number[] = [];
  const log = createLog({
    level: "info",
    pretty: false,
    write: (line) => {
      const { phrase, port } = JSON.parse(line) as { phrase: string; port: number };
      if (phrase === "metrics port open") ports.push(port);
    },
  });
  const context = contextOf({ "metrics.port": 0 }, log);
  const open = () => openProcess(context, { role: "test", instruments: [], listen: LISTEN });
  await open().listen([]);
  expect(ports).toEqual([]);
  let isReady = false;
  await open().listen([], () => isReady);
  const ask = (path: string) => fetch(`http://127.0.0.1:${ports[0]}${path}`);
  expect((await ask("/ready")).status).toBe(503);
  isReady = true;
  expect((await ask("/ready")).status).toBe(200);
  expect(await (await ask("/metrics")).text()).toContain("stator_rpc_");
  await context.scope.close();
  await expect(ask("/live")).rejects.toThrow("fetch failed");
});
