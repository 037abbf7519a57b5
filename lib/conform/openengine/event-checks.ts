import type { BlockStored, KvBlockHash, KvEventBatch } from "#gen/openengine/v1/kv_pb";
import { printHex } from "#lib/base/bytes";
import type { Check } from "../check.ts";
import { claimed, expect, Failure, seen } from "../failure.ts";
import type { EngineBench } from "./engine-bench.ts";

const ROUNDS = 4;
const ENCODINGS = ["int64", "string", "bytes", "engine_specific"];
const RULES = "docs/conformance.md";
const EXACT =
  "Integers of 64 bits are exact beyond 2^53: seeds, sequence numbers, numbers of adapters and names of blocks.";
const FAR = 2n ** 60n + 1n;

/** What an engine tells of its cache. */
export const EVENT_CHECKS: readonly Check<EngineBench>[] = [
  {
    name: "tells of blocks that enter its cache",
    sentence: "Consecutive blocks of one sequence became available.",
    of: "BlockStored",
    async run(bench) {
      for (const { blockHashes, tokenIds, blockSize } of await stored(bench)) {
        expect(blockSize > 0 && blockHashes.length > 0, "an event has no blocks");
        const whole = blockHashes.length * blockSize;
        expect(
          tokenIds.length === whole,
          `${blockHashes.length} blocks of ${blockSize} came with ${tokenIds.length} tokens`,
        );
      }
    },
  },
  {
    name: "names blocks in a known encoding",
    sentence: "How value is to be read: int64, string, bytes or engine_specific.",
    of: "KvBlockHash.encoding",
    async run(bench) {
      for (const { encoding, value } of (await stored(bench)).flatMap(({ blockHashes }) => blockHashes)) {
        expect(ENCODINGS.includes(encoding), `the encoding is "${encoding}"`);
        expect(value.length > 0, "a block has an empty name");
      }
    },
  },
  {
    name: "numbers its batches one by one",
    sentence: "Grows by one per batch of a rank.",
    of: "KvEventBatch.sequence_number",
    async run(bench) {
      const last = new Map<number, bigint>();
      for (const { sequenceNumber: number, dataParallelRank: rank } of await live(bench)) {
        const before = last.get(rank);
        expect(before === undefined || number === before + 1n, `batch ${number} came behind ${before}`);
        last.set(rank, number);
      }
    },
  },
  {
    name: "dates its batches",
    sentence: "When the batch was made, nanoseconds since 1970.",
    of: "KvEventBatch.timestamp_unix_nanos",
    async run(bench) {
      for (const { timestampUnixNanos: nanos } of await live(bench)) {
        expect(nanos > 1_500_000_000_000_000_000n, `timestamp_unix_nanos is ${nanos}`);
      }
    },
  },
  {
    name: "names parents that it has told of",
    sentence: "Name of the block before the first one. Absent: the first one begins a sequence.",
    of: "BlockStored.parent_block_hash",
    async run(bench) {
      const batches = await bench.record(() => fresh(bench), { includeSnapshot: true });
      seen(
        eventsOf(batches).some(({ event }) => event.case === "blockStored"),
        "no block was told of",
      );
      checkParents(batches);
    },
  },
  {
    name: "names blocks exactly, beyond 2^53 too",
    sentence: EXACT,
    of: RULES,
    async run(bench) {
      const names = (await stored(bench)).flatMap(({ blockHashes }) => blockHashes.map(({ value }) => value));
      const numbers = names.filter(({ length }) => length === 8);
      claimed(numbers.length === names.length, "its names are not of 64 bits");
      const views = numbers.map((bytes) => new DataView(bytes.buffer, bytes.byteOffset, 8));
      for (const isLittle of [true, false]) {
        const beyond = views.map((view) => view.getBigUint64(0, isLittle)).filter((name) => name > 2n ** 53n);
        seen(views.length >= 4, "too few blocks were told of");
        const isRounded = beyond.length === views.length && beyond.every((name) => BigInt(Number(name)) === name);
        expect(!isRounded, `every name is one that a double can hold, such as ${beyond[0]}`);
      }
    },
  },
  {
    name: "begins with what is in its cache when it is asked to",
    sentence: "Begin with what is in the cache now.",
    of: "SubscribeKvEventsRequest.include_snapshot",
    async run(bench) {
      const wanted = (await stored(bench)).flatMap(({ blockHashes }) => blockHashes.map(nameOf));
      const batches = await bench.record(async () => {}, { includeSnapshot: true });
      const told = new Set(storedIn(batches).flatMap(({ blockHashes }) => blockHashes.map(nameOf)));
      claimed(told.size > 0, "it tells nothing when it is asked for a snapshot");
      // What came in between may have pushed some of them out.
      const found = wanted.filter((name) => told.has(name));
      expect(
        found.length > 0,
        `none of ${wanted.length} blocks that it had just stored is among the ${told.size} of its snapshot`,
      );
      checkParents(batches);
    },
  },
  {
    name: "repeats what it still has from a number on",
    sentence: "First batch to send, when the engine still has it. 0: from now on.",
    of: "SubscribeKvEventsRequest.start_sequence_number",
    async run(bench) {
      const before = await live(bench);
      const from = before[0]!.sequenceNumber;
      seen(from > 0n, "its first batch has the number 0, which asks for nothing");
      const again = await bench.record(async () => {}, { startSequenceNumber: from });
      expect(again.length > 0, `nothing came from batch ${from} on`);
      for (const [at, { sequenceNumber }] of again.entries()) {
        expect(sequenceNumber === from + BigInt(at), `batch ${sequenceNumber} came in place of ${from + BigInt(at)}`);
      }
      const names = (batches: readonly KvEventBatch[]) =>
        storedIn(batches).flatMap(({ blockHashes }) => blockHashes.map(nameOf));
      const [wanted, found] = [names(before), names(again).slice(0, names(before).length)];
      expect(found.join() === wanted.join(), "the same batches tell of other blocks the second time");
    },
  },
  {
    name: "does not begin elsewhere than it was asked to",
    sentence: "First batch to send, when the engine still has it. 0: from now on.",
    of: "SubscribeKvEventsRequest.start_sequence_number",
    async run(bench) {
      // Refused, or silent until that number: both are right. A batch of another number is a gap that nobody sees.
      let batches: KvEventBatch[] = [];
      try {
        batches = await bench.record(() => fresh(bench), { startSequenceNumber: FAR });
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
      }
      const early = batches.find(({ sequenceNumber }) => sequenceNumber < FAR);
      expect(!early, `batch ${early?.sequenceNumber} came, from ${FAR} on were asked for`);
    },
  },
  {
    name: "reuses a prefix that it has, within one salt alone",
    sentence: "Only requests of the same salt share blocks.",
    of: "KvOptions.cache_salt",
    async run(bench) {
      claimed(bench.facts.model.generation?.supportsCacheSalt, "it does not heed cache_salt");
      const ask = bench.fresh();
      const cached = (cacheSalt: string) => cachedTokens(bench, { ...ask, kv: { cacheSalt } });
      const [first, again, other] = [await cached("conform-a"), await cached("conform-a"), await cached("conform-b")];
      claimed(first !== undefined, "it does not report cached_prompt_tokens");
      expect(first === 0, `${first} tokens of a prompt that nobody had came from the cache`);
      expect((again ?? 0) > 0, "the same prompt and salt reuse nothing");
      expect(other === 0, `${other} tokens came from the blocks of another salt`);
    },
  },
  {
    name: "reads no cached prefix when it is asked not to",
    sentence: "Do not read cached prefixes. What is computed is still cached.",
    of: "KvOptions.bypass_prefix_cache",
    async run(bench) {
      claimed(bench.facts.model.generation?.supportsPrefixCacheBypass, "it does not heed bypass_prefix_cache");
      const ask = bench.fresh();
      const cached = (bypassPrefixCache: boolean) => cachedTokens(bench, { ...ask, kv: { bypassPrefixCache } });
      const [, bypassed, after] = [await cached(true), await cached(true), await cached(false)];
      claimed(bypassed !== undefined, "it does not report cached_prompt_tokens");
      expect(bypassed === 0, `${bypassed} tokens came from the cache all the same`);
      expect((after ?? 0) > 0, "what was computed without reading was not cached");
    },
  },
];

