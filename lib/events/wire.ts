import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  KvChangeKind,
  type KvChanges,
  KvChangesSchema,
  type KvMediaSchema,
  type SubscribeResponse,
  KvTier as WireTier,
} from "#gen/stator/worker/v1/kv_event_pb";
import { copyU64, readU32, readU64, viewBytes } from "#lib/base/bytes";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { BlockMedia, KvChange, KvStored, KvTier } from "#lib/kv/event";
import type { KvFeedMessage } from "./feed.ts";

const TIERS = {
  device: WireTier.DEVICE,
  host: WireTier.HOST,
  disk: WireTier.DISK,
  external: WireTier.EXTERNAL,
} as const satisfies Record<KvTier, WireTier>;

const TIER_NAMES: readonly (KvTier | undefined)[] = [undefined, "device", "host", "disk", "external"];

const NO_BYTES = new Uint8Array(0);
const NO_MEDIA: readonly BlockMedia[] = [];
const NO_MEDIA_AT_ALL: ReadonlyMap<number, readonly BlockMedia[]> = new Map();

/** Changes as their wire form. Copies what it prints. */
export function printChanges(changes: readonly KvChange[]): KvChanges {
  const count = changes.length;
  const blocks = changes.reduce((sum, change) => sum + (change.kind === "cleared" ? 0 : change.hashes.length), 0);
  const stored = changes.filter((change) => change.kind === "stored");
  const contents = new BigUint64Array(stored.reduce((sum, { hashes }) => sum + hashes.length, 0));
  const parents = stored.flatMap(({ parent }) => parent ?? []);
  const kinds = new Uint8Array(count);
  const counts = new Uint32Array(count);
  const hashes = new BigUint64Array(blocks);
  let at = 0;
  let contentAt = 0;
  for (const [place, change] of changes.entries()) {
    kinds[place] = kindOf(change);
    if (change.kind === "cleared") continue;
    counts[place] = change.hashes.length;
    hashes.set(change.hashes, at);
    at += change.hashes.length;
    if (change.kind !== "stored") continue;
    contents.set(change.contents, contentAt);
    contentAt += change.contents.length;
  }
  return create(KvChangesSchema, {
    kinds,
    counts: viewBytes(counts),
    hashes: viewBytes(hashes),
    contents: viewBytes(contents),
    parents: viewBytes(BigUint64Array.from(parents)),
    ...printRare(changes),
  });
}

function kindOf(change: KvChange): KvChangeKind {
  if (change.kind === "cleared") return KvChangeKind.CLEARED;
  if (change.kind === "removed") return KvChangeKind.REMOVED;
  return change.parent === undefined ? KvChangeKind.BEGUN : KvChangeKind.CONTINUED;
}

/** What most changes do not have: lists that are empty where none has it. */
function printRare(changes: readonly KvChange[]): MessageInitShape<typeof KvChangesSchema> {
  const tiers = changes.map((change) => (change.kind === "cleared" ? "device" : change.tier));
  const groups = changes.map((change) => (change.kind === "cleared" ? 0 : change.group));
  const salts = changes.map((change) => (change.kind === "stored" ? change.saltNamespace : 0n));
  const named = changes.map((change) => (change.kind === "stored" ? change.adapter : undefined));
  const adapters = [...new Set(named.filter((name) => name !== undefined))];
  const numbers = named.map((name) => (name === undefined ? 0 : adapters.indexOf(name) + 1));
  return {
    tiers: tiers.some((tier) => tier !== "device") ? Uint8Array.from(tiers, (tier) => TIERS[tier]) : NO_BYTES,
    groups: groups.some((group) => group !== 0) ? viewBytes(Uint32Array.from(groups)) : NO_BYTES,
    adapters,
    adapterNumbers: adapters.length > 0 ? viewBytes(Uint32Array.from(numbers)) : NO_BYTES,
    saltNamespaces: salts.some((salt) => salt !== 0n) ? viewBytes(BigUint64Array.from(salts)) : NO_BYTES,
    media: changes.flatMap((change, place) => (change.kind === "stored" ? printMedia(change, place) : [])),
  };
}

