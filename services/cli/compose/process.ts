import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import type { Discovery } from "#lib/discovery/discovery";
import { inNamespace } from "#lib/discovery/namespace";
import { openDiscovery } from "#lib/discovery/open";
import type { Log } from "#lib/host/log";
import { createMetrics, type Instruments, type Metrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { noTracer, openTracer, type Tracer } from "#lib/host/telemetry";
import type { Credentials } from "#lib/rpc/credentials";
import { createHealth, type HealthBoard } from "#lib/rpc/health";
import { RPC_INSTRUMENTS } from "#lib/rpc/metrics";
import { readCredentials, readOperators } from "#lib/rpc/options";
import { createReflectionServices } from "#lib/rpc/reflection";
import { openServer, type RpcServer } from "#lib/rpc/server";
import type { ServedService } from "#lib/rpc/service";
import type { ProcessContext } from "../command.ts";
import { VERSION } from "../version.ts";
import { openMetricsPort } from "./metrics-port.ts";

/** What one kind of process has for itself. */
export interface ProcessOptions {
  /** Such as worker. */
  readonly role: string;
  /** Its tables of instruments, beside that of gRPC. */
  readonly instruments: readonly Instruments[];
  /** Where its gRPC port listens, and the flag that sets the port, for the sentences of errors. */
  readonly listen: { readonly host: string; readonly port: number; readonly flag: string };
  /** How its gRPC port listens and it dials others; as the options say unless given. */
  readonly credentials?: Credentials;
  /** The operating system's unless given. */
  readonly chance?: Chance;
}

/** What every process that serves has, whatever it serves. The scope of its context closes what it opens. */
export interface ServiceProcess {
  /** The operating system's. */
  readonly clock: Clock;
  /** As it was opened with. */
  readonly chance: Chance;
  /** That of the context. */
  readonly log: Log;
  /** Its own, with the instruments of gRPC and of the process. */
  readonly metrics: Metrics;
  /** How its gRPC port listens and it dials others. */
  readonly credentials: Credentials;
  /** What its port says of its health. */
  readonly health: HealthBoard;
  /** Joins those of its namespace who find each other at this URL. Throws what `openDiscovery` throws. */
  discover(url: string): Promise<Discovery>;
  /** Sends spans where trace.endpoint says; makes none otherwise. */
  openTracer(): Promise<Tracer>;
  /**
   * Serves these on its gRPC port, with health and reflection; and, where `isReady` is given and metrics.port asks for it,
   * /metrics, /live and /ready over HTTP beside it. Throws what `openServer` throws, and UNSAFE_HTTP.
   */
  listen(services: readonly ServedService[], isReady?: () => boolean): Promise<ProcessPort>;
}

/** The gRPC port of a process. */
export interface ProcessPort {
  /** It listens; the scope closes it. */
  readonly server: RpcServer;
  /** host:port that others dial. */
  readonly address: string;
}

/** Begins a process: nothing listens yet and nobody knows of it. Throws for certificates that cannot be used. */
export function openProcess(context: ProcessContext, options: ProcessOptions): ServiceProcess {
  const { values, scope, log } = context;
  const { role, listen: place, credentials = readCredentials(values, systemClock), chance = systemChance } = options;
  const metrics = createMetrics([RPC_INSTRUMENTS, ...options.instruments], { processMetrics: true });
  const health = createHealth();
  const parts = { clock: systemClock, chance, log, metrics, credentials };
  return {
    ...parts,
    health,
    async discover(url) {
      return scope.own("discovery", inNamespace(await openDiscovery(url, parts), values.namespace));
    },
    async openTracer() {
      const endpoint = values["trace.endpoint"];
      if (endpoint === undefined) return noTracer;
      return scope.own("tracer", await openTracer({ endpoint, service: `stator-${role}`, version: VERSION }));
    },
    async listen(own, isReady) {
      const services = [...own, health.service];
      const { flag, ...where } = place;
      const server = await openServer({
        ...{ ...where, credentials, clock: systemClock, log, metrics },
        ...{ operators: readOperators(values), messageBytes: values["grpc.message-bytes"] },
        services: [...services, ...createReflectionServices(services)],
        flags: { port: flag, tls: "--tls-cert" },
      });
      scope.own("server", server);
      scope.defer("health", () => health.close());
      if (isReady) await openMetricsPort(context, { host: place.host, metrics, isReady });
      const advertised = values["advertise-host"];
      return { server, address: advertised === undefined ? server.address : `${advertised}:${server.port}` };
    },
  };
}
