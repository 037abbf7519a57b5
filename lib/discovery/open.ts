import { fileURLToPath } from "node:url";
import { Backoff } from "#lib/base/backoff";
import { asStatorError, StatorError } from "#lib/base/errors";
import { withoutLogin } from "#lib/base/url-login";
import { noMetrics } from "#lib/host/metrics";
import { Channel } from "#lib/rpc/channel";
import type { Credentials } from "#lib/rpc/credentials";
import type { StoreCalls } from "./calls.ts";
import type { DiscoveryDeps } from "./deps.ts";
import type { Discovery } from "./discovery.ts";
import { createEtcdCalls } from "./etcd.ts";
import { createFileCalls } from "./file.ts";
import { createHubCalls } from "./hub.ts";
import { createMemoryDiscovery } from "./memory.ts";
import { withLimit } from "./patience.ts";
import { plainReason } from "./plain-reason.ts";
import { StoreHost } from "./store-host.ts";
import { superviseStore } from "./supervise.ts";

/** What a URL of discovery names. */
export type DiscoveryPlace =
  | { readonly kind: "memory" }
  | { readonly kind: "hub"; readonly target: string }
  | { readonly kind: "file"; readonly directory: string }
  | {
      readonly kind: "etcd";
      readonly hosts: readonly string[];
      readonly root: string;
      readonly user: { readonly name: string; readonly password: string } | undefined;
    };

/** What opening needs beside the rest. */
export interface OpenDiscoveryDeps extends DiscoveryDeps {
  /** How to talk to a hub or to etcd. */
  readonly credentials: Credentials;
  /** The store behind `memory:`, when it is shared with others of this process. Borrowed. */
  readonly memory?: StoreHost;
}

const FORMS = "Use hub://HOST:PORT, file:///FOLDER, etcd://HOST:PORT[,HOST:PORT][/PREFIX] or memory:";
const HOST_PORT = /^(\[[0-9a-f:.]+\]|[^\s:/@,[\]]+):(\d{1,5})$/i;

