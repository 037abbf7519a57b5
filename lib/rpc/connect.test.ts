import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Access } from "#gen/stator/common/v1/common_pb";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { EchoService } from "../../test/conformance/rpc/echo.ts";
import { Lab } from "../../test/conformance/rpc/lab.ts";
import { createConnectHandler } from "./connect.ts";

let server: Server;
let origin: string;

beforeAll(async () => {
  const handler = createConnectHandler({
    services: [new Lab().service],
    allow: [Access.PUBLIC],
    fallback: (request, response) => response.end(`other ${request.url}`),
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
  });
  server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

async function post(method: string, body: string): Promise<{ status: number; answer: unknown }> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${origin}/${EchoService.typeName}/${method}`, { method: "POST", headers, body });
  return { status: response.status, answer: await response.json() };
}

test("a method is called with plain JSON", async () => {
  expect(await post("Say", '"hello"')).toEqual({ status: 200, answer: "hello" });
});

test("an error has the HTTP status of its code and carries its detail", async () => {
  expect(await post("Say", '"!NO_WORKERS"')).toMatchObject({
    status: 503,
    answer: {
      code: "unavailable",
      message: "No worker can take a request for m now.",
      details: [{ type: "stator.common.v1.ErrorDetail" }],
    },
  });
  expect(await post("Say", "{")).toMatchObject({ status: 400, answer: { code: "invalid_argument" } });
  expect(await post("Absent", '"x"')).toMatchObject({ status: 501 });
  expect(await post("Secret", '"x"')).toMatchObject({ status: 403 });
});

test("every other path goes to the other routes", async () => {
  expect(await (await fetch(`${origin}/v1/models?x=1`)).text()).toBe("other /v1/models?x=1");
});
