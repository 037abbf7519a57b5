import { StatorError } from "#lib/base/errors";
import type { PrintError } from "../doors/reply.ts";
import type { Exchange } from "./exchange.ts";

/** Answers one exchange; what it throws is answered as an error. `rest` is what follows a prefix, decoded. */
export type Handler = (exchange: Exchange, rest: string) => Promise<void> | void;

/** One path of the port. A path that ends in `/` is a prefix, but for `/` itself. A request may say one more `/` at its end. */
export interface HttpRoute {
  /** Without a query, such as /v1/models. */
  readonly path: string;
  /** The one that it takes; GET takes HEAD too. */
  readonly method: "GET" | "POST";
  /** For counters. */
  readonly name: string;
  /** What answers. */
  readonly handler: Handler;
  /** The form of its errors, where that is not the port's. */
  readonly printError?: PrintError;
}

/** A route that a request came to. */
export interface FoundRoute {
  /** The one that fits best: a whole path before a prefix. */
  readonly route: HttpRoute;
  /** What follows a prefix, decoded. */
  readonly rest: string;
}

/** Finds the routes of requests. */
export class Router {
  readonly #exact = new Map<string, HttpRoute>();
  readonly #prefixes: HttpRoute[] = [];

  constructor(routes: readonly HttpRoute[]) {
    for (const route of routes) {
      if (route.path.endsWith("/") && route.path !== "/") this.#prefixes.push(route);
      else this.#exact.set(route.path, route);
    }
  }

  /** The route of a request target, whatever the method. */
  find(target: string): FoundRoute | undefined {
    const path = pathOf(target);
    const bare = path.endsWith("/") ? path.slice(0, -1) : path;
    const exact = this.#exact.get(path) ?? this.#exact.get(bare);
    if (exact) return { route: exact, rest: "" };
    for (const route of this.#prefixes) {
      if (!bare.startsWith(route.path) || bare.length === route.path.length) continue;
      const rest = decoded(bare.slice(route.path.length));
      if (rest !== undefined) return { route, rest };
    }
    return undefined;
  }
}

/** Why a request has no route. */
export function noRoute(method: string, target: string): StatorError {
  return new StatorError("ROUTE_NOT_FOUND", { method, path: printable(pathOf(target)) });
}

/** The methods of a route, as the header allow has them. */
export function allowOf({ method }: HttpRoute): string {
  return method === "GET" ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
}

function pathOf(target: string): string {
  // A client that takes this port for a proxy names the whole address, and gets the same answer (RFC 9112, 3.2.2).
  const local = target.startsWith("/") ? target : target.replace(/^https?:\/\/[^/?]*/i, "");
  const query = local.indexOf("?");
  return query < 0 ? local : local.slice(0, query);
}

/** Whether the route takes the method. HEAD is GET. */
export function takes({ method }: HttpRoute, asked: string): boolean {
  return asked === method || (asked === "HEAD" && method === "GET");
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** A path as it may stand in an error: short, and nothing but printable ASCII. */
function printable(path: string): string {
  return path.slice(0, 128).replaceAll(/[^\x21-\x7e]/g, "?");
}