/** Understands a URL of discovery. Throws BAD_CONFIG with one sentence and the forms there are. */
export function parseDiscoveryUrl(url: string): DiscoveryPlace {
  const [, scheme, rest = ""] = /^([a-z]+):(.*)$/.exec(url) ?? [];
  if (scheme === "memory" && rest === "") return { kind: "memory" };
  if (scheme === "hub") return { kind: "hub", target: hostPort(url, rest.replace(/^\/\//, "").replace(/\/$/, "")) };
  if (scheme === "file") return { kind: "file", directory: folder(url) };
  if (scheme === "etcd" && rest.startsWith("//")) return parseEtcd(url, rest.slice(2));
  throw bad(url, "it is no place where processes can meet");
}

/**
 * Opens discovery by its URL and waits until the store answers. Throws BAD_CONFIG for a URL that says nothing, UNAVAILABLE
 * with what to do when the store does not answer within the time limit.
 */
export async function openDiscovery(url: string, deps: OpenDiscoveryDeps): Promise<Discovery> {
  const place = parseDiscoveryUrl(url);
  if (place.kind === "memory") return openMemory(deps);
  const calls = await openCalls(place, deps);
  try {
    await reach(calls, deps);
  } catch (error) {
    await calls.close();
    throw withAdvice(asStatorError(error), calls, place);
  }
  return superviseStore(calls, deps);
}

async function openCalls(
  place: Exclude<DiscoveryPlace, { kind: "memory" }>,
  deps: OpenDiscoveryDeps,
): Promise<StoreCalls> {
  const { clock, credentials } = deps;
  if (place.kind === "hub") return createHubCalls(() => new Channel(place.target, credentials, clock));
  if (place.kind === "file") return createFileCalls(place.directory, deps);
  const { hosts, root, user } = place;
  return createEtcdCalls({ hosts, root, user, credentials }, deps);
}

function openMemory(deps: OpenDiscoveryDeps): Discovery {
  if (deps.memory) return createMemoryDiscovery(deps.memory, deps);
  // Nobody else sees this store: what a hub counts is not counted.
  const host = new StoreHost({ ...deps, metrics: noMetrics });
  const discovery = createMemoryDiscovery(host, deps);
  const close = () => discovery.close().then(() => host.close());
  return { register: (...args) => discovery.register(...args), watch: (prefix) => discovery.watch(prefix), close };
}

/** Tries until the time is over: a store that starts beside us may need a moment. */
async function reach(calls: StoreCalls, deps: OpenDiscoveryDeps): Promise<void> {
  const { clock, chance, patience } = deps;
  const untilMs = clock.nowMs() + (patience?.timeLimitMs ?? 5_000);
  const backoff = new Backoff({ firstMs: 100, longestMs: 1_000 }, chance);
  const parent = new AbortController().signal;
  for (;;) {
    const limitMs = Math.max(50, untilMs - clock.nowMs());
    try {
      return await withLimit({ clock, limitMs, what: calls.place, parent }, (signal) => calls.reach(signal));
    } catch (error) {
      const waitMs = backoff.nextMs();
      if (asStatorError(error).row.retry === "never" || clock.nowMs() + waitMs >= untilMs) throw error;
      await new Promise<void>((resolve) => clock.after(waitMs, resolve, { keepAlive: true }));
    }
  }
}

function withAdvice(error: StatorError, calls: StoreCalls, place: DiscoveryPlace): StatorError {
  if (error.row.retry === "never") return error;
  const start = place.kind === "hub" ? "Start one with `stator hub`" : place.kind === "etcd" ? "Start it" : "Make it";
  const why = plainReason(String(error.facts.detail ?? error.message));
  const detail = `${why}. ${start}, or give another place with --discovery`;
  return new StatorError("UNAVAILABLE", { what: calls.place, detail }, { cause: error });
}

function parseEtcd(url: string, rest: string): DiscoveryPlace {
  const [, login, hostList = "", path = ""] = /^(?:([^@]*)@)?([^/]*)(\/.*)?$/.exec(rest) ?? [];
  const hosts = hostList.split(",").map((host) => hostPort(url, /:\d+$/.test(host) ? host : `${host}:2379`));
  const root = path.replace(/\/+$/, "") || "/stator";
  if (!/^(\/[\w.-]+)+$/.test(root)) throw bad(url, `${root} is no prefix for keys`);
  return { kind: "etcd", hosts, root, user: login === undefined ? undefined : parseLogin(url, login) };
}

function parseLogin(url: string, login: string): { name: string; password: string } {
  const at = login.indexOf(":");
  try {
    if (at > 0)
      return { name: decodeURIComponent(login.slice(0, at)), password: decodeURIComponent(login.slice(at + 1)) };
  } catch {
    // A stray percent sign.
  }
  throw bad(url, "a login is NAME:PASSWORD@");
}

function hostPort(url: string, text: string): string {
  const port = Number(HOST_PORT.exec(text)?.[2] ?? 0);
  const shown = text.slice(text.lastIndexOf("@") + 1);
  if (port < 1 || port > 65_535) throw bad(url, `${shown === "" ? "there" : JSON.stringify(shown)} is no HOST:PORT`);
  return text;
}

function folder(url: string): string {
  try {
    const directory = fileURLToPath(url);
    if (directory !== "/") return directory;
  } catch {
    // Said below.
  }
  throw bad(url, "it names no folder of this machine");
}

/** The URL may hold a password: what stands before an @ is not shown. */
function bad(url: string, why: string): StatorError {
  const shown = withoutLogin(url);
  return new StatorError("BAD_CONFIG", {
    detail: `${shown || "An empty text"} cannot be used for --discovery: ${why}. ${FORMS}.`,
  });
}