function printMedia({ media }: KvStored, change: number): MessageInitShape<typeof KvMediaSchema>[] {
  return media.map(({ block, hash, ranges }) => {
    return { change, block, hash, ranges: viewBytes(Uint32Array.from(ranges.flat())) };
  });
}

/**
 * The inverse of `printChanges`. The arrays are views of one copy of what came. Throws INVALID_ARGUMENT for lists that are
 * not as long as they have to be, and for kinds and tiers that are not known.
 */
export function readChanges(message: KvChanges): KvChange[] {
  const { kinds } = message;
  const counts = readList(readU32(message.counts, "counts"), kinds.length, "counts");
  const parts = new Parts(message, counts);
  const changes: KvChange[] = [];
  for (let place = 0; place < kinds.length; place++) changes.push(parts.read(kinds[place]!, place));
  return changes;
}

function readList<List extends { readonly length: number }>(list: List, length: number, name: string): List {
  if (list.length === length) return list;
  throw new StatorError("INVALID_ARGUMENT", { detail: `${name} has ${list.length} values, not ${length}` });
}

/** A list that is empty where nobody has what it tells of. */
function readRare<List extends { readonly length: number }>(
  bytes: Uint8Array,
  read: (bytes: Uint8Array, name: string) => List,
  { length, name }: { readonly length: number; readonly name: string },
): List | undefined {
  return bytes.length === 0 ? undefined : readList(read(bytes, name), length, name);
}

const asBytes = (bytes: Uint8Array): Uint8Array => bytes;

/** How many values the lists have to have. */
function countParts(kinds: Uint8Array, counts: Uint32Array) {
  let [blocks, storedBlocks, parents] = [0, 0, 0];
  for (let place = 0; place < kinds.length; place++) {
    const kind = kinds[place]!;
    blocks += counts[place]!;
    if (kind === KvChangeKind.BEGUN || kind === KvChangeKind.CONTINUED) storedBlocks += counts[place]!;
    if (kind === KvChangeKind.CONTINUED) parents++;
  }
  return { blocks, storedBlocks, parents };
}

/** The lists of a message, walked change by change. */
class Parts {
  readonly #counts: Uint32Array;
  readonly #hashes: BigUint64Array;
  readonly #contents: BigUint64Array;
  readonly #parents: BigUint64Array;
  readonly #tiers: Uint8Array | undefined;
  readonly #groups: Uint32Array | undefined;
  readonly #salts: BigUint64Array | undefined;
  readonly #adapterNumbers: Uint32Array | undefined;
  readonly #adapters: readonly string[];
  readonly #media: ReadonlyMap<number, readonly BlockMedia[]>;
  #hashAt = 0;
  #contentAt = 0;
  #parentAt = 0;

  constructor(message: KvChanges, counts: Uint32Array) {
    const { kinds, adapters } = message;
    const { length } = kinds;
    const { blocks, storedBlocks, parents } = countParts(kinds, counts);
    this.#counts = counts;
    // One copy for all: what came may be misaligned, and its buffer is not kept alive.
    this.#hashes = readList(copyU64(message.hashes, "hashes"), blocks, "hashes");
    this.#contents = readList(copyU64(message.contents, "contents"), storedBlocks, "contents");
    this.#parents = readList(readU64(message.parents, "parents"), parents, "parents");
    this.#tiers = readRare(message.tiers, asBytes, { length, name: "tiers" });
    this.#groups = readRare(message.groups, readU32, { length, name: "groups" });
    this.#salts = readRare(message.saltNamespaces, readU64, { length, name: "salt_namespaces" });
    this.#adapterNumbers = readRare(message.adapterNumbers, readU32, { length, name: "adapter_numbers" });
    this.#adapters = adapters;
    this.#media = readMedia(message);
  }

