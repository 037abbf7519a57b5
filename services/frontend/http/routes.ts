import { printModel, printModels } from "#lib/api/openai/bodies";
import { noWorkers } from "#lib/discovery/models";
import type { Metrics } from "#lib/host/metrics";
import { isLoopback } from "#lib/rpc/credentials";
import type { SharedRegions } from "#lib/shared/shared-regions";
import { type Around, type HttpDoor, NOTHING_AROUND } from "../doors/door.ts";
import { printHostedError } from "../doors/hosted/error.ts";
import type { Forwarding } from "../inference/forwarding.ts";
import { forwardBody } from "../inference/http-forward.ts";
import { mayNameRegions, serveRegions } from "../inference/http-regions.ts";
import type { Operation, OperationCaller } from "../inference/operations.ts";
import type { Models } from "../models/served.ts";
import { openPage } from "../page/page.ts";
import type { BodyReader } from "../read/reader.ts";
import { type ServeTools, serve } from "../serve/serve.ts";
import type { Admission } from "./admission.ts";
import { type BodyOptions, receiveBody } from "./body.ts";
import type { Exchange } from "./exchange.ts";
import { operationRoutes } from "./operation-routes.ts";
import type { Handler, HttpRoute, Parts } from "./router.ts";

/** What the routes answer with. */
export interface RouteTools {
  /** What GET /v1/models tells. */
  readonly models: Models;
  /** Each is one route. */
  readonly doors: readonly HttpDoor<unknown>[];
  /** What requests are served with. */
  readonly serving: ServeTools;
  /** Has a place for each request that runs. */
  readonly admission: Admission;
  /** How bodies are received. */
  readonly body: BodyOptions;
  /** Reads them. */
  readonly reader: BodyReader;
  /** Methods of the inference service. */
  readonly operations: readonly Operation[];
  /** What calls them. */
  readonly service: OperationCaller;
  /** The way of requests for models of tensors; undefined: there are none. */
  readonly forwarding: Forwarding | undefined;
  /** Regions of shared memory that requests may name; undefined: there are none. */
  readonly regions: SharedRegions | undefined;
  /** What GET /metrics tells. */
  readonly metrics: Metrics;
  /** The OpenAPI document as JSON. */
  readonly openApi: string;
  /** host:port of the port for operators; told to this machine alone. */
  readonly operators: () => string | undefined;
  /** What routing has to do without, a sentence each. */
  readonly lacking: (() => readonly string[]) | undefined;
  /** Whether the frontend takes requests at all. */
  readonly draining: () => boolean;
}

/** Every path of the public port. */
export function createRoutes(tools: RouteTools): readonly HttpRoute[] {
  const page = openPage();
  return [
    { path: "/", method: "GET", name: "page", handler: (exchange) => page.show(exchange) },
    {
      path: "/docs/{name...}",
      method: "GET",
      name: "docs",
      handler: (exchange, { name = "" }) => page.showDocument(exchange, name),
    },
    ...tools.doors.flatMap((door) => doorRoutes(door, tools)),
    ...operationRoutes(tools.operations, tools),
    ...modelRoutes("", tools.models),
    ...modelRoutes("/openai", tools.models).map((route) => ({ ...route, printError: printHostedError })),
    { path: "/health", method: "GET", name: "health", handler: (exchange) => showHealth(exchange, tools) },
    { path: "/live", method: "GET", name: "live", handler: (exchange) => exchange.json(200, '{"status":"live"}') },
    { path: "/metrics", method: "GET", name: "metrics", handler: (exchange) => showMetrics(exchange, tools.metrics) },
    { path: "/openapi.json", method: "GET", name: "openapi", handler: (exchange) => exchange.json(200, tools.openApi) },
  ];
}

