import type { HealthBoard } from "#lib/rpc/health";
import { createReflectionServices } from "#lib/rpc/reflection";
import { openServer, type RpcServer, type ServerOptions } from "#lib/rpc/server";

/** What a gRPC port of this program is opened with. */
export interface GrpcPortOptions extends Omit<ServerOptions, "flags"> {
  /** Borrowed: who opened it closes it. */
  readonly health: HealthBoard;
  /** The flag that sets the port, for the sentences of errors. */
  readonly flag: string;
}

/** Serves these services on a port, with health and reflection. Throws what `openServer` throws. */
export function openGrpcPort({ health, flag, ...options }: GrpcPortOptions): Promise<RpcServer> {
  const services = [...options.services, health.service];
  return openServer({
    ...options,
    services: [...services, ...createReflectionServices(services)],
    flags: { port: flag, tls: "--tls-cert" },
  });
}
