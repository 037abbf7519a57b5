import type { Etcd3, IKeyValue, IWatchResponse } from "etcd3";
import { StatorError } from "#lib/base/errors";
import type { LeaseGrant, ResumePoint, StoreCalls, StoreNews } from "./calls.ts";
import type { StoredRecord } from "./codec.ts";
import type { DiscoveryDeps } from "./deps.ts";
import type { Discovery } from "./discovery.ts";
import { createEtcdClient, type EtcdAddress, type EtcdLibrary, etcdError } from "./etcd-client.ts";
import { isKey, isUnder } from "./keys.ts";
import { superviseStore } from "./supervise.ts";

/** Where records are kept. */
export interface EtcdOptions extends EtcdAddress {
  /** Keys lie below it, such as `/stator`, without a slash at its end. */
  readonly root: string;
}

/** etcd takes 128 operations and 1.5 MiB in one transaction unless configured otherwise. */
const TRANSACTION = { operations: 100, bytes: 1024 * 1024 } as const;
const PAGE_RECORDS = 500;
/** A watch asks for a sign of life this often. */
const HEARTBEAT_MS = 1_500;

/**
 * Discovery over etcd 3.4 or newer. Imports the library. Nothing is called yet: an etcd that is not there shows at the
 * first use. Throws BAD_CONFIG for plaintext to another machine that nobody allowed.
 */
export async function openEtcdDiscovery(options: EtcdOptions, deps: DiscoveryDeps): Promise<Discovery> {
  return superviseStore(await createEtcdCalls(options, deps), deps);
}

/** The cluster as a store; throws as above. */
export async function createEtcdCalls(options: EtcdOptions, deps: DiscoveryDeps): Promise<StoreCalls> {
  return new EtcdCalls(await import("etcd3"), options, deps);
}

class EtcdCalls implements StoreCalls {
  readonly store = "etcd";
  readonly place: string;
  readonly #library: EtcdLibrary;
  readonly #options: EtcdOptions;
  readonly #deps: DiscoveryDeps;
  /** Leases and single calls; every watch has a client of its own, since an error closes all streams of one. */
  readonly #client: Etcd3;

  constructor(library: EtcdLibrary, options: EtcdOptions, deps: DiscoveryDeps) {
    this.#library = library;
    this.#options = options;
    this.#deps = deps;
    this.#client = createEtcdClient(library, options, deps.clock);
    this.place = `etcd at ${options.hosts.join(", ")}`;
  }

  async reach(): Promise<void> {
    await this.#try(() => this.#client.kv.range({ ...this.#rangeOf(""), count_only: true }));
  }