/** Tokens of a prompt that it says it had; undefined where it does not say. */
async function cachedTokens(bench: EngineBench, ask: Parameters<EngineBench["caller"]["whole"]>[0]) {
  return (await bench.caller.whole(ask)).messages.at(-1)?.usage?.cachedPromptTokens;
}

async function fresh(bench: EngineBench): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) await bench.caller.whole(bench.fresh());
}

/** Batches of some new prompts, at least one. */
async function live(bench: EngineBench): Promise<KvEventBatch[]> {
  const batches = await bench.record(() => fresh(bench));
  seen(batches.length > 0, `nothing was told of ${ROUNDS} new prompts`);
  return batches;
}

function eventsOf(batches: readonly KvEventBatch[]) {
  return batches.flatMap(({ events }) => events);
}

function storedIn(batches: readonly KvEventBatch[]): BlockStored[] {
  return eventsOf(batches).flatMap(({ event }) => (event.case === "blockStored" ? [event.value] : []));
}

/** Blocks that some new prompts stored, in events of at least one. */
async function stored(bench: EngineBench): Promise<BlockStored[]> {
  const events = storedIn(await live(bench));
  seen(events.length > 0, "no block was told of");
  return events;
}

function nameOf({ value }: KvBlockHash): string {
  return printHex(value);
}

/** Fails at a parent that was not stored before, or was removed, and at the removal of what was never stored. */
function checkParents(batches: readonly KvEventBatch[]): void {
  const known = new Set<string>();
  for (const { event } of eventsOf(batches)) {
    if (event.case === "allBlocksCleared") known.clear();
    if (event.case !== "blockStored") continue;
    const { parentBlockHash: parent, blockHashes } = event.value;
    // One that was removed may still be the parent of a block that stayed: only what was never told of is unknown.
    expect(!parent || known.has(nameOf(parent)), `the parent ${parent && nameOf(parent)} was never stored`);
    for (const hash of blockHashes) known.add(nameOf(hash));
  }
}
