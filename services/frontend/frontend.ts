import type { IncomingMessage, ServerResponse } from "node:http";
import { printOpenApi } from "#lib/api/openapi";
import { printId } from "#lib/base/bytes";
import { type Chance, SeededChance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { BoundedCache } from "#lib/base/collections";
import { StatorError } from "#lib/base/errors";
import type { ModelView } from "#lib/discovery/model-view";
import { type Log, silentLog } from "#lib/host/log";
import { createLoopLoad } from "#lib/host/loop-load";
import { type Metrics, noMetrics } from "#lib/host/metrics";
import { Scope } from "#lib/host/scope";
import { DirectTransport } from "#lib/rpc/direct";
import type { OperatorsFrom } from "#lib/rpc/operators";
import type { ServedService } from "#lib/rpc/service";
import type { Dispatcher } from "#lib/serving/dispatcher";
import type { Ledger } from "#lib/serving/ledger";
import type { SharedRegions } from "#lib/shared/shared-regions";
import { compileStops, type StopStrings } from "#lib/text/stop";
import { Counts, PromptCounts } from "./counts.ts";
import { documentedRoutes } from "./documented-routes.ts";
import type { HttpDoor } from "./doors/door.ts";
import { DOORS, readersOf } from "./doors/doors.ts";
import { printOpenAiError } from "./doors/openai/error.ts";
import { Admission } from "./http/admission.ts";
import { Router } from "./http/router.ts";
import { createRoutes } from "./http/routes.ts";
import { HttpServer } from "./http/server.ts";
import { EXTENSIONS, type ServerAbout } from "./inference/about.ts";
import { InferenceCalls, type InferenceTools } from "./inference/calls.ts";
import { KSERVE } from "./inference/doors.ts";
import type { Forwarding } from "./inference/forwarding.ts";
import { OPERATIONS } from "./inference/operation-table.ts";
import { createInferenceService, type InferenceHandlers } from "./inference/service.ts";
import { DEFAULT_LIMITS, type FrontendLimits } from "./limits.ts";
import { Artifacts, type FetchArtifact } from "./models/artifacts.ts";
import { ModelWaits } from "./models/model-waits.ts";
import { ModelRegistry, type OpenModelText } from "./models/registry.ts";
import { BodyReader } from "./read/reader.ts";
import { RequestMeter } from "./request-meter.ts";
import { createLagProbe } from "./serve/lag.ts";
import { Pacer } from "./serve/pacer.ts";
import type { ServeTools } from "./serve/serve.ts";
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
  /**
   * Serves what the frontend answers over gRPC, and returns host:port of the port, which operators call too; called before
   * the HTTP port listens. Unless given, nothing is answered over gRPC.
   */
  readonly openRpc?: (services: readonly ServedService[]) => Promise<string>;
  /** What it answers over gRPC beside text. */
  readonly inference?: FrontendInference;
  /** From where operators may ask the HTTP port for what is theirs; `here` unless given. */
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

/** What the inference service of a frontend has from elsewhere. All of it is borrowed. */
export interface FrontendInference {
  /** Who counts the requests of its models. */
  readonly ledger: Pick<Ledger, "model">;
  /** What the server calls itself. */
  readonly serverName: string;
  /** The way of models of tensors; there are none unless given. */
  readonly forwarding?: Forwarding;
  /** Regions of shared memory that requests may name; none unless given. */
  readonly regions?: SharedRegions;
  /** Handlers of further methods; those without one refuse. */
  readonly handlers?: InferenceHandlers;
  /** Names of the extensions that these handlers are. */
  readonly extensions?: readonly string[];
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
  let operators: string | undefined;
  const parts = createParts(options, scope, () => operators);
  const { registry, waits, admission, server, counts, calls } = parts;
  const prompts = options.prompts && new PromptCounts(options.prompts);
  const endScrape = metrics.onScrape(() => {
    counts.flush(metrics);
    prompts?.flush(metrics);
    metrics.set("stator_frontend_active_requests", admission.requests);
    for (const [route, open] of Object.entries(countStreams(parts, options.doors ?? DOORS))) {
      metrics.set("stator_frontend_open_streams", open, { route });
    }
    metrics.set("stator_frontend_loading_requests", waits.size);
    metrics.set("stator_frontend_connections", server.connections);
    metrics.set("stator_frontend_body_bytes", admission.bytes);
  });
  scope.defer("models", () => registry.close());
  scope.defer("scrape", endScrape);
  const port = await openOrClose(scope, async () => {
    operators = await options.openRpc?.([parts.service]);
    return await server.listen();
  });
  log.info("frontend listens", { host: options.host, port });
  let closing: Promise<void> | undefined;
  const idle = (): Promise<unknown> => Promise.all([server.idle(), calls.idle()]);
  const drain = async (drainMs: number): Promise<void> => {
    server.stopAccepting();
    calls.stopAccepting();
    if (!(await settled(idle(), clock, drainMs))) {
      log.info("frontend cancels what is left", { open: server.open + calls.open });
      const error = new StatorError("DRAINING", { what: "This frontend" });
      server.abortAll(error);
      calls.abortAll(error);
      await settled(idle(), clock, LAST_WORDS_MS);
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
function createParts(options: FrontendOptions, scope: Scope, operators: () => string | undefined) {
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
  const serving: ServeTools = {
    findModel: (name, reply) => waits.find(name, reply),
    compileStops: createStopCompiler(),
    mostScoredTokens: limits.scoredTokens,
    drawSeed: () => chance.id(),
    unixMs: () => clock.unixMs(),
    dispatcher,
    answers: { clock, limits, log, pacer, onUsage: (route, usage) => counts.usage(route, usage) },
  };
  const meter = new RequestMeter({ clock, log, metrics, counts });
  const drawRequestId = createRequestIds(printId(chance.id()));
  const tools = { serving, admission, meter, limits, clock, drawRequestId };
  const inference = createInference(options, { tools, models: registry, draining: () => server.draining });
  const routes = createRoutes({
    ...inference.http,
    models: registry,
    reader,
    doors,
    serving,
    admission,
    body: { mostBytes: limits.bodyBytes, admission, clock },
    metrics,
    openApi: printOpenApi(options.version, documentedRoutes(doors)),
    operators,
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
    drawRequestId,
    log,
    meter,
  });
  return { registry, waits, admission, server, counts, ...inference };
}

/** The inference service, the calls that it takes, and what its routes over HTTP answer with. */
function createInference(
  { version, inference = NO_INFERENCE }: FrontendOptions,
  parts: Pick<ServerAbout, "models" | "draining"> & { readonly tools: Omit<InferenceTools, "forwarding" | "regions"> },
) {
  const { models, draining, tools } = parts;
  const { forwarding, ledger, serverName: name, regions, handlers: more = {}, extensions = [] } = inference;
  const calls = new InferenceCalls({ ...tools, forwarding, regions });
  const about = { models, ledger, draining, name, version, extensions: [...EXTENSIONS, ...extensions] };
  const service = createInferenceService({ about, calls, forwarding, more });
  // Its errors are those of the routes, which log and count them.
  const direct = new DirectTransport([service], { clock: tools.clock, log: silentLog, metrics: noMetrics });
  return { calls, service, http: { operations: OPERATIONS, service: direct, forwarding, regions } };
}

/** Of a frontend whose requests nobody counts. */
const NO_INFERENCE: FrontendInference = { ledger: { model: () => undefined }, serverName: "stator" };

/** Open streams by route, those without one among them. */
function countStreams(
  { server, calls }: { readonly server: HttpServer; readonly calls: InferenceCalls },
  doors: readonly HttpDoor<unknown>[],
): Record<string, number> {
  const open: Record<string, number> = Object.fromEntries(doors.map(({ name }) => [name, 0]));
  server.countStreams(open);
  return { ...open, [KSERVE]: calls.openStreams };
}

/** Opens the ports, or closes all that is there. */
async function openOrClose(scope: Scope, open: () => Promise<number>): Promise<number> {
  try {
    return await open();
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
function settled(promise: Promise<unknown>, clock: Clock, withinMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.after(withinMs, () => resolve(false), { keepAlive: true });
    const done = (): void => {
      timer.cancel();
      resolve(true);
    };
    promise.then(done, done);
  });
}
