import { create } from "@bufbuild/protobuf";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { type InstanceRecord, InstanceRole } from "#gen/stator/discovery/v1/discovery_pb";
import { FrontendService } from "#gen/stator/frontend/v1/frontend_pb";
import { RouterService } from "#gen/stator/router/v1/router_pb";
import { ArtifactService } from "#gen/stator/worker/v1/artifact_pb";
import { WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import { PayloadService, ReleaseRequestSchema } from "#gen/stator/worker/v1/payload_pb";
import { printId } from "#lib/base/bytes";
import { SeededChance } from "#lib/base/chance";
import type { Timer } from "#lib/base/clock";
import { assert } from "#lib/base/errors";
import { type Announcement, announceServices } from "#lib/discovery/announce";
import type { Discovery } from "#lib/discovery/discovery";
import { DISCOVERY_INSTRUMENTS } from "#lib/discovery/metrics";
import { ModelView } from "#lib/discovery/model-view";
import { createServicePool } from "#lib/discovery/service-pool";
import { createDispatcher, type FrontendDispatcher } from "#lib/dispatch/dispatcher";
import { DISPATCH_INSTRUMENTS } from "#lib/dispatch/instruments";
import type { TensorDispatcher } from "#lib/dispatch/tensor-dispatcher";
import type { Connection } from "#lib/dispatch/worker-seat";
import { EVENTS_INSTRUMENTS } from "#lib/events/instruments";
import type { Log } from "#lib/host/log";
import { systemChance } from "#lib/host/system-clock";
import { readLinkLimits } from "#lib/link/options";
import { ROUTING_INSTRUMENTS } from "#lib/routing/instruments";
import type { RuleRouter } from "#lib/routing/rule-router";
import { Channel } from "#lib/rpc/channel";
import { createConnectHandler } from "#lib/rpc/connect";
import { checkHttpListen, readOperators } from "#lib/rpc/options";
import type { Transport } from "#lib/rpc/transport";
import type { Ask } from "#lib/serving/ask";
import { readLifeLimits } from "#lib/serving/options";
import { SHARED_INSTRUMENTS } from "#lib/shared/instruments";
import { createFrontendService } from "#services/frontend/administration";
import { DOORS, readersOf } from "#services/frontend/doors/doors";
import { type Frontend, type FrontendOptions, openFrontend } from "#services/frontend/frontend";
import { createForwarding } from "#services/frontend/inference/forward";
import { OPERATOR_EXTENSIONS } from "#services/frontend/inference/operator-calls";
import { FRONTEND_INSTRUMENTS } from "#services/frontend/instruments";
import { readHttpOptions } from "#services/frontend/options";
import { BodyReader } from "#services/frontend/read/reader";
import { createRouterService } from "#services/frontend/router-service";
import { createTracedDispatcher } from "#services/frontend/traced-dispatcher";
import { createTracedTensors } from "#services/frontend/traced-tensors";
import type { ProcessContext } from "../command.ts";
import { VERSION } from "../version.ts";
import { createArtifactFetcher } from "./artifact-fetcher.ts";
import { type OpenedOperatorCalls, openOperatorCalls } from "./operator-calls.ts";
import { openProcess, type ProcessPort, type ServiceProcess } from "./process.ts";
import { createRouter, feedRouter } from "./routing.ts";
import { openTexts } from "./texts.ts";
import { openWorkerDialer } from "./worker-dialer.ts";

/** A frontend process that serves. */
export interface OpenedFrontend {
  /** host:port of the OpenAI API. */
  readonly address: string;
  /** host:port of the gRPC port, for inference and operators. */
  readonly grpcAddress: string;
  /** Takes itself off the list and finishes what runs, for so long at most. The scope closes the rest. */
  drain(deadlineMs: number): Promise<void>;
}

const INSTRUMENTS = [
  ...[DISCOVERY_INSTRUMENTS, DISPATCH_INSTRUMENTS, EVENTS_INSTRUMENTS, ROUTING_INSTRUMENTS, FRONTEND_INSTRUMENTS],
  SHARED_INSTRUMENTS,
] as const;

/** Time in which what was told over gRPC reaches its readers, and for calls such as watches of health. */
const DRAIN_CALLS_MS = 250;

/** A frontend that has met no worker expects one for so long after its start: any name may be loading. */
const FIRST_WORKER_MS = 10_000;

/** What a frontend is opened with, beside the options. */
export interface FrontendParts {
  /** Where it finds workers. */
  readonly discovery: string;
  /** Called when the text of a model was opened; until the next turn its artifacts are held. */
  readonly onText?: () => void;
  /** Told of a model whose text can never be opened; returns whether that was passed on, else it is logged. */
  readonly onUnusable?: FrontendOptions["onUnusable"];
}

/** Wires a frontend: discovery, dispatcher, texts, HTTP. The scope owns all of it. */
export async function openFrontendProcess(context: ProcessContext, parts: FrontendParts): Promise<OpenedFrontend> {
  const { values, scope, log } = context;
  checkHttpListen(values, "The OpenAI API", values["http.host"]);
  const process = openProcess(context, {
    role: "frontend",
    instruments: INSTRUMENTS,
    listen: { host: values["grpc.host"], port: values["grpc.port"], flag: "--grpc-port" },
    // Every request draws: asking the operating system each time would be a twentieth of a short request's cost.
    chance: new SeededChance(systemChance.id()),
  });
  const { credentials, clock } = process;
  const discovery = await process.discover(parts.discovery);
  const watch = scope.own("watch", await discovery.watch(""));
  const dial = (address: string) => new Channel(address, credentials, clock);
  // It hears of workers before the view does: who fetches the text of a model that is new there finds them here.
  const artifacts = scope.own("artifacts", createServicePool(ArtifactService, { watch, dial, clock }));
  const reading = { policy: values["router.mismatch"], startMs: FIRST_WORKER_MS };
  const view = scope.own("models", new ModelView({ watch, clock, ...reading }));
  const reader = scope.own("reader", new BodyReader({ ...process, readers: readersOf(DOORS) }));
  const dispatcher = openDispatcher(context, process, { view, reader });
  const fetchArtifact = createArtifactFetcher(({ instanceId }) => artifacts.pick(instanceId).client);
  const operators = await openOperatorCalls(context, process, { watch, view, dial });
  const serving = { view, reader, dispatcher, fetchArtifact, operators };
  const { frontend, port } = await openPorts(context, process, { ...parts, ...serving });
  scope.defer(
    "health of the port",
    tellRoutable(process, () => frontend.routable().length > 0),
  );
  scope.own("http", { close: () => frontend.close({ drainMs: 0 }) });
  const announcement = scope.own("announcement", await announce(context, discovery, port.address));
  return {
    address: `${values["http.host"].includes(":") ? `[${values["http.host"]}]` : values["http.host"]}:${frontend.port}`,
    grpcAddress: port.server.address,
    async drain(drainMs) {
      // Answers are not kept waiting by a store that cannot be reached.
      const gone = announcement.close().catch((error: unknown) => log.warn("not taken off the list", { error }));
      await Promise.all([gone, frontend.close({ drainMs })]);
      await port.server.drain(DRAIN_CALLS_MS);
    },
  };
}

/** What the ports of a frontend answer with. */
interface PortParts extends Omit<FrontendParts, "discovery">, Pick<FrontendOptions, "fetchArtifact"> {
  readonly view: ModelView;
  readonly reader: BodyReader;
  readonly dispatcher: FrontendDispatcher<RuleRouter>;
  readonly operators: OpenedOperatorCalls;
}

/** Opens the gRPC port, for operators and inference, and the HTTP port. */
async function openPorts(
  context: ProcessContext,
  process: ServiceProcess,
  { view, reader, dispatcher, operators, ...parts }: PortParts,
): Promise<{ readonly frontend: Frontend; readonly port: ProcessPort }> {
  const { values, scope } = context;
  const { router } = dispatcher;
  const texts = scope.own("texts", openTexts(context));
  const own = [
    createFrontendService({ dispatcher, router, view }),
    createRouterService({ router, view, clock: process.clock, version: VERSION }),
  ];
  const { tracer, regions, passed } = operators;
  const traced = { ...createTracedDispatcher(dispatcher, tracer), ...createTracedTensors(dispatcher, tracer) };
  const usualDeadlineMs = values["request.deadline-ms"];
  const inTime = <Kind extends Ask<unknown>>(ask: Kind): Kind => ({
    ...ask,
    deadlineMs: ask.deadlineMs ?? usualDeadlineMs,
  });
  const tensors = {
    ...traced,
    startTensor: (ask, sink) => traced.startTensor(inTime(ask), sink),
  } satisfies TensorDispatcher;
  const opened: { port?: ProcessPort } = {};
  const frontend = await openFrontend({
    ...process,
    ...readHttpOptions(values),
    ...{ view, reader, fetchArtifact: parts.fetchArtifact },
    dispatcher: { start: (request, sink) => traced.start(inTime(request), sink) },
    placeable: () => dispatcher.routable(),
    lacking: () => router.lacking,
    isReached: (worker) => dispatcher.reached(worker),
    async openText(found) {
      const text = await texts.open(found);
      parts.onText?.();
      return text;
    },
    ...{ prompts: texts.prompts, onUnusable: parts.onUnusable },
    fallback: publicRpcs(process),
    async openRpc(services) {
      opened.port = await process.listen([...own, ...services]);
      return opened.port.server.address;
    },
    operatorsFrom: readOperators(values),
    inference: {
      ...{ ledger: dispatcher.ledger, serverName: values["inference.server-name"] },
      forwarding: createForwarding({ view, dispatcher: tensors, clock: process.clock, regions: passed }),
      ...{ regions, handlers: operators.calls, extensions: OPERATOR_EXTENSIONS },
    },
    version: VERSION,
  });
  assert(opened.port, "a frontend opens its gRPC port before its HTTP port");
  return { frontend, port: opened.port };
}

/** Runs requests on the workers of a view, each where the router says. */
function openDispatcher(
  context: ProcessContext,
  process: ServiceProcess,
  { view, reader }: { readonly view: ModelView; readonly reader: BodyReader },
): FrontendDispatcher<RuleRouter> {
  const { values, scope } = context;
  const dialWorker = openWorkerDialer(context, process, { view, hearsEvents: () => dispatcher.router.hearsEvents });
  const dispatcher = createDispatcher({
    ...process,
    caller: `frontend/${printId(systemChance.id()).slice(0, 8)}`,
    view,
    connect: (instance) => connectLink(dialWorker(instance), instance, process.log),
    dial: (address) =>
      new Channel(address, process.credentials, process.clock, { messageBytes: values["grpc.message-bytes"] }),
    router: (locate) => createRouter(context, process, locate),
    ...{ life: readLifeLimits(values), link: readLinkLimits(values) },
    compile: (guidance) => reader.compile(guidance),
  });
  scope.own("dispatcher", dispatcher);
  scope.defer("router", feedRouter(process, { view, router: dispatcher.router, dialWorker }));
  return dispatcher;
}

/** Publishes this frontend, so that whoever watches discovery finds what operators may call. */
function announce({ values, log }: ProcessContext, discovery: Discovery, address: string): Promise<Announcement> {
  return announceServices(discovery, {
    services: [FrontendService, RouterService],
    role: InstanceRole.FRONTEND,
    address,
    ttlMs: values["lease-ms"],
    version: VERSION,
    chance: systemChance,
    log,
  });
}

/** How often the health service looks whether a request would be routed. */
const HEALTH_EVERY_MS = 500;

/** Keeps the health of the whole server, and of its inference service, equal to whether a request would be routed. Returns what ends it. */
function tellRoutable({ health, clock }: ServiceProcess, isRoutable: () => boolean): () => void {
  let timer: Timer;
  const tell = (): void => {
    const serving = isRoutable();
    health.set("", serving);
    health.set(GRPCInferenceService.typeName, serving);
    timer = clock.after(HEALTH_EVERY_MS, tell);
  };
  tell();
  return () => timer.cancel();
}

/** The public port answers RPCs that anyone may call, over Connect and gRPC-Web, beside the OpenAI routes. */
function publicRpcs(process: ServiceProcess): FrontendOptions["fallback"] {
  const { health, clock, log, metrics } = process;
  let missed = false;
  const handler = createConnectHandler({
    ...{ clock, log, metrics },
    services: [health.service],
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

function connectLink(transport: Transport, { address }: InstanceRecord, log: Log): Connection {
  return {
    channel: transport.open(WorkerLinkService.method.link),
    release(sessionIds) {
      const request = create(ReleaseRequestSchema, { sessionIds: [...sessionIds] });
      transport
        .unary(PayloadService.method.release, request, { timeoutMs: RELEASE_MS })
        .catch((error: unknown) => log.debug("sessions were not released", { address, error }));
    },
    close: () => transport.close(),
  };
}

/** What is not let go after so long is left to its lease. */
const RELEASE_MS = 5_000;
