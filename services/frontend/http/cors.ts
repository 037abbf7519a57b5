import type { Exchange } from "./exchange.ts";

const EXPOSED = [
  ...["x-request-id", "x-stator-worker", "x-stator-prefill-worker", "x-stator-cached-tokens", "x-stator-decision"],
  ...["x-stator-ignored", "retry-after"],
].join(", ");

/** What RPCs take, which are no routes. */
const RPC_METHODS = "GET, HEAD, POST, OPTIONS";

/** Lets pages of these origins read answers; `*` is every origin. None are allowed by default. `methods` are those of the route. */
export function allowOrigin(exchange: Exchange, origins: readonly string[], methods = RPC_METHODS): void {
  const origin = exchange.header("origin");
  if (origin === undefined || origins.length === 0) return;
  if (!origins.includes("*")) exchange.set("vary", "origin");
  if (!origins.includes("*") && !origins.includes(origin)) return;
  exchange.set("access-control-allow-origin", origins.includes("*") ? "*" : origin);
  exchange.set("access-control-expose-headers", EXPOSED);
  if (exchange.header("access-control-request-method") === undefined) return;
  exchange.set("access-control-allow-methods", methods);
  exchange.set("access-control-allow-headers", exchange.header("access-control-request-headers") ?? "content-type");
  exchange.set("access-control-max-age", "600");
}
