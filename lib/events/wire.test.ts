import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { KvChangesSchema, SubscribeResponseSchema } from "#gen/stator/worker/v1/kv_event_pb";
import { type Chance, pick, SeededChance } from "#lib/base/chance";
import { KV_TIERS, type KvChange } from "#lib/kv/event";
import { eachSeed } from "../../test/support/seeds.ts";
import { printChanges, readChanges, readFeedMessage } from "./wire.ts";

function drawChange(chance: Chance): KvChange {
  const kind = pick(chance, 8);
  if (kind === 0) return { kind: "cleared" };
  const hashes = BigUint64Array.from({ length: 1 + pick(chance, 5) }, () => chance.id());
  const place = {
    tier: KV_TIERS[pick(chance, 3) === 0 ? pick(chance, KV_TIERS.length) : 0]!,
    group: pick(chance, 4) === 0 ? pick(chance, 3) : 0,
    hashes,
  };
  if (kind < 3) return { kind: "removed", ...place };
  return {
    kind: "stored",
    ...place,
    parent: pick(chance, 2) === 0 ? undefined : chance.id(),
    contents: hashes.map(() => chance.id()),
    adapter: pick(chance, 3) === 0 ? `adapter ${pick(chance, 3)}` : undefined,
    saltNamespace: pick(chance, 3) === 0 ? chance.id() : 0n,
    media:
      pick(chance, 4) > 0
        ? []
        : [
            {
              block: hashes.length - 1,
              hash: chance.id(),
              ranges: [
                [0, 3],
                [5, 7],
              ],
            },
          ],
  };
}

/** Through the bytes, at an odd place of a bigger buffer, as they arrive. */
function carry(changes: readonly KvChange[]) {
  const bytes = toBinary(KvChangesSchema, printChanges(changes));
  const buffer = new Uint8Array(bytes.length + 1);
  buffer.set(bytes, 1);
  return fromBinary(KvChangesSchema, buffer.subarray(1));
}

test("what is printed is read", () => {
  eachSeed(200, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    const changes = Array.from({ length: pick(chance, 6) }, () => drawChange(chance));
    expect(readChanges(carry(changes))).toEqual(changes);
  });
});

test("what most changes do not have takes no bytes", () => {
  const plain: KvChange = {
    kind: "stored",
    tier: "device",
    group: 0,
    parent: undefined,
    hashes: BigUint64Array.of(1n, 2n),
    contents: BigUint64Array.of(3n, 4n),
    adapter: undefined,
    saltNamespace: 0n,
    media: [],
  };
  const { kinds, counts, hashes, contents, ...rest } = printChanges([plain]);
  expect([kinds, counts, hashes, contents].map(({ byteLength }) => byteLength)).toEqual([1, 4, 16, 16]);
  expect(rest).toMatchObject({ tiers: new Uint8Array(0), groups: new Uint8Array(0), adapters: [], media: [] });
  expect(rest.adapterNumbers.length + rest.saltNamespaces.length + rest.parents.length).toBe(0);
});

test("lists that do not fit each other are refused", () => {
  const good = printChanges([drawOf("stored"), { kind: "cleared" }, drawOf("removed")]);
  const bad: [string, Partial<typeof good>][] = [
    ["counts", { counts: good.counts.subarray(0, 8) }],
    ["counts", { counts: good.counts.subarray(0, 7) }],
    ["hashes", { hashes: good.hashes.subarray(8) }],
    ["contents", { contents: new Uint8Array(0) }],
    ["parents", { parents: new Uint8Array(8 + good.parents.length) }],
    ["tiers", { tiers: Uint8Array.of(1) }],
    ["no tier 9", { tiers: Uint8Array.of(9, 1, 1) }],
    ["groups", { groups: new Uint8Array(4) }],
    ["no change of kind 7", { kinds: Uint8Array.of(7, 4, 3), contents: new Uint8Array(0), parents: new Uint8Array(0) }],
    ["no adapter 2", { adapterNumbers: Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) }],
    ["An object is in a block", { media: [{ change: 9, block: 0, hash: 1n, ranges: new Uint8Array(8) } as never] }],
    ["ranges are pairs", { media: [{ change: 0, block: 0, hash: 1n, ranges: new Uint8Array(4) } as never] }],
    ["A change has no blocks", { counts: new Uint8Array(12), hashes: new Uint8Array(0), contents: new Uint8Array(0) }],
  ];
  for (const [word, part] of bad) {
    expect(() => readChanges(create(KvChangesSchema, { ...good, ...part })), word).toThrow(word);
  }
});

function drawOf(kind: "stored" | "removed"): KvChange {
  const chance = new SeededChance(5n);
  for (;;) {
    const change = drawChange(chance);
    if (change.kind === kind && change.tier === "device" && change.group === 0) return change;
  }
}

test("a message that cannot be read says so instead of throwing", () => {
  const batch = (changes: readonly KvChange[]) => ({ firstEventId: 1n, unixMs: 1n, changes: printChanges(changes) });
  const kinds = [
    create(SubscribeResponseSchema, {}),
    create(SubscribeResponseSchema, { content: { case: "batch", value: batch([]) } }),
    create(SubscribeResponseSchema, {
      content: { case: "batch", value: { ...batch([{ kind: "cleared" }]), firstEventId: 0n } },
    }),
    create(SubscribeResponseSchema, { content: { case: "batch", value: batch([{ kind: "cleared" }]) } }),
  ].map((message) => readFeedMessage(message).kind);
  expect(kinds).toEqual(["unreadable", "unreadable", "unreadable", "events"]);
});
