import type { Discovery, DiscoveryChange, DiscoveryRecord, DiscoveryWatch, Registration } from "./discovery.ts";
import { isUnder } from "./keys.ts";

/** Longest name of a namespace in characters: beside it a key has to have room for the name of a model. */
export const MAX_NAMESPACE_LENGTH = 63;

/** What a namespace may be called, as a pattern; the empty one has no name. */
export const NAMESPACE_PATTERN = `^([a-z0-9][a-z0-9._-]{0,${MAX_NAMESPACE_LENGTH - 1}})?$`;

const NAME = new RegExp(NAMESPACE_PATTERN);

/** What all named namespaces are below. Keys of the empty one begin with what they are keys of, as they always did. */
const ROOT = "namespaces";

/** Whether a namespace may be called so. */
export function isNamespace(name: string): boolean {
  return NAME.test(name);
}

/**
 * The part of a store that belongs to one namespace: what is published through it is seen through it and nowhere else in
 * the store. Its users see keys without the namespace. Closing it closes the store's discovery, which it takes.
 */
export function inNamespace(discovery: Discovery, namespace: string): Discovery {
  const place = namespace === "" ? EMPTY : named(namespace);
  const outward = (records: readonly DiscoveryRecord[]) => records.map((record) => stamp(record, namespace, place));
  return {
    async register(records, options) {
      const registration = await discovery.register(outward(records), options);
      const update: Registration["update"] = (next) => registration.update(outward(next));
      return { update, onLapse: (call) => registration.onLapse(call), close: () => registration.close() };
    },
    async watch(prefix) {
      return new NamespaceWatch(await discovery.watch(place.keyOf(prefix)), place);
    },
    close: () => discovery.close(),
  };
}

/** Where the keys of a namespace are in the store. */
interface Place {
  /** A local key or prefix as the store has it. */
  keyOf(local: string): string;
  /** The local key; undefined for a key of another namespace. */
  localOf(key: string): string | undefined;
}

const EMPTY: Place = { keyOf: (local) => local, localOf: (key) => (isUnder(key, ROOT) ? undefined : key) };

function named(namespace: string): Place {
  const root = `${ROOT}/${namespace}`;
  return {
    keyOf: (local) => (local === "" ? root : `${root}/${local}`),
    // The store tells of nothing that is not below it.
    localOf: (key) => key.slice(root.length + 1),
  };
}

function stamp({ key, value }: DiscoveryRecord, namespace: string, place: Place): DiscoveryRecord {
  const stamped =
    value.case === "instance" ? ({ case: "instance", value: { ...value.value, namespace } } as const) : value;
  return { key: place.keyOf(key), value: stamped };
}

/** A view of the store as the namespace's users see it. */
class NamespaceWatch implements DiscoveryWatch {
  readonly records = new Map<string, DiscoveryRecord>();
  readonly #watch: DiscoveryWatch;
  readonly #place: Place;

  constructor(watch: DiscoveryWatch, place: Place) {
    this.#watch = watch;
    this.#place = place;
    // The first to hear of a change: whoever subscribes finds the records as they are after it.
    this.subscribe(({ upserts, removed }) => {
      for (const record of upserts) this.records.set(record.key, record);
      for (const key of removed) this.records.delete(key);
    });
  }

  get synced(): boolean {
    return this.#watch.synced;
  }

  subscribe(call: (change: DiscoveryChange) => void): () => void {
    let wasSynced: boolean | undefined;
    return this.#watch.subscribe((change) => {
      const { upserts, removed, synced } = this.#localize(change);
      if (synced === wasSynced && upserts.length === 0 && removed.length === 0) return;
      wasSynced = synced;
      call({ upserts, removed, synced });
    });
  }

  close(): Promise<void> {
    return this.#watch.close();
  }

  #localize({ upserts, removed, synced }: DiscoveryChange): DiscoveryChange {
    const records: DiscoveryRecord[] = [];
    for (const { key, value } of upserts) {
      const local = this.#place.localOf(key);
      if (local !== undefined) records.push(Object.freeze({ key: local, value }));
    }
    const gone = removed.map((key) => this.#place.localOf(key)).filter((key) => key !== undefined);
    return { upserts: records, removed: gone, synced };
  }
}
