// The prefix index over a million (block, worker) entries of 64 workers: a match against a flat table of chain hashes in
// C++ (index-floor.cpp, compiled here), which is given the chain hashes as ours is given the content hashes; what an
// entry takes; and what hashing a prompt costs on the way to a match. Every answer is checked.
//   node test/bench/cases/prefix-index.ts [NAME_PART]
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { pick, SeededChance } from "#lib/base/chance";
import { loadNative } from "#lib/native/addon";
import { createOverlaps, type PromptBlocks } from "#lib/routing/index/prefix-index";
import { RunIndex } from "#lib/routing/index/run-index";
import { type ContentHasher, TokenHasher } from "#lib/tokens/block-hash";
import { PromptHashes } from "#lib/tokens/prompt-hashes";
import { cacheFolder } from "../cache.ts";
import { median, runCases, volume } from "../harness.ts";
import { createWorkload, WORKERS, type Workload, type WorkloadQueries } from "../index-workload.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Bytes of this process that are in use. */
function keptBytes(): number {
  // Memory of arrays that died is given back by the next collection.
  collect();
  collect();
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return arrayBuffers + heapUsed;
}

/** Pairs of passes over all queries, ours and the floor's in turn. */
const PAIRS = 9;
/** Blocks that a worker tells of at a time. */
const BATCH = 64;
const BLOCK_TOKENS = 16;

/** The compiled floor, or why there is none. */
function compileFloor(): { readonly program: string } | { readonly program: undefined; readonly reason: string } {
  const source = path.join(import.meta.dirname, "..", "index-floor.cpp");
  const hash = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 12);
  const program = path.join(cacheFolder(), `index-floor-${hash}`);
  if (existsSync(program)) return { program };
  const half = `${program}.${process.pid}`;
  const flags = ["-O3", "-march=native", "-std=c++20", source, "-o", half];
  const { status, error, stderr } = spawnSync("g++", flags, { encoding: "utf8" });
  if (status !== 0) return { program: undefined, reason: `the floor cannot be compiled: ${error?.message ?? stderr}` };
  renameSync(half, program);
  return { program };
}

function writeWorkload(file: string, workload: Workload): void {
  const stores = workload.stores.flatMap((each) => [BigInt(each.worker), BigInt(each.from), BigInt(each.blocks)]);
  const numbers = (...values: number[]) => BigUint64Array.from(values.map(BigInt));
  const parts: ArrayBufferView[] = [
    numbers(workload.stores.length, workload.entries, workload.blocks, workload.queries.length),
    BigUint64Array.from(stores),
    numbers(workload.sequences.length),
    workload.sequences,
  ];
  for (const kind of workload.queries) parts.push(numbers(kind.blocks, kind.count), kind.sequences, kind.depths);
  const bytes = parts.map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength));
  writeFileSync(file, Buffer.concat(bytes));
}

/** The floor as a process that answers one pass at a time. */
class Floor {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(program: string, file: string) {
    this.#child = spawn(program, [file], { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  async heard(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("the floor ended early");
    return value;
  }

  /** Median of a query in µs. */
  async pass(kind: number): Promise<number> {
    this.#child.stdin!.write(`${kind}\n`);
    const [took, wrong] = (await this.heard()).split(" ").map(Number);
    if (wrong !== 0) throw new Error("the floor answers otherwise than expected");
    return took!;
  }

  end(): void {
    this.#child.stdin!.end();
  }
}

