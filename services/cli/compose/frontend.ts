import type { InstanceRecord } from "#gen/stator/discovery/v1/discovery_pb";
import { ArtifactService } from "#gen/stator/worker/v1/artifact_pb";
import { WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import { printId } from "#lib/base/bytes";
import { asStatorError, StatorError } from "#lib/base/errors";
import { DISCOVERY_INSTRUMENTS } from "#lib/discovery/metrics";
import { openDiscovery } from "#lib/discovery/open";
import { createMetrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import type { Credentials } from "#lib/rpc/credentials";
import { RPC_INSTRUMENTS } from "#lib/rpc/metrics";
import { createDispatcher } from "#services/frontend/dispatch/dispatcher";
import { DISPATCH_INSTRUMENTS } from "#services/frontend/dispatch/instruments";
import type { Connection } from "#services/frontend/dispatch/worker-seat";
import { openFrontend } from "#services/frontend/frontend";
import { FRONTEND_INSTRUMENTS } from "#services/frontend/instruments";
import type { FetchArtifact } from "#services/frontend/models/artifacts";
import { createTracedDispatcher } from "#services/frontend/traced-dispatcher";
import type { CommandContext } from "../command.ts";
import { VERSION } from "../version.ts";
import { credentialsFrom } from "./credentials.ts";
import { openTexts } from "./texts.ts";
import { openTracerFor } from "./tracer.ts";

/** A frontend process that serves. */
export interface OpenedFrontend {
  /** host:port of the OpenAI API. */
  readonly address: string;
  drain(deadlineMs: number): Promise<void>;
}

/** Largest artifact that is fetched: a vocabulary of a million tokens fits. */
const MOST_ARTIFACT_BYTES = 64 * 1024 * 1024;
const FETCH_TIMEOUT_MS = 30_000;

/** Wires a frontend: discovery, dispatcher, texts, HTTP. The scope owns all of it. */
export async function openFrontendProcess(context: CommandContext, discoveryUrl: string): Promise<OpenedFrontend> {
  const { values, scope, log } = context;
  const credentials = credentialsFrom(values);
  if (values["http.host"] !== "127.0.0.1" && values["http.host"] !== "localhost" && values["http.host"] !== "::1") {
    log.warn("the API listens beyond loopback, without TLS", { host: values["http.host"] });
  }
  const tables = [RPC_INSTRUMENTS, DISCOVERY_INSTRUMENTS, DISPATCH_INSTRUMENTS, FRONTEND_INSTRUMENTS];
  const metrics = createMetrics(tables, { processMetrics: true });
  const deps = { clock: systemClock, chance: systemChance, log, metrics };
  const discovery = scope.own("discovery", await openDiscovery(discoveryUrl, { ...deps, credentials }));
  const watch = scope.own("watch", await discovery.watch(""));
  const dispatcher = createDispatcher({
    ...deps,
    caller: `frontend/${printId(systemChance.id()).slice(0, 8)}`,
    watch,
    connect: (instance) => connectLink(instance, credentials),
    mode: values["router.mode"],
    life: { migrations: values["migration.limit"] },
    link: { pongTimeoutMs: values["watchdog.suspect-ms"], stallFloorMs: values["watchdog.stall-ms"] },
  });
  scope.own("dispatcher", dispatcher);
  const texts = scope.own("texts", await openTexts(context));
  const tracer = scope.own("tracer", await openTracerFor(context, "stator-frontend"));
  const traced = createTracedDispatcher(dispatcher, tracer);
  const usualDeadlineMs = values["request.deadline-ms"];
  const frontend = await openFrontend({
    ...deps,
    host: values["http.host"],
    port: values["http.port"],
    limits: {
      bodyBytes: values["http.max-body-bytes"],
      concurrentRequests: values["http.max-requests"],
      connections: values["http.max-connections"],
      slowClientMs: values["http.slow-client-ms"],
    },
    watch,
    dispatcher: {
      start: (request, sink) => traced.start({ ...request, deadlineMs: request.deadlineMs ?? usualDeadlineMs }, sink),
    },
    fetchArtifact: artifactFetcher(credentials),
    openText: texts.open,
    grammars: texts.grammars,
    version: VERSION,
  });
  scope.own("http", { close: () => frontend.close({ drainMs: 0 }) });
  return {
    address: `${values["http.host"].includes(":") ? `[${values["http.host"]}]` : values["http.host"]}:${frontend.port}`,
    drain: (drainMs) => frontend.close({ drainMs }),
  };
}

function connectLink(instance: InstanceRecord, credentials: Credentials): Connection {
  const transport = new Channel(instance.address, credentials);
  return { channel: transport.open(WorkerLinkService.method.link), close: () => transport.close() };
}

/** Asks the holders one after the other, each over a session of its own: payloads never share one with a link. */
function artifactFetcher(credentials: Credentials): FetchArtifact {
  return async (digest, holders) => {
    let last = new StatorError("NO_WORKERS", { model: "its artifacts" });
    for (const { address } of holders) {
      const transport = new Channel(address, credentials);
      try {
        return await fetchFrom(transport, digest);
      } catch (error) {
        last = asStatorError(error);
      } finally {
        transport.close();
      }
    }
    throw last;
  };
}

async function fetchFrom(transport: Channel, digest: Uint8Array): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  const client = createClient(ArtifactService, transport);
  for await (const { data } of client.fetch({ digest }, { timeoutMs: FETCH_TIMEOUT_MS })) {
    size += data.byteLength;
    if (size > MOST_ARTIFACT_BYTES) throw new StatorError("LIMIT", { what: "An artifact", limit: MOST_ARTIFACT_BYTES });
    pieces.push(data);
  }
  return Buffer.concat(pieces, size);
}