/** A door of the port, at each of its paths: what it reads goes the one way behind all of them. */
function doorRoutes(door: HttpDoor<unknown>, tools: RouteTools): HttpRoute[] {
  const { name, api, reader, printError, binary } = door;
  const handler = admitted(tools, async (exchange, parts) => {
    if (door.tensors && (await forwarded(exchange, parts, tools))) return;
    const read = await receiveBody(exchange, { ...tools.body, binary }, async (chunks) => {
      const around = await lookAround(exchange, parts, { door, tools });
      const { regions } = tools;
      if (!door.tensors || !regions || !mayNameRegions(chunks)) return tools.reader.read(reader, chunks, around);
      return void (await serveRegions(chunks, { around, reply: exchange }, { ...tools, regions }));
    });
    if (!read) return;
    try {
      await serve(read, { door, reply: exchange }, tools.serving);
    } finally {
      read.close();
    }
  });
  return [api.path, ...(api.also ?? [])].map((path) => ({ path, method: "POST", name, handler, printError }));
}

/** Answers a request for a model of tensors; false for one of another. */
async function forwarded(
  exchange: Exchange,
  { model = "", version = "" }: Parts,
  { body, reader, forwarding }: RouteTools,
): Promise<boolean> {
  if (!forwarding?.takes(model)) return false;
  await receiveBody(exchange, { ...body, binary: true }, (chunks) => {
    return forwardBody({ chunks, model, version }, exchange, { forwarding, reader });
  });
  return true;
}

/** What is known of a request before its body is read. Throws what the model is that its path names, if it is not there. */
function lookAround(
  exchange: Exchange,
  parts: Parts,
  { door, tools }: { readonly door: HttpDoor<unknown>; readonly tools: RouteTools },
): Around | Promise<Around> {
  const { modelPart, headers: names = [] } = door;
  if (modelPart === undefined && names.length === 0) return NOTHING_AROUND;
  const said = names.flatMap((name) => {
    const value = exchange.header(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  const headers = Object.fromEntries(said);
  if (modelPart === undefined) return { parts, headers, features: undefined };
  const model = tools.serving.findModel(parts[modelPart] ?? "", exchange);
  if (model instanceof Promise) return model.then(({ features }) => ({ parts, headers, features }));
  return { parts, headers, features: model.features };
}

/** Runs a handler with a place among the concurrent requests. */
function admitted(tools: RouteTools, handler: (exchange: Exchange, parts: Parts) => Promise<void>): Handler {
  return (exchange, parts) => {
    tools.admission.enter();
    exchange.place = tools.admission;
    return handler(exchange, parts);
  };
}

/** The models as OpenAI's API has them, below a path. */
function modelRoutes(below: string, models: Models): HttpRoute[] {
  return [
    {
      path: `${below}/v1/models`,
      method: "GET",
      name: "models",
      handler: (exchange) => exchange.json(200, printModels(models.list())),
    },
    {
      path: `${below}/v1/models/{id...}`,
      method: "GET",
      name: "model",
      handler: (exchange, { id = "" }) => showModel(exchange, id, models),
    },
  ];
}

function showModel(exchange: Exchange, id: string, models: Models): void {
  const model = models.list().listed.find((one) => one.id === id && !one.tensors);
  if (!model) {
    // It is not there, or not yet, or takes tensors.
    models.find(id);
    throw noWorkers(id);
  }
  exchange.json(200, printModel(model));
}

/** Ready means routable: some model has its tokenizer here and a linked worker that takes requests. */
function showHealth(exchange: Exchange, tools: RouteTools): void {
  const models = tools.models.routable();
  const tell = (code: number, status: string, names: readonly string[]): void =>
    exchange.json(
      code,
      JSON.stringify({ status, models: names, ...lackingIn(tools), ...operatorsFor(exchange, tools) }),
    );
  if (tools.draining()) tell(503, "draining", []);
  else if (models.length === 0) tell(503, "no model is routable", []);
  else tell(200, "ready", models);
}

/** What routing has to do without: no reason not to be ready. */
function lackingIn({ lacking }: RouteTools): { routing?: readonly string[] } {
  const routing = lacking?.() ?? [];
  return routing.length > 0 ? { routing } : {};
}

/** Who runs on this machine may know where operators ask; whether they may is that port's to say. */
function operatorsFor({ request }: Exchange, { operators }: RouteTools): { operators?: string } {
  const address = operators();
  return address !== undefined && isLoopback(request.socket.remoteAddress ?? "") ? { operators: address } : {};
}

async function showMetrics(exchange: Exchange, metrics: Metrics): Promise<void> {
  exchange.send(200, "text/plain; version=0.0.4; charset=utf-8", await metrics.print());
}
