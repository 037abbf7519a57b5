import type { DescService } from "@bufbuild/protobuf";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "./channel.ts";
import { type Client, createClient } from "./client.ts";
import { type Credentials, loopbackCredentials } from "./credentials.ts";

export { StatorError } from "#lib/base/errors";
export type { Client } from "./client.ts";
export { type Credentials, insecureCredentials, loadTls, loopbackCredentials } from "./credentials.ts";
export type { CallOptions } from "./transport.ts";

/** A client of one service with a connection of its own. */
export interface OpenedClient<Service extends DescService> {
  /** One typed function per method; what it throws is a StatorError. */
  readonly client: Client<Service>;
  /** Ends open calls and the connection. */
  close(): void;
}

/**
 * Opens a client of a service at `host:port` over gRPC; it connects at the first call and again after a loss. The package
 * exports it as `stator/client`, beside the stubs as `stator/stubs/…`. Without credentials only this machine is called:
 * throws BAD_CONFIG for another one.
 */
export function openClient<Service extends DescService>(
  service: Service,
  address: string,
  credentials: Credentials = loopbackCredentials,
): OpenedClient<Service> {
  const channel = new Channel(address, credentials, systemClock);
  return { client: createClient(service, channel), close: () => channel.close() };
}
