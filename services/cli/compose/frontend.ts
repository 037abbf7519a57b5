import { Access } from "#gen/stator/common/v1/common_pb";
import { type InstanceRecord, InstanceRole } from "#gen/stator/discovery/v1/discovery_pb";
import { FrontendService } from "#gen/stator/frontend/v1/frontend_pb";
import { ArtifactService } from "#gen/stator/worker/v1/artifact_pb";
import { WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import { printId } from "#lib/base/bytes";
import { SeededChance } from "#lib/base/chance";
import type { Timer } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import { type Announcement, announceServices } from "#lib/discovery/announce";
import type { Discovery } from "#lib/discovery/discovery";
import { DISCOVERY_INSTRUMENTS } from "#lib/discovery/metrics";
import { ModelView } from "#lib/discovery/model-view";
import { openDiscovery } from "#lib/discovery/open";
import { createServicePool, type ServicePool } from "#lib/discovery/service-pool";
import type { Log } from "#lib/host/log";
import { createMetrics, type Metrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { readLinkLimits } from "#lib/link/options";
import { Channel } from "#lib/rpc/channel";
import type { Client } from "#lib/rpc/client";
import { createConnectHandler } from "#lib/rpc/connect";
import type { Credentials } from "#lib/rpc/credentials";
import { createHealth, type HealthBoard } from "#lib/rpc/health";
import { RPC_INSTRUMENTS } from "#lib/rpc/metrics";
import { checkHttpListen, readCredentials } from "#lib/rpc/options";
import type { RpcServer } from "#lib/rpc/server";
import type { ServedService } from "#lib/rpc/service";
import { readLifeLimits } from "#lib/serving/options";
import { createFrontendService } from "#services/frontend/administration";
import { createDispatcher, type FrontendDispatcher } from "#services/frontend/dispatch/dispatcher";
import { DISPATCH_INSTRUMENTS } from "#services/frontend/dispatch/instruments";
import type { Connection } from "#services/frontend/dispatch/worker-seat";
import { type FrontendOptions, openFrontend } from "#services/frontend/frontend";
import { FRONTEND_INSTRUMENTS } from "#services/frontend/instruments";
import type { FetchArtifact } from "#services/frontend/models/artifacts";
import { readHttpOptions } from "#services/frontend/options";
import { grammars } from "#services/frontend/tokenize/open-text";
import { createTracedDispatcher } from "#services/frontend/traced-dispatcher";
import { failureReport, reportToParent } from "../children.ts";
import type { CommandContext } from "../command.ts";
import { VERSION } from "../version.ts";
import { openGrpcPort } from "./grpc-port.ts";
import { settleMemory } from "./settle-memory.ts";
import { openTexts } from "./texts.ts";
import { openTracerFor } from "./tracer.ts";

/** A frontend process that serves. */
export interface OpenedFrontend {
  /** host:port of the OpenAI API. */
  readonly address: string;
  /** host:port of the operators' gRPC port. */
  readonly grpcAddress: string;
  drain(deadlineMs: number): Promise<void>;
}

/** Largest artifact that is fetched: a vocabulary of a million tokens fits. */
const MOST_ARTIFACT_BYTES = 64 * 1024 * 1024;
const FETCH_TIMEOUT_MS = 30_000;
/** A frontend that has met no worker expects one for so long after its start: any name may be loading. */
const FIRST_WORKER_MS = 10_000;

/** Wires a frontend: discovery, dispatcher, texts, HTTP. The scope owns all of it. */
export async function openFrontendProcess(context: CommandContext, discoveryUrl: string): Promise<OpenedFrontend> {
  const { values, scope, log } = context;
  const credentials = readCredentials(values, systemClock);
  checkHttpListen(values, "The OpenAI API", values["http.host"]);
  const tables = [RPC_INSTRUMENTS, DISCOVERY_INSTRUMENTS, DISPATCH_INSTRUMENTS, FRONTEND_INSTRUMENTS];
  const metrics = createMetrics(tables, { processMetrics: true });
  // Every request draws: asking the operating system each time would be a twentieth of a short request's cost.
  const chance = new SeededChance(systemChance.id());
  const deps = { clock: systemClock, chance, log, metrics };
  const discovery = scope.own("discovery", await openDiscovery(discoveryUrl, { ...deps, credentials }));
  const watch = scope.own("watch", await discovery.watch(""));
  const reading = { policy: values["router.mismatch"], startMs: FIRST_WORKER_MS };
  const view = scope.own("models", new ModelView({ watch, clock: systemClock, ...reading }));
  const dispatcher = createDispatcher({
    ...deps,
    caller: `frontend/${printId(systemChance.id()).slice(0, 8)}`,
    view,
    connect: (instance) => connectLink(instance, credentials),
    mode: values["router.mode"],
    life: readLifeLimits(values),
    link: readLinkLimits(values),
  });
  scope.own("dispatcher", dispatcher);
  const dial = (address: string) => new Channel(address, credentials, systemClock);
  const artifacts = scope.own("artifacts", createServicePool(ArtifactService, { watch, dial, clock: systemClock }));
  const texts = scope.own("texts", openTexts(context));
  const health = createHealth();
  const rpcs = await openAdministration(context, { dispatcher, health, credentials, metrics });
  const tracer = scope.own("tracer", await openTracerFor(context, "stator-frontend"));
  const traced = createTracedDispatcher(dispatcher, tracer);
  const usualDeadlineMs = values["request.deadline-ms"];
  const frontend = await openFrontend({
    ...deps,
    ...readHttpOptions(values),
    view,
    dispatcher: {
      start: (request, sink) => traced.start({ ...request, deadlineMs: request.deadlineMs ?? usualDeadlineMs }, sink),
    },
    placeable: () => dispatcher.routable(),
    isReached: (worker) => dispatcher.reached(worker),
    fetchArtifact: artifactFetcher(artifacts),
    async openText(found) {
      const text = await texts.open(found);
      // In the next turn nobody holds the artifacts any more.
      setImmediate(settleMemory);
      return text;
    },
    onUnusable: (error) => reportToParent(failureReport("unusable", error)),
    grammars,
    fallback: publicRpcs(health.service, { log, metrics }),
    operators: rpcs.address,
    version: VERSION,
  });
  scope.defer(
    "health of the port",
    tellRoutable(health, () => frontend.routable().length > 0),
  );
  scope.own("http", { close: () => frontend.close({ drainMs: 0 }) });
  const announcement = await announce(context, discovery, rpcs);
  scope.own("announcement", announcement);
  return {
    address: `${values["http.host"].includes(":") ? `[${values["http.host"]}]` : values["http.host"]}:${frontend.port}`,
    grpcAddress: rpcs.address,
    async drain(drainMs) {
      // Answers are not kept waiting by a store that cannot be reached.
      const gone = announcement.close().catch((error: unknown) => log.warn("not taken off the list", { error }));
      await Promise.all([gone, frontend.close({ drainMs })]);
    },
  };
}

/** Publishes this frontend, so that whoever watches discovery finds what operators may call. */
function announce({ values, log }: CommandContext, discovery: Discovery, rpcs: RpcServer): Promise<Announcement> {
  const host = values["advertise-host"];
  return announceServices(discovery, {
    services: [FrontendService],
    role: InstanceRole.FRONTEND,
    address: host === undefined ? rpcs.address : `${host}:${rpcs.port}`,
    ttlMs: values["lease-ms"],
    version: VERSION,
    chance: systemChance,
    log,
  });
}

/** How often the health service looks whether a request would be routed. */
const HEALTH_EVERY_MS = 500;

/** Keeps the health of the whole server equal to whether a request would be routed. Returns what ends it. */
function tellRoutable(health: HealthBoard, isRoutable: () => boolean): () => void {
  let timer: Timer;
  const tell = (): void => {
    health.set("", isRoutable());
    timer = systemClock.after(HEALTH_EVERY_MS, tell);
  };
  tell();
  return () => timer.cancel();
}

/** Serves what operators may call on the gRPC port, with health and reflection. */
async function openAdministration(
  { values, scope, log }: CommandContext,
  parts: { dispatcher: FrontendDispatcher; health: HealthBoard; credentials: Credentials; metrics: Metrics },
): Promise<RpcServer> {
  const { dispatcher, health, credentials, metrics } = parts;
  const listen = { host: values["grpc.host"], port: values["grpc.port"], flag: "--grpc-port", credentials };
  const services = [createFrontendService(dispatcher)];
  const server = await openGrpcPort({ ...listen, services, health, clock: systemClock, log, metrics });
  scope.defer("health", () => health.close());
  return scope.own("server", server);
}

/** The public port answers RPCs that anyone may call, over Connect and gRPC-Web, beside the OpenAI routes. */
function publicRpcs(health: ServedService, observed: { log: Log; metrics: Metrics }): FrontendOptions["fallback"] {
  let missed = false;
  const handler = createConnectHandler({
    ...observed,
    clock: systemClock,
    services: [health],
    allow: [Access.PUBLIC],
    fallback: () => {
      missed = true;
    },
  });
  return (request, response) => {
    missed = false;
    handler(request, response);
    return !missed;
  };
}

function connectLink(instance: InstanceRecord, credentials: Credentials): Connection {
  const transport = new Channel(instance.address, credentials, systemClock);
  return { channel: transport.open(WorkerLinkService.method.link), close: () => transport.close() };
}

/** Asks the holders one after the other, over sessions of their own: payloads never share one with a link. */
function artifactFetcher(pool: ServicePool<typeof ArtifactService>): FetchArtifact {
  return async (digest, holders) => {
    let last = new StatorError("NO_WORKERS", { model: "its artifacts" });
    for (const { instanceId } of holders) {
      try {
        return await fetchFrom(pool.pick(instanceId).client, digest);
      } catch (error) {
        last = asStatorError(error);
      }
    }
    throw last;
  };
}

async function fetchFrom(client: Client<typeof ArtifactService>, digest: Uint8Array): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const { data } of client.fetch({ digest }, { timeoutMs: FETCH_TIMEOUT_MS })) {
    size += data.byteLength;
    if (size > MOST_ARTIFACT_BYTES) throw new StatorError("LIMIT", { what: "An artifact", limit: MOST_ARTIFACT_BYTES });
    pieces.push(data);
  }
  return Buffer.concat(pieces, size);
}
