import type { Clock } from "#lib/base/clock";
import type { KvFeed } from "#lib/events/feed";
import { createMemoryFeed } from "#lib/events/memory-feed";
import { createRpcFeed } from "#lib/events/rpc-feed";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { type Credentials, loopbackCredentials } from "#lib/rpc/credentials";
import { DirectTransport } from "#lib/rpc/direct";
import { RPC_INSTRUMENTS } from "#lib/rpc/metrics";
import { openServer } from "#lib/rpc/server";
import { createKvEventService, serveKvSubscriber } from "#lib/worker/kv-event-service";
import type { KvSource } from "#lib/worker/kv-source";

/** Something that carries the events of one worker. */
export interface EventRig {
  /** A way of its own to the worker; whoever takes it closes it. */
  connect(): KvFeed;
  /** The worker is gone for those who listen, as if it had been killed, and can be reached again at once. */
  cut(): Promise<void>;
  close(): Promise<void>;
}

/** Makes a rig for the sources of a worker, by rank. */
export type OpenEventRig = (sources: readonly KvSource[]) => Promise<EventRig>;

/** In memory, through the bytes. */
export const openMemoryRig: OpenEventRig = async (sources) => {
  const feeds: ReturnType<typeof createMemoryFeed>[] = [];
  return {
    connect() {
      const feed = createMemoryFeed(
        (channel) => serveKvSubscriber(channel, { sources, clock: systemClock }),
        systemClock,
      );
      feeds.push(feed);
      return feed;
    },
    async cut() {
      for (const feed of feeds) feed.cut();
    },
    async close() {
      for (const feed of feeds) feed.close();
    },
  };
};

/** In the same process, the message itself. */
export const openDirectRig: OpenEventRig = async (sources) => {
  const services = [createKvEventService({ sources, clock: systemClock })];
  let transports: DirectTransport[] = [];
  const end = () => {
    for (const transport of transports) transport.close();
    transports = [];
  };
  return {
    // A feed outlives its transport here, as a channel outlives its connection.
    connect() {
      let feed: KvFeed | undefined;
      return {
        subscribe(ask, listener) {
          const transport = new DirectTransport(services, observed());
          transports.push(transport);
          feed = createRpcFeed(transport);
          return feed.subscribe(ask, listener);
        },
        close: () => feed?.close(),
      };
    },
    cut: async () => end(),
    close: async () => end(),
  };
};

/** Over HTTP/2 on a port of its own. */
export function grpcRig(credentials: { listen: Credentials; dial: Credentials } = plaintext): OpenEventRig {
  return async (sources) => {
    const services = [createKvEventService({ sources, clock: systemClock })];
    const listen = (port: number) =>
      openServer({ host: "127.0.0.1", port, credentials: credentials.listen, services, ...observed() });
    let server = await listen(0);
    const channels: Channel[] = [];
    return {
      connect() {
        const channel = new Channel(server.address, credentials.dial, systemClock);
        channels.push(channel);
        return createRpcFeed(channel);
      },
      async cut() {
        const { port } = server;
        await server.close();
        server = await listen(port);
      },
      async close() {
        for (const channel of channels) channel.close();
        await server.close();
      },
    };
  };
}

const plaintext = { listen: loopbackCredentials, dial: loopbackCredentials };

function observed(clock: Clock = systemClock) {
  return { clock, log: silentLog, metrics: createMetrics([RPC_INSTRUMENTS], { processMetrics: false }) };
}
