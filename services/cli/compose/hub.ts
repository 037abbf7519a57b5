import { createDiscoveryService } from "#lib/discovery/hub-service";
import { HUB_INSTRUMENTS } from "#lib/discovery/metrics";
import { StoreHost } from "#lib/discovery/store-host";
import type { ProcessContext } from "../command.ts";
import { openProcess, type ProcessOptions } from "./process.ts";

/** A hub that listens. */
export interface OpenedHub {
  /** host:port */
  readonly address: string;
}

/** How a hub is opened. */
export interface HubOptions extends Pick<ProcessOptions, "credentials"> {
  /** Where its gRPC port listens. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Opens the metrics port, where metrics.port asks for it. */
  readonly hasMetricsPort: boolean;
}

/** Opens the memory store as a service. The scope owns it. Throws PORT_IN_USE, UNSAFE_LISTEN. */
export async function openHub(context: ProcessContext, options: HubOptions): Promise<OpenedHub> {
  const { host, port, credentials, hasMetricsPort } = options;
  const process = openProcess(context, {
    role: "hub",
    instruments: [HUB_INSTRUMENTS],
    listen: { host, port, flag: "--hub-port" },
    credentials,
  });
  const store = new StoreHost(process);
  const discovery = createDiscoveryService(store);
  process.health.set(discovery.service.typeName, true);
  const { server } = await process.listen([discovery], hasMetricsPort ? () => true : undefined);
  // Closed before the port, so that watches end in order.
  context.scope.own("store", store);
  return { address: server.address };
}
