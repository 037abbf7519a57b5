import { assert, StatorError } from "#lib/base/errors";
import type { PrintError } from "../doors/reply.ts";
import type { Exchange } from "./exchange.ts";

/** What a request has in the place of each part in braces, decoded; never empty. */
export type Parts = Readonly<Record<string, string>>;

/** Answers one exchange; what it throws is answered as an error. */
export type Handler = (exchange: Exchange, parts: Parts) => Promise<void> | void;

/** What a route may take. */
export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** One method of one path of the port. */
export interface HttpRoute {
  /**
   * Without a query, such as /v2/models/{model}/ready: a segment in braces is a part that any text fits, a last one such as
   * {id...} takes all that follows, slashes too. A request may say one more `/` at its end.
   */
  readonly path: string;
  /** The one that it takes; GET takes HEAD too. */
  readonly method: Method;
  /** For counters. */
  readonly name: string;
  /** Who may ask; anyone unless it is for operators. */
  readonly access?: "public" | "operator";
  /** What answers. */
  readonly handler: Handler;
  /** The form of its errors, where that is not the port's. */
  readonly printError?: PrintError;
}

/** A route that a request came to. */
export interface FoundRoute {
  /** That of the method; where the path does not take the method, the first of the path. */
  readonly route: HttpRoute;
  /** Whether the path takes the method. */
  readonly taken: boolean;
  /** Methods of the path, as the header allow has them. */
  readonly allow: string;
  /** Its parts. */
  readonly parts: Parts;
}

/**
 * Finds the routes of requests, segment by segment in a tree. A segment goes by its own name before a part, and a part
 * before a rest; where that leads nowhere the next is tried. What a request costs is bounded by the tree.
 */
export class Router {
  readonly #root = new Place();

  /** Two routes with one method and one path are a bug, whatever their parts are called. */
  constructor(routes: readonly HttpRoute[]) {
    for (const route of routes) this.#add(route);
  }

  /** The route of a request target; undefined where no route has the path. */
  find(method: string, target: string): FoundRoute | undefined {
    const path = pathOf(target);
    if (!path.startsWith("/")) return undefined;
    const values: string[] = [];
    return this.#root.find(path.endsWith("/") ? path.slice(0, -1) : path, 1, values)?.found(method, values);
  }

  #add(route: HttpRoute): void {
    const names: string[] = [];
    let place = this.#root;
    const segments = route.path === "/" ? [] : route.path.slice(1).split("/");
    for (const [at, segment] of segments.entries()) {
      const [, name, rest] = /^\{(\w+)(\.{3})?\}$/.exec(segment) ?? [];
      if (name === undefined) {
        assert(/^[\w.-]+$/.test(segment), `${route.path} has a segment that is neither a name nor a part`);
        place = place.named(segment);
        continue;
      }
      assert(!names.includes(name), `${route.path} has two parts of one name`);
      assert(rest === undefined || at === segments.length - 1, `${route.path} goes on behind its rest`);
      names.push(name);
      place = rest === undefined ? place.part() : place.rest();
    }
    place.leaf().add(route, names);
  }
}

/** Why a request has no route. */
export function noRoute(method: string, target: string): StatorError {
  return new StatorError("ROUTE_NOT_FOUND", { method, path: printable(pathOf(target)) });
}

/** Whether a method only asks: what changes something is another. */
export function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS";
}

/** The routes of one path. */
class Leaf {
  readonly #routes = new Map<string, { readonly route: HttpRoute; readonly names: readonly string[] }>();
  #allow = "OPTIONS";

  /** `names` are those of the route's parts, in the order of its path. */
  add(route: HttpRoute, names: readonly string[]): void {
    assert(!this.#routes.has(route.method), `${route.method} ${route.path} is there twice`);
    this.#routes.set(route.method, { route, names });
    const methods = [...this.#routes.keys()].flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]));
    this.#allow = [...methods, "OPTIONS"].join(", ");
  }

  /** What a request with this method comes to. `values` are those of the parts, in the order of the path. */
  found(method: string, values: readonly string[]): FoundRoute | undefined {
    const own = this.#routes.get(method === "HEAD" ? "GET" : method);
    for (const { route, names } of own ? [own] : this.#routes.values()) {
      const parts = Object.fromEntries(names.map((name, at) => [name, values[at] ?? ""]));
      return { route, taken: own !== undefined, allow: this.#allow, parts };
    }
    return undefined;
  }
}

/** What may follow at one depth of a path. */
class Place {
  readonly #named = new Map<string, Place>();
  #part: Place | undefined;
  #rest: Place | undefined;
  #leaf: Leaf | undefined;

  named(segment: string): Place {
    const place = this.#named.get(segment) ?? new Place();
    this.#named.set(segment, place);
    return place;
  }

  part(): Place {
    this.#part ??= new Place();
    return this.#part;
  }

  rest(): Place {
    this.#rest ??= new Place();
    return this.#rest;
  }

  leaf(): Leaf {
    this.#leaf ??= new Leaf();
    return this.#leaf;
  }

  /** The routes of what follows `at` of the path; values of parts on the way are added. As deep as the tree, whatever the path. */
  find(path: string, at: number, values: string[]): Leaf | undefined {
    if (at > path.length) return this.#leaf;
    const slash = path.indexOf("/", at);
    const end = slash < 0 ? path.length : slash;
    const segment = path.slice(at, end);
    const named = this.#named.get(segment)?.find(path, end + 1, values);
    if (named) return named;
    if (this.#part && keep(values, segment)) {
      const found = this.#part.find(path, end + 1, values);
      if (found) return found;
      values.pop();
    }
    return this.#rest && keep(values, path.slice(at)) ? this.#rest.#leaf : undefined;
  }
}

/** Adds the value that a text stands for. False where it stands for none: it is empty, or no text when it is decoded. */
function keep(values: string[], text: string): boolean {
  try {
    return text !== "" && values.push(decodeURIComponent(text)) > 0;
  } catch {
    return false;
  }
}

function pathOf(target: string): string {
  // A client that takes this port for a proxy names the whole address, and gets the same answer (RFC 9112, 3.2.2).
  const local = target.startsWith("/") ? target : target.replace(/^https?:\/\/[^/?]*/i, "");
  const query = local.indexOf("?");
  return query < 0 ? local : local.slice(0, query);
}

/** A path as it may stand in an error: short, and nothing but printable ASCII. */
function printable(path: string): string {
  return path.slice(0, 128).replaceAll(/[^\x21-\x7e]/g, "?");
}
