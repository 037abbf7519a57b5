import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { expect, it } from "vitest";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import type { OperatorsFrom } from "#lib/rpc/operators";
import { Counts } from "../counts.ts";
import { printOpenAiError } from "../doors/openai/error.ts";
import { DEFAULT_LIMITS } from "../limits.ts";
import { RequestMeter } from "../request-meter.ts";
import { operates } from "./operators.ts";
import { type HttpRoute, Router } from "./router.ts";
import { HttpServer } from "./server.ts";

function request(remoteAddress: string | undefined, headers: IncomingHttpHeaders = {}) {
  // Of a socket nothing else is looked at.
  return { headers, socket: { remoteAddress, remotePort: 4000 } as IncomingMessage["socket"] };
}

it.each([
  ["127.0.0.1", {}, true],
  ["::1", {}, true],
  ["::ffff:127.0.0.1", { host: "localhost:8000" }, true],
  ["127.0.0.1", { host: "[::1]:8000" }, true],
  ["127.0.0.1", { host: "127.0.0.1", origin: "http://localhost:8000" }, true],
  ["192.0.2.7", {}, false],
  ["::ffff:192.0.2.7", { host: "localhost" }, false],
  [undefined, {}, false],
  ["127.0.0.1", { host: "models.example" }, false],
  ["127.0.0.1", { host: "localhost.example:8000" }, false],
  ["127.0.0.1", { origin: "https://evil.example" }, false],
  ["127.0.0.1", { origin: "http://localhost.example:8000" }, false],
  ["127.0.0.1", { origin: "null" }, false],
  ["127.0.0.1", { "x-forwarded-for": "127.0.0.1" }, false],
  ["127.0.0.1", { forwarded: "for=192.0.2.7" }, false],
  ["127.0.0.1", { via: "1.1 proxy" }, false],
  ["127.0.0.1", { "x-real-ip": "192.0.2.7" }, false],
] as const)("a request from %s with %j operates: %s", (address, headers, may) => {
  expect(operates(request(address, headers), "here")).toBe(may);
  expect(operates(request(address, headers), "anywhere")).toBe(true);
});

it("a route for operators is refused before its handler runs, other routes are not", async () => {
  const handler: HttpRoute["handler"] = (exchange) => exchange.json(200, "{}");
  const router = new Router([
    { method: "POST", path: "/load/{model}", name: "load", access: "operator", handler },
    { method: "GET", path: "/load/{model}", name: "loaded", handler },
  ]);
  const noted = { clock: systemClock, log: silentLog, metrics: noMetrics, counts: new Counts() };
  const meter = new RequestMeter(noted);
  const ask = async (operators: OperatorsFrom, method: string, headers: Record<string, string>) => {
    const server = new HttpServer({
      ...{ host: "127.0.0.1", port: 0, router, operators, corsOrigins: ["*"], fallback: undefined },
      ...{ printError: printOpenAiError, limits: DEFAULT_LIMITS, drawRequestId: () => "r", meter },
      ...{ clock: systemClock, log: silentLog },
    });
    const answer = await fetch(`http://127.0.0.1:${await server.listen()}/load/m`, { method, headers });
    const text = await answer.text();
    server.stopAccepting();
    server.closeConnections();
    return [answer.status, text] as const;
  };
  const page = { origin: "https://evil.example" };
  expect(await ask("here", "POST", {})).toEqual([200, "{}"]);
  expect(await ask("anywhere", "POST", page)).toEqual([200, "{}"]);
  expect(await ask("here", "GET", page)).toEqual([200, "{}"]);
  const [status, text] = await ask("here", "POST", page);
  expect(status).toBe(403);
  expect(text).toContain("/load/{model} is not open on this port to other machines");
  expect(text).toContain("--operators-anywhere");
});