  read(kind: number, place: number): KvChange {
    if (kind === KvChangeKind.CLEARED) {
      readList({ length: this.#counts[place]! }, 0, "a cleared change");
      return { kind: "cleared" };
    }
    if (kind < KvChangeKind.BEGUN || kind > KvChangeKind.CLEARED) {
      throw new StatorError("INVALID_ARGUMENT", { detail: `There is no change of kind ${kind}` });
    }
    const count = this.#counts[place]!;
    if (count === 0) throw new StatorError("INVALID_ARGUMENT", { detail: "A change has no blocks" });
    const hashes = this.#hashes.subarray(this.#hashAt, this.#hashAt + count);
    this.#hashAt += count;
    const common = { tier: this.#tierOf(place), group: this.#groups?.[place] ?? 0, hashes };
    if (kind === KvChangeKind.REMOVED) return { kind: "removed", ...common };
    const contents = this.#contents.subarray(this.#contentAt, this.#contentAt + count);
    this.#contentAt += count;
    return {
      kind: "stored",
      ...common,
      contents,
      parent: kind === KvChangeKind.CONTINUED ? this.#parents[this.#parentAt++]! : undefined,
      adapter: this.#adapterOf(place),
      saltNamespace: this.#salts?.[place] ?? 0n,
      media: this.#media.get(place) ?? NO_MEDIA,
    };
  }

  #tierOf(place: number): KvTier {
    if (!this.#tiers) return "device";
    const tier = TIER_NAMES[this.#tiers[place]!];
    if (tier) return tier;
    throw new StatorError("INVALID_ARGUMENT", { detail: `There is no tier ${this.#tiers[place]}` });
  }

  #adapterOf(place: number): string | undefined {
    const number = this.#adapterNumbers?.[place] ?? 0;
    if (number === 0) return undefined;
    const name = this.#adapters[number - 1];
    if (name !== undefined) return name;
    throw new StatorError("INVALID_ARGUMENT", {
      detail: `There is no adapter ${number} among ${this.#adapters.length}`,
    });
  }
}

function readMedia({ media, kinds, counts }: KvChanges): ReadonlyMap<number, readonly BlockMedia[]> {
  if (media.length === 0) return NO_MEDIA_AT_ALL;
  const byChange = new Map<number, BlockMedia[]>();
  const blocks = readU32(counts, "counts");
  for (const { change, block, hash, ranges } of media) {
    const isThere = change < kinds.length && block < (blocks[change] ?? 0);
    if (!isThere) throw new StatorError("INVALID_ARGUMENT", { detail: "An object is in a block that is not there" });
    const numbers = readU32(ranges, "ranges");
    if (numbers.length % 2 !== 0) throw new StatorError("INVALID_ARGUMENT", { detail: "ranges are pairs" });
    const pairs = Array.from({ length: numbers.length / 2 }, (_, at) => {
      return [numbers[2 * at]!, numbers[2 * at + 1]!] as const;
    });
    const own = byChange.get(change);
    if (own) own.push({ block, hash, ranges: pairs });
    else byChange.set(change, [{ block, hash, ranges: pairs }]);
  }
  return byChange;
}

/** A message of the contract as the machine hears it; what cannot be read comes out as `unreadable`. */
export function readFeedMessage(message: SubscribeResponse): KvFeedMessage {
  try {
    return read(message);
  } catch (error) {
    return { kind: "unreadable", detail: asStatorError(error).message.replace(/\.$/, "") };
  }
}

function read({ content }: SubscribeResponse): KvFeedMessage {
  switch (content.case) {
    case "header": {
      const { incarnation, blockTokens, hashScheme, owner, lastEventId: lastId, isSnapshot } = content.value;
      const cacheDomain = owner.case === "cacheDomain" ? owner.value : undefined;
      return { kind: "header", incarnation, blockTokens, hashScheme, cacheDomain, lastId, isSnapshot };
    }
    case "snapshot": {
      const { changes, part, isLast, lastEventId: lastId } = content.value;
      return { kind: "snapshot", changes: changes ? readChanges(changes) : [], part, isLast, lastId };
    }
    case "batch": {
      const { firstEventId: firstId, unixMs, changes } = content.value;
      if (!changes || changes.kinds.length === 0 || firstId === 0n) {
        throw new StatorError("INVALID_ARGUMENT", { detail: "A batch without events" });
      }
      return { kind: "events", firstId, unixMs: Number(unixMs), changes: readChanges(changes) };
    }
    case "heartbeat":
      return { kind: "heartbeat", lastId: content.value.lastEventId };
    case "resume":
      return { kind: "resume" };
    default:
      throw new StatorError("INVALID_ARGUMENT", { detail: "A message that says nothing" });
  }
}