function fill(workload: Workload): RunIndex {
  const index = new RunIndex({ budgetBytes: 256 << 20 });
  for (let worker = 0; worker < WORKERS; worker++) index.join();
  const rest = { tier: "device", group: 0, adapter: undefined, saltNamespace: 0n, media: [] } as const;
  for (const { worker, parent: before, from, blocks } of workload.stores) {
    for (let at = 0; at < blocks; at += BATCH) {
      const [first, end] = [from + at, from + Math.min(at + BATCH, blocks)];
      const place = at === 0 ? before : first - 1;
      const parent = place < 0 ? undefined : workload.sequences[place]!;
      const hashes = workload.sequences.subarray(first, end);
      const contents = workload.contents.subarray(first, end);
      const told = index.apply(worker, { kind: "stored", parent, hashes, contents, ...rest });
      if (told.parentUnknown) throw new Error("a block goes on from one that was stored, and it is not known");
    }
  }
  if (index.entries !== workload.entries) throw new Error("the index has not what was stored");
  return index;
}

const overlaps = createOverlaps(WORKERS);

/** Median of a query in µs; all answers are compared with what they have to be. */
function pass(index: RunIndex, { blocks, count, contents, depths }: WorkloadQueries): number {
  const asked = new BigUint64Array(blocks);
  const prompt: PromptBlocks = { length: blocks, hashed: blocks, contents: () => asked };
  const took: number[] = [];
  for (let query = 0; query < count; query++) {
    asked.set(contents.subarray(query * blocks, (query + 1) * blocks));
    const before = performance.now();
    index.match(prompt, overlaps);
    took.push((performance.now() - before) * 1000);
    for (let worker = 0; worker < WORKERS; worker++) {
      if (overlaps.device[worker] !== depths[query * WORKERS + worker]) throw new Error("the index answers otherwise");
    }
  }
  return median(took);
}

