import { expect, test } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "#gen/grpc/health/v1/health_pb";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { createClient } from "./client.ts";
import { DirectTransport } from "./direct.ts";
import { createHealth } from "./health.ts";

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = ServingStatus;

function open() {
  const board = createHealth();
  const transport = new DirectTransport([board.service], { clock: systemClock, log: silentLog, metrics: noMetrics });
  return { board, transport, client: createClient(Health, transport) };
}

test("a service is as it was set, and the whole serves when all do", async () => {
  const { board, client } = open();
  expect((await client.check({})).status).toBe(NOT_SERVING);
  board.set("a", true);
  board.set("b", false);
  expect((await client.check({ service: "a" })).status).toBe(SERVING);
  expect((await client.check({})).status).toBe(NOT_SERVING);
  board.set("b", true);
  expect((await client.check({})).status).toBe(SERVING);
  await expect(client.check({ service: "c" })).rejects.toMatchObject({ reason: "NOT_FOUND" });
  const { statuses } = await client.list({});
  expect(Object.fromEntries(Object.entries(statuses).map(([name, { status }]) => [name, status]))).toEqual({
    "": SERVING,
    a: SERVING,
    b: SERVING,
  });
  board.set("", false);
  expect((await client.check({})).status).toBe(NOT_SERVING);
});

test("a watch tells every change and ends when the board closes", async () => {
  const { board, client, transport } = open();
  const seen: number[] = [];
  const watched = (async () => {
    for await (const { status } of client.watch({ service: "a" })) seen.push(status);
  })();
  await expect.poll(() => seen).toEqual([SERVICE_UNKNOWN]);
  board.set("a", true);
  board.set("a", true);
  await expect.poll(() => seen).toEqual([SERVICE_UNKNOWN, SERVING]);
  for await (const { status } of client.watch({ service: "a" })) {
    expect(status).toBe(SERVING);
    break;
  }
  await expect.poll(() => transport.openCalls).toBe(1);
  board.close();
  await watched;
  expect(seen).toEqual([SERVICE_UNKNOWN, SERVING, NOT_SERVING]);
  expect((await client.check({ service: "a" })).status).toBe(NOT_SERVING);
});
