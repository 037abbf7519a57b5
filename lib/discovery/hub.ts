import { DiscoveryService, type WatchResponse } from "#gen/stator/discovery/v1/discovery_pb";
import { type Client, createClient } from "#lib/rpc/client";
import type { Transport } from "#lib/rpc/transport";
import type { LeaseGrant, ResumePoint, StoreCalls, StoreNews } from "./calls.ts";
import { type StoredRecord, storedRecord, wireRecord } from "./codec.ts";
import type { DiscoveryDeps } from "./deps.ts";
import type { Discovery } from "./discovery.ts";
import { superviseStore } from "./supervise.ts";

type HubClient = Client<typeof DiscoveryService>;

/** Discovery over the store that a hub serves. `connect` makes a connection of its own at every call; it is closed here. */
export function createHubDiscovery(connect: () => Transport, deps: DiscoveryDeps): Discovery {
  return superviseStore(createHubCalls(connect), deps);
}

/** The hub as a store. */
export function createHubCalls(connect: () => Transport): StoreCalls {
  return new HubCalls(connect);
}

class HubCalls implements StoreCalls {
  readonly store = "hub";
  readonly place: string;
  readonly #connect: () => Transport;
  #transport: Transport;
  #client: HubClient;

  constructor(connect: () => Transport) {
    this.#connect = connect;
    this.#transport = connect();
    this.#client = createClient(DiscoveryService, this.#transport);
    this.place = `The discovery hub at ${this.#transport.target}`;
  }

  async reach(signal: AbortSignal): Promise<void> {
    // Nobody has this key: the answer is small.
    await this.#call(signal, (client) => client.list({ prefix: "reach" }, { signal }));
  }

  async grant(ttlMs: number, signal: AbortSignal): Promise<LeaseGrant> {
    const granted = await this.#call(signal, (client) => client.grantLease({ ttlMs }, { signal }));
    return { leaseId: granted.leaseId, ttlMs: granted.ttlMs, incarnation: granted.storeIncarnation };
  }

  async keepAlive(leaseId: bigint, signal: AbortSignal): Promise<void> {
    await this.#call(signal, (client) => client.keepAlive({ leaseId }, { signal }));
  }

  async revoke(leaseId: bigint, signal: AbortSignal): Promise<void> {
    await this.#call(signal, (client) => client.revokeLease({ leaseId }, { signal }));
  }

  async put(leaseId: bigint, stored: readonly StoredRecord[], signal: AbortSignal): Promise<void> {
    const records = stored.map((record) => wireRecord(record, 0n));
    await this.#call(signal, (client) => client.put({ leaseId, records }, { signal }));
  }

  async remove(leaseId: bigint, keys: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#call(signal, (client) => client.remove({ leaseId, keys: [...keys] }, { signal }));
  }

  /** Over a connection of its own: a watch that fell silent must not come back over the one that went dead. */
  async *watch(prefix: string, resume: ResumePoint | undefined, signal: AbortSignal): AsyncGenerator<StoreNews> {
    const transport = this.#connect();
    const request = { prefix, afterRevision: resume?.revision ?? 0n, storeIncarnation: resume?.incarnation ?? 0n };
    try {
      const answers = createClient(DiscoveryService, transport).watch(request, { signal });
      for await (const response of answers) yield newsOf(response);
    } finally {
      transport.close();
    }
  }

  async close(): Promise<void> {
    this.#transport.close();
  }

  /** A call that got no answer in its time leaves a connection behind that may be dead for minutes: the next is a new one. */
  async #call<Result>(signal: AbortSignal, run: (client: HubClient) => Promise<Result>): Promise<Result> {
    const used = this.#transport;
    try {
      return await run(this.#client);
    } finally {
      if (signal.aborted && used === this.#transport) {
        used.close();
        this.#transport = this.#connect();
        this.#client = createClient(DiscoveryService, this.#transport);
      }
    }
  }
}

function newsOf({ snapshot, upserts, removed, revision, storeIncarnation }: WatchResponse): StoreNews {
  return { snapshot, upserts: upserts.map(storedRecord), removed, resume: { revision, incarnation: storeIncarnation } };
}
