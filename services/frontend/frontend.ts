import type { IncomingMessage, ServerResponse } from "node:http";
import { printOpenApi } from "#lib/api/openapi";
import { printId } from "#lib/base/bytes";
import { type Chance, SeededChance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { BoundedCache } from "#lib/base/collections";
import { StatorError } from "#lib/base/errors";
import type { ModelView } from "#lib/discovery/model-view";
import type { Log } from "#lib/host/log";
import { createLoopLoad } from "#lib/host/loop-load";
import type { Metrics } from "#lib/host/metrics";
import { Scope } from "#lib/host/scope";
import type { OperatorsFrom } from "#lib/rpc/operators";
import type { Dispatcher } from "#lib/serving/dispatcher";
import { compileStops, type StopStrings } from "#lib/text/stop";
import { Counts, PromptCounts } from "./counts.ts";
import type { HttpDoor } from "./doors/door.ts";
import { DOORS, documentedRoutes, readersOf } from "./doors/doors.ts";
import { printOpenAiError } from "./doors/openai/error.ts";
import { Admission } from "./http/admission.ts";
import { Router } from "./http/router.ts";
import { createRoutes } from "./http/routes.ts";
import { HttpServer } from "./http/server.ts";
import { DEFAULT_LIMITS, type FrontendLimits } from "./limits.ts";
import { Artifacts, type FetchArtifact } from "./models/artifacts.ts";
import { ModelWaits } from "./models/model-waits.ts";
import { ModelRegistry, type OpenModelText } from "./models/registry.ts";
import { BodyReader } from "./read/reader.ts";
import { createLagProbe } from "./serve/lag.ts";
import { Pacer } from "./serve/pacer.ts";
import type { PromptTally } from "./tokenize/prompt-memory.ts";

/** What a frontend is joined to. Everything is borrowed: whoever opened it closes it after the frontend. */
export interface FrontendOptions {
  /** Where the HTTP port listens. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Origins whose pages may read answers; none by default. */
  readonly corsOrigins?: readonly string[];
  /** What differs from `DEFAULT_LIMITS`. */
  readonly limits?: Partial<FrontendLimits>;
  /** Doors of the port; unless given, all that there are. */
  readonly doors?: readonly HttpDoor<unknown>[];
  /** Who serves which names; the dispatcher's too, so that both see the same. */
  readonly view: ModelView;
  /** Runs the requests. */
  readonly dispatcher: Dispatcher;
  /** Names that the dispatcher would place a request for now; unless given, those with a ready worker. */
  readonly placeable?: () => readonly string[];
  /** What its router has to do without, a sentence each; nothing unless given. */
  readonly lacking?: () => readonly string[];
  /** Whether the dispatcher ever reached a worker; unless given, it did. */
  readonly isReached?: (worker: bigint) => boolean;
  /** Reads bodies; unless given, the frontend has one of its own. */
  readonly reader?: BodyReader;
  /** Fetches tokenizers and templates from workers. */
  readonly fetchArtifact: FetchArtifact;
  /** Opens a model's text from them; the frontend closes it. */
  readonly openText: OpenModelText;
  /** What the texts remember of prompts; undefined: nobody tells. */
  readonly prompts?: Readonly<PromptTally>;
  /** Called when a model's text turns out to be one that can never be opened; returns whether it was told, else the log says it. */
  readonly onUnusable?: (error: StatorError) => boolean;
  /** Answers requests that are not OpenAI's, such as RPCs; returns whether it did. */
  readonly fallback?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** host:port of the port for operators, where there is one. */
  readonly operators?: string;
  /** From where operators may ask this port for what is theirs; `here` unless given. */
  readonly operatorsFrom?: OperatorsFrom;
  /** Shown in the OpenAPI document. */
  readonly version: string;
  /** Of all its waits and times. */
  readonly clock: Clock;
  /** Asked once: the names and seeds of requests are drawn from what it gives. */
  readonly chance: Chance;
  /** Told of models, and of requests that were refused or failed. */
  readonly log: Log;
  /** Holds `FRONTEND_INSTRUMENTS`, filled at every scrape. */
  readonly metrics: Metrics;
}

/** An open frontend. */
export interface Frontend {
  /** Where it listens. */
  readonly port: number;
  /** Models that a request would be answered for now. */
  routable(): readonly string[];
  /**
   * Drains and closes: not ready, no new connections, then streams finish; those that are open after `drainMs` are
   * cancelled and told so.
   */
  close(options?: { drainMs?: number }): Promise<void>;
}

const USUAL_DRAIN_MS = 10_000;
/** Time for the word that a stream was cancelled to reach its client. */
const LAST_WORDS_MS = 1000;

/** Opens the HTTP front door. Throws PORT_IN_USE or BAD_CONFIG. */
export async function openFrontend(options: FrontendOptions): Promise<Frontend> {
  const { clock, log, metrics } = options;
  const scope = new Scope("frontend", log);
  const { registry, waits, pacer, admission, server, counts } = createParts(options, scope);
  const prompts = options.prompts && new PromptCounts(options.prompts);
  const endScrape = metrics.onScrape(() => {
    counts.flush(metrics);
    prompts?.flush(metrics);
    metrics.set("stator_frontend_active_requests", admission.requests);
    metrics.set("stator_frontend_open_streams", pacer.open);
    metrics.set("stator_frontend_loading_requests", waits.size);
    metrics.set("stator_frontend_connections", server.connections);
    metrics.set("stator_frontend_body_bytes", admission.bytes);
  });
  scope.defer("models", () => registry.close());
  scope.defer("scrape", endScrape);
  const port = await listenOrClose(server, scope);
  log.info("frontend listens", { host: options.host, port });
  let closing: Promise<void> | undefined;
  const drain = async (drainMs: number): Promise<void> => {
    server.stopAccepting();
    if (!(await settled(server.idle(), clock, drainMs))) {
      log.info("frontend cancels what is left", { open: server.open });
      server.abortAll(new StatorError("DRAINING", { what: "This frontend" }));
      await settled(server.idle(), clock, LAST_WORDS_MS);
    }
    server.closeConnections();
    await scope.close();
  };
  return {
    port,
    routable: () => registry.routable(),
    close({ drainMs = USUAL_DRAIN_MS } = {}) {
      closing ??= drain(drainMs);
      return closing;
    },
  };
}

/** Makes the parts of a frontend and joins them; nothing listens yet. */
function createParts(options: FrontendOptions, scope: Scope) {
  const { clock, log, metrics, dispatcher, doors = DOORS } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const registry = new ModelRegistry({
    view: options.view,
    placeable: options.placeable,
    artifacts: new Artifacts(options.fetchArtifact, limits.artifactBytes),
    openText: options.openText,
    onUnusable: options.onUnusable,
    isReached: options.isReached,
    clock,
    scope,
    log,
  });
  const waits = new ModelWaits({
    models: registry,
    clock,
    waitMs: limits.loadingMs,
    most: limits.loadingRequests,
  });
  const admission = new Admission(limits);
  const counts = new Counts();
  const tendMs = Math.max(10, Math.floor(limits.pingMs / 4));
  const pacer = new Pacer({ clock, lagging: createLagProbe(clock, createLoopLoad()), tendMs });
  // Asking the operating system for every seed and name would be a tenth of a short request's cost.
  const chance = new SeededChance(options.chance.id());
  const reader = options.reader ?? scope.own("reader", new BodyReader({ readers: readersOf(doors), clock, log }));
  const routes = createRoutes({
    models: registry,
    reader,
    doors,
    serving: {
      findModel: (name, reply) => waits.find(name, reply),
      compileStops: createStopCompiler(),
      mostScoredTokens: limits.scoredTokens,
      drawSeed: () => chance.id(),
      unixMs: () => clock.unixMs(),
      dispatcher,
      answers: { clock, limits, log, pacer, onUsage: (route, usage) => counts.usage(route, usage) },
    },
    admission,
    body: { mostBytes: limits.bodyBytes, admission, clock },
    metrics,
    openApi: printOpenApi(options.version, documentedRoutes(doors)),
    operators: options.operators,
    lacking: options.lacking,
    draining: () => server.draining,
  });
  const server: HttpServer = new HttpServer({
    host: options.host,
    port: options.port,
    router: new Router(routes),
    printError: printOpenAiError,
    fallback: options.fallback,
    operators: options.operatorsFrom ?? "here",
    corsOrigins: options.corsOrigins ?? [],
    limits,
    clock,
    drawRequestId: createRequestIds(printId(chance.id())),
    log,
    metrics,
    counts,
  });
  return { registry, waits, pacer, admission, server, counts };
}

async function listenOrClose(server: HttpServer, scope: Scope): Promise<number> {
  try {
    return await server.listen();
  } catch (error) {
    await scope.close();
    throw error;
  }
}

/** Names for requests: the frontend's own, which is drawn, and a number. */
function createRequestIds(prefix: string): () => string {
  let count = 0;
  return () => prefix + (++count).toString(16).padStart(8, "0");
}

/** Stop texts that are kept compiled. */
const KEPT_STOPS = 256;

function createStopCompiler(): (stops: readonly string[]) => StopStrings {
  const kept = new BoundedCache<string, StopStrings>(KEPT_STOPS);
  return (stops) => {
    const key = JSON.stringify(stops);
    const known = kept.get(key);
    if (known) return known;
    const compiled = compileStops(stops);
    // Long ones weigh more, so that what is kept stays small.
    kept.set(key, compiled, 1 + (key.length >> 6));
    return compiled;
  };
}

/** Whether a promise settles within a time. */
function settled(promise: Promise<void>, clock: Clock, withinMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.after(withinMs, () => resolve(false), { keepAlive: true });
    const done = (): void => {
      timer.cancel();
      resolve(true);
    };
    promise.then(done, done);
  });
}
