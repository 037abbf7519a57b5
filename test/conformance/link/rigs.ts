import { WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import type { CallerChannel, WorkerChannel } from "#lib/link/link";
import { createMemoryLink } from "#lib/link/memory-channel";
import { Channel } from "#lib/rpc/channel";
import { type Credentials, loopbackCredentials } from "#lib/rpc/credentials";
import { DirectTransport } from "#lib/rpc/direct";
import { RPC_INSTRUMENTS } from "#lib/rpc/metrics";
import { openServer } from "#lib/rpc/server";
import { createService } from "#lib/rpc/service";

/** Something that carries links. */
export interface LinkRig {
  /** The caller's end of a new link; the worker's end goes to whoever serves. */
  connect(): CallerChannel;
  close(): Promise<void>;
}

/** Makes a rig whose links are served by a function. */
export type OpenLinkRig = (serve: (channel: WorkerChannel) => void) => Promise<LinkRig>;

/** In memory, through the bytes. */
export const openMemoryRig: OpenLinkRig = async (serve) => ({
  connect() {
    const wire = createMemoryLink(systemClock);
    serve(wire.worker);
    return wire.caller;
  },
  close: async () => {},
});

/** In the same process, the message itself. */
export const openDirectRig: OpenLinkRig = async (serve) => {
  const transport = new DirectTransport([linkService(serve)], observed());
  return {
    connect: () => transport.open(WorkerLinkService.method.link),
    close: async () => transport.close(),
  };
};

/** Over HTTP/2 on a port of its own. */
export function grpcRig(credentials: { listen: Credentials; dial: Credentials } = plaintext): OpenLinkRig {
  return async (serve) => {
    const services = [linkService(serve)];
    const { listen, dial } = credentials;
    const server = await openServer({ host: "127.0.0.1", port: 0, credentials: listen, services, ...observed() });
    const channels: Channel[] = [];
    return {
      connect() {
        const channel = new Channel(server.address, dial, systemClock);
        channels.push(channel);
        return channel.open(WorkerLinkService.method.link);
      },
      async close() {
        for (const channel of channels) channel.close();
        await server.close();
      },
    };
  };
}

const plaintext = { listen: loopbackCredentials, dial: loopbackCredentials };

function linkService(serve: (channel: WorkerChannel) => void) {
  return createService(WorkerLinkService, { link: { open: (channel) => serve(channel) } });
}

function observed() {
  return { clock: systemClock, log: silentLog, metrics: createMetrics([RPC_INSTRUMENTS], { processMetrics: false }) };
}