  grant(ttlMs: number): Promise<LeaseGrant> {
    return this.#try(async () => {
      const { ID, header } = await this.#client.leaseClient.leaseGrant({ TTL: Math.ceil(ttlMs / 1000) });
      return { leaseId: BigInt(ID), ttlMs, incarnation: BigInt(header.cluster_id) };
    });
  }

  /** One question and one answer: a long-lived stream would have to be watched over, too. */
  keepAlive(leaseId: bigint, signal: AbortSignal): Promise<void> {
    return this.#try(async () => {
      const stream = await this.#client.leaseClient.leaseKeepAlive();
      const cancel = () => stream.cancel();
      signal.addEventListener("abort", cancel);
      try {
        const ttlSeconds = await new Promise<number>((resolve, reject) => {
          stream.on("data", ({ TTL }) => resolve(Number(TTL)));
          stream.on("error", reject);
          stream.on("end", () => reject(new StatorError("UNAVAILABLE", { what: this.place, detail: "it hung up" })));
          stream.write({ ID: leaseId.toString() });
        });
        if (!(ttlSeconds > 0)) throw new StatorError("NOT_FOUND", { what: "The lease" });
      } finally {
        signal.removeEventListener("abort", cancel);
        stream.end();
      }
    });
  }

  async revoke(leaseId: bigint): Promise<void> {
    await this.#try(() => this.#client.leaseClient.leaseRevoke({ ID: leaseId.toString() }));
  }

  /** Up to a hundred records at once are one transaction; more are several. */
  put(leaseId: bigint, records: readonly StoredRecord[]): Promise<void> {
    return this.#try(async () => {
      for (const part of portions(records)) {
        const success = part.map(({ key, bytes }) => ({
          request_put: { key: this.#keyOf(key), value: Buffer.from(bytes), lease: leaseId.toString() },
        }));
        await this.#client.kv.txn({ compare: [], success, failure: [] });
      }
    });
  }

  /** Only what this lease still holds. */
  remove(leaseId: bigint, keys: readonly string[]): Promise<void> {
    const removeOne = (key: Buffer) =>
      this.#client.kv.txn({
        compare: [{ key, target: "Lease", result: "Equal", lease: leaseId.toString() }],
        success: [{ request_delete_range: { key } }],
        failure: [],
      });
    return this.#try(async () => {
      for (let at = 0; at < keys.length; at += 32) {
        await Promise.all(keys.slice(at, at + 32).map((key) => removeOne(this.#keyOf(key))));
      }
    });
  }

  /**
   * Always lists first, also after a loss: a revision may have been compacted, or belong to an etcd that was made anew and
   * counts from one, where a watch from the old revision would wait for ever.
   */
  async *watch(prefix: string, _resume: ResumePoint | undefined, signal: AbortSignal): AsyncGenerator<StoreNews> {
    const client = createEtcdClient(this.#library, this.#options, this.#deps.clock);
    try {
      const { records, revision } = await this.#list(client, prefix);
      yield { snapshot: true, upserts: records, removed: [], resume: { revision, incarnation: 0n } };
      yield* this.#follow(client, { prefix, after: revision }, signal);
    } catch (error) {
      throw etcdError(this.#library, error, this.place);
    } finally {
      client.close();
    }
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  async #try<Result>(call: () => Promise<Result>): Promise<Result> {
    try {
      return await call();
    } catch (error) {
      throw etcdError(this.#library, error, this.place);
    }
  }

  #keyOf(key: string): Buffer {
    return Buffer.from(`${this.#options.root}/${key}`);
  }

  /** A little more than the prefix where that is not empty; `isUnder` decides. `0` follows `/`. */
  #rangeOf(prefix: string): { key: Buffer; range_end: Buffer } {
    const { root } = this.#options;
    const start = prefix === "" ? `${root}/` : `${root}/${prefix}`;
    return { key: Buffer.from(start), range_end: Buffer.from(prefix === "" ? `${root}0` : `${start}0`) };
  }

  /** The record behind an etcd key, undefined for what is not under the prefix or not ours. */
  #recordOf({ key, value }: IKeyValue, prefix: string): StoredRecord | undefined {
    const text = key.toString();
    const own = text.slice(this.#options.root.length + 1);
    return isKey(own) && isUnder(own, prefix) ? { key: own, bytes: value } : undefined;
  }

  async #list(client: Etcd3, prefix: string): Promise<{ records: StoredRecord[]; revision: bigint }> {
    const { key, range_end } = this.#rangeOf(prefix);
    const records: StoredRecord[] = [];
    let from = key;
    let revision = "0";
    for (;;) {
      const page = await client.kv.range({ key: from, range_end, limit: PAGE_RECORDS, revision });
      if (revision === "0") revision = page.header.revision;
      for (const kv of page.kvs) {
        const record = this.#recordOf(kv, prefix);
        if (record) records.push(record);
      }
      const last = page.kvs.at(-1);
      if (!page.more || !last) return { records, revision: BigInt(revision) };
      from = Buffer.concat([last.key, Buffer.of(0)]);
    }
  }

  async *#follow(
    client: Etcd3,
    { prefix, after }: { prefix: string; after: bigint },
    signal: AbortSignal,
  ): AsyncGenerator<StoreNews> {
    const stream = await client.watchClient.watch();
    const cancel = () => stream.cancel();
    signal.addEventListener("abort", cancel);
    const { clock } = this.#deps;
    const ask = () => {
      stream.write({ progress_request: {} });
      timer = clock.after(HEARTBEAT_MS, ask);
    };
    let timer = clock.after(HEARTBEAT_MS, ask);
    try {
      const range = this.#rangeOf(prefix);
      stream.write({ create_request: { ...range, start_revision: (after + 1n).toString(), progress_notify: true } });
      // The library hands out grpc-js's own stream, which can be iterated; its type does not say so.
      for await (const answer of stream as unknown as AsyncIterable<IWatchResponse>) {
        if (signal.aborted) return;
        if (answer.canceled) throw this.#ended(answer);
        yield this.#newsOf(answer, prefix);
      }
    } finally {
      timer.cancel();
      signal.removeEventListener("abort", cancel);
      stream.cancel();
    }
  }

  #ended({ compact_revision, cancel_reason }: IWatchResponse): StatorError {
    const compacted = compact_revision !== "0" && "the revision was compacted";
    return new StatorError("UNAVAILABLE", {
      what: this.place,
      detail: compacted || cancel_reason || "the watch ended",
    });
  }

  /** One answer may tell of a key several times: the last event counts. */
  #newsOf({ events, header }: IWatchResponse, prefix: string): StoreNews {
    const last = new Map<string, StoredRecord | undefined>();
    for (const { type, kv } of events) {
      const record = this.#recordOf(kv, prefix);
      if (record) last.set(record.key, type === "Put" ? record : undefined);
    }
    return {
      snapshot: false,
      upserts: [...last.values()].filter((record) => record !== undefined),
      removed: [...last].filter(([, record]) => record === undefined).map(([key]) => key),
      resume: { revision: BigInt(header.revision), incarnation: 0n },
    };
  }
}

function* portions(records: readonly StoredRecord[]): Generator<StoredRecord[]> {
  let part: StoredRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const weight = record.key.length + record.bytes.byteLength;
    if (part.length > 0 && (part.length === TRANSACTION.operations || bytes + weight > TRANSACTION.bytes)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(record);
    bytes += weight;
  }
  if (part.length > 0) yield part;
}