async function match(): Promise<object> {
  const floor = compileFloor();
  if (floor.program === undefined) return { skipped: floor.reason };
  const workload = createWorkload(volume(1, 0.02), 20_250n);
  const folder = mkdtempSync(path.join(os.tmpdir(), "stator-index-"));
  try {
    writeWorkload(path.join(folder, "workload"), workload);
    const other = new Floor(floor.program, path.join(folder, "workload"));
    await other.heard();
    const before = keptBytes();
    const started = performance.now();
    const index = fill(workload);
    const storeMs = performance.now() - started;
    const seen = keptBytes() - before;
    const ratios = workload.queries.map((): number[] => []);
    const ours = workload.queries.map((): number[] => []);
    for (const kind of workload.queries) for (let warm = 0; warm < 3; warm++) pass(index, kind);
    for (let pair = 0; pair < PAIRS; pair++) {
      for (const [kind, queries] of workload.queries.entries()) {
        const first = pair % 2 === 0 ? pass(index, queries) : undefined;
        const floorUs = await other.pass(kind);
        const us = first ?? pass(index, queries);
        ours[kind]!.push(us);
        ratios[kind]!.push(us / floorUs);
      }
    }
    other.end();
    const [ratio, ratio32, ratio4000] = ratios.map(median);
    const bytesPerEntry = Math.max(index.bytes, seen) / index.entries;
    const matchUs = median(ours[0]!);
    return { ratio, bytesPerEntry, ratio32, ratio4000, matchUs, storedPerSecond: (index.entries / storeMs) * 1000 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Events of turns, ends and deaths without end, over a budget: what the process keeps, early and late. */
function memory(): object {
  const budgetBytes = volume(16 << 20, 2 << 20);
  const index = new RunIndex({ budgetBytes });
  const chance = new SeededChance(5n);
  const slots = Array.from({ length: WORKERS }, () => index.join());
  const rest = { tier: "device", group: 0, adapter: undefined, saltNamespace: 0n, media: [] } as const;
  /** The sequences that workers have at the moment: the names of their blocks. */
  const open: { slot: number; names: BigUint64Array }[] = [];
  const events = volume(20_000_000, 40_000);
  const kept: number[] = [];
  let mostBytes = 0;
  for (let event = 0; event < events; event++) {
    const draw = chance.next();
    const at = pick(chance, Math.max(1, open.length));
    const sequence = open[at];
    if (sequence && draw < 0.45) {
      const names = sequence.names;
      index.apply(sequence.slot, { kind: "removed", tier: "device", group: 0, hashes: names.toReversed() });
      open[at] = open.at(-1)!;
      open.pop();
    } else if (draw < 0.99999) {
      const slot = slots[pick(chance, slots.length)]!;
      // Nobody minds here that contents and names are the same.
      const hashes = new BigUint64Array(1 + pick(chance, 12));
      const words = new Uint32Array(hashes.buffer);
      for (let word = 0; word < words.length; word++) words[word] = chance.next() * 2 ** 32;
      const parent = sequence && draw < 0.7 ? sequence.names.at(-1) : undefined;
      index.apply(slot, { kind: "stored", parent, hashes, contents: hashes, ...rest });
      const entry = { slot, names: hashes };
      if (open.length < volume(100_000, 10_000)) open.push(entry);
      else open[at] = entry;
    } else {
      const place = pick(chance, slots.length);
      index.leave(slots[place]!);
      slots[place] = index.join();
    }
    mostBytes = Math.max(mostBytes, index.bytes);
    if (event % (events / 20) === events / 20 - 1) kept.push(keptBytes());
  }
  return {
    growth: kept.at(-1)! / kept[1]!,
    ofBudget: mostBytes / budgetBytes,
    evictedShare: index.evicted / events,
    keptMb: kept.at(-1)! / 2 ** 20,
  };
}

/** What it takes from token ids to what each worker has, hashing on demand. */
function hashing(): object {
  const { addon, unavailable } = loadNative();
  if (addon === undefined) return { skipped: unavailable };
  const chance = new SeededChance(3n);
  const prompts = Array.from({ length: volume(400, 20) }, () =>
    Uint32Array.from({ length: 8192 }, () => Math.floor(chance.next() * 150_000)),
  );
  const index = new RunIndex({ budgetBytes: 256 << 20 });
  for (let worker = 0; worker < WORKERS; worker++) index.join();
  const blocks = 8192 / BLOCK_TOKENS;
  const rest = {
    tier: "device",
    group: 0,
    parent: undefined,
    adapter: undefined,
    saltNamespace: 0n,
    media: [],
  } as const;
  for (const [at, tokens] of prompts.entries()) {
    const [contents, hashes] = [new BigUint64Array(blocks), new BigUint64Array(blocks)];
    addon.hashBlocks(tokens, BLOCK_TOKENS, 1337n, contents, hashes);
    for (let worker = at; worker < at + 3; worker++) {
      index.apply(worker % WORKERS, { kind: "stored", hashes, contents, ...rest });
    }
  }
  const local = new BigUint64Array(blocks);
  const bare = (tokens: Uint32Array) => addon.hashContents(tokens, BLOCK_TOKENS, 0, 1337n, 0, blocks, local);
  const way = (hasher: ContentHasher, stepBlocks: number) => {
    const hashes = new PromptHashes(hasher, { blockTokens: BLOCK_TOKENS, stepBlocks });
    return (tokens: Uint32Array) => index.match(hashes.open(tokens, 1337n), overlaps);
  };
  const ways = { bare, addon: way(addon, 128), script: way(new TokenHasher(), 32) };
  const took = { bare: [] as number[], addon: [] as number[], script: [] as number[] };
  for (let round = 0; round < volume(12, 2); round++) {
    for (const tokens of prompts) {
      for (const name of ["bare", "addon", "script"] as const) {
        const before = performance.now();
        ways[name](tokens);
        if (round > 0) took[name].push(performance.now() - before);
      }
      if (Math.max(...overlaps.device) !== blocks) throw new Error("a prompt that was stored is not found");
    }
  }
  const bareUs = median(took.bare) * 1000;
  return {
    addonRatio: (median(took.addon) * 1000) / bareUs,
    scriptRatio: (median(took.script) * 1000) / bareUs,
    bareUs,
  };
}

await runCases({ "index/match/1m": match, "index/hash/8k": hashing, "index/memory/20m-events": memory });
