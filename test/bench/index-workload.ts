import { pick, SeededChance } from "#lib/base/chance";
import { Xxh3 } from "#lib/tokens/xxh3";

/** Holders of the workload. */
export const WORKERS = 64;

const GROUPS = 10;
const VARIANTS = 8;
const CHAIN_BLOCKS = 512;
const LONG_CHAIN_BLOCKS = 4000;
const ACTIVE_SESSIONS = 256;

/** Consecutive blocks of a chain that a worker stores at a time. */
export interface WorkloadStore {
  readonly worker: number;
  /** Place of the block before the first among all blocks of chains, -1 where the first begins a chain. */
  readonly parent: number;
  /** Place of the first. */
  readonly from: number;
  readonly blocks: number;
}

/** Queries of one length. */
export interface WorkloadQueries {
  /** Blocks of each. */
  readonly blocks: number;
  readonly count: number;
  /** `count` × `blocks` local hashes. */
  readonly contents: BigUint64Array;
  /** As many sequence hashes; those behind what matches are any. */
  readonly sequences: BigUint64Array;
  /** `count` × WORKERS: blocks in a row that each worker has. */
  readonly depths: Uint16Array;
}

/** A fleet that has served conversations. */
export interface Workload {
  /** (block, worker) entries. */
  readonly entries: number;
  /** Different blocks that anybody has. */
  readonly blocks: number;
  /** Local hashes of all blocks of all chains, one chain after the other. */
  readonly contents: BigUint64Array;
  /** Their sequence hashes. */
  readonly sequences: BigUint64Array;
  readonly stores: readonly WorkloadStore[];
  readonly queries: readonly WorkloadQueries[];
}

interface Chain {
  readonly group: number;
  readonly length: number;
  /** Place of its first block. */
  readonly offset: number;
  /** Blocks after which its parts end: system prompt, variant of it, turns. */
  readonly ends: number[];
  /** By block a number that equal prefixes share. */
  readonly ids: Uint32Array;
}

interface Session {
  readonly chain: number;
  readonly worker: number;
  readonly depth: number;
  reached: number;
}

/**
 * Conversations over ten system prompts with eight variants each, in 64 workers of which 24 to 44 serve each prompt. 30 %
 * of the chains leave an earlier one at the end of a turn. Sessions grow turn by turn, 256 at a time, until so many
 * entries are stored. `scale` 1 makes a million of them.
 */
export function createWorkload(scale: number, seed: bigint): Workload {
  return new Maker(scale, seed).make();
}

class Maker {
  readonly #chance: SeededChance;
  readonly #scale: number;
  readonly #chains: Chain[] = [];
  readonly #sessions: Session[] = [];
  readonly #workers: number[][] = [];
  /** By block: local hash, sequence hash, and who has it in two words. */
  readonly #content: bigint[] = [];
  readonly #sequence: bigint[] = [];
  readonly #planned: number[][] = [[], []];
  #entries = 0;

  constructor(scale: number, seed: bigint) {
    this.#scale = scale;
    this.#chance = new SeededChance(seed);
  }

  make(): Workload {
    this.#makeChains();
    this.#makeSessions();
    const total = this.#chains.reduce((sum, chain) => sum + chain.length, 0);
    const contents = new BigUint64Array(total);
    const sequences = new BigUint64Array(total);
    for (const { offset, ids } of this.#chains) {
      for (const [at, id] of ids.entries()) {
        contents[offset + at] = this.#content[id]!;
        sequences[offset + at] = this.#sequence[id]!;
      }
    }
    const stores = this.#grow();
    const small = this.#scale < 0.1;
    const queries = [
      this.#ask(512, small ? 64 : 4096),
      this.#ask(32, small ? 64 : 4096),
      this.#ask(4000, small ? 8 : 512),
    ];
    const [low, high] = [this.#planned[0]!, this.#planned[1]!];
    const blocks = low.filter((word, id) => word !== 0 || high[id] !== 0).length;
    return { entries: this.#entries, blocks, contents, sequences, stores, queries };
  }

  #between(least: number, most: number): number {
    return least + pick(this.#chance, most - least + 1);
  }

  #of<Item>(items: readonly Item[]): Item {
    return items[pick(this.#chance, items.length)]!;
  }

  /** Further blocks behind one, -1 for none. */
  #blocks(before: number, count: number): number[] {
    const kernel = new Xxh3();
    const pair = new DataView(new ArrayBuffer(16));
    const ids: number[] = [];
    for (let last = before; ids.length < count; ) {
      const content = this.#chance.id();
      let sequence = content;
      if (last >= 0) {
        pair.setBigUint64(0, this.#sequence[last]!, true);
        pair.setBigUint64(8, content, true);
        kernel.hash(pair, 0, 16, 1337, 0);
        sequence = (BigInt(kernel.hi >>> 0) << 32n) | BigInt(kernel.lo >>> 0);
      }
      last = this.#content.length;
      this.#content.push(content);
      this.#sequence.push(sequence);
      for (const words of this.#planned) words.push(0);
      ids.push(last);
    }
    return ids;
  }

  #makeChains(): void {
    const systems = Array.from({ length: GROUPS }, () => this.#blocks(-1, this.#between(48, 80)));
    const variants = systems.map((system) =>
      Array.from({ length: VARIANTS }, () => this.#blocks(system.at(-1)!, this.#between(32, 96))),
    );
    const like = new Map<number, Chain[]>();
    const [short, long] = [Math.round(2000 * this.#scale), Math.max(4, Math.round(16 * this.#scale))];
    for (let at = 0, offset = 0; at < short + long; at++) {
      const isLong = at >= short;
      const length = isLong ? LONG_CHAIN_BLOCKS : CHAIN_BLOCKS;
      const group = at % GROUPS;
      const variant = pick(this.#chance, VARIANTS);
      const earlier = like.get(group * VARIANTS + variant) ?? [];
      let [ends, ids]: [number[], number[]] = [[], []];
      if (!isLong && earlier.length > 0 && this.#chance.next() < 0.3) {
        const parent = this.#of(earlier);
        ends = parent.ends.slice(0, this.#between(2, parent.ends.length)).filter((end) => end < length);
        ids = [...parent.ids.subarray(0, ends.at(-1)!)];
      } else {
        ids = [...systems[group]!, ...variants[group]![variant]!];
        ends = [systems[group]!.length, ids.length];
      }
      while (ids.length < length) {
        const turn = isLong ? this.#between(40, 200) : this.#between(8, 48);
        ids.push(...this.#blocks(ids.at(-1)!, Math.min(turn, length - ids.length)));
        ends.push(ids.length);
      }
      const chain = { group, length, offset, ends, ids: Uint32Array.from(ids) };
      offset += length;
      this.#chains.push(chain);
      if (!isLong) like.set(group * VARIANTS + variant, [...earlier, chain]);
    }
  }

  #plan(chain: number, worker: number, depth: number): void {
    this.#sessions.push({ chain, worker, depth, reached: 0 });
    const words = this.#planned[worker >> 5]!;
    for (const id of this.#chains[chain]!.ids.subarray(0, depth)) {
      if ((words[id]! >>> (worker & 31)) & 1) continue;
      words[id] = words[id]! | (1 << (worker & 31));
      this.#entries++;
    }
  }

  #makeSessions(): void {
    const all = Array.from({ length: WORKERS }, (_, at) => at);
    for (let group = 0; group < GROUPS; group++) {
      this.#workers[group] = this.#shuffled(all).slice(0, 24 + Math.floor((group * 20) / (GROUPS - 1)));
      for (const worker of this.#workers[group]!) {
        for (const [at, chain] of this.#chains.entries()) {
          if (chain.group !== group || at >= GROUPS * 12) continue;
          if (this.#chance.next() < 0.1) this.#plan(at, worker, chain.ends[1]!);
          else this.#plan(at, worker, chain.ends[0]!);
        }
      }
    }
    for (const [at, chain] of this.#chains.entries()) {
      const isWhole = this.#chance.next() < 0.5 || chain.length === LONG_CHAIN_BLOCKS;
      this.#plan(at, this.#of(this.#workers[chain.group]!), isWhole ? chain.length : this.#of(chain.ends));
    }
    while (this.#entries < 1e6 * this.#scale) {
      const at = pick(this.#chance, this.#chains.length);
      const chain = this.#chains[at]!;
      this.#plan(at, this.#of(this.#workers[chain.group]!), this.#of(chain.ends));
    }
  }

  #shuffled<Item>(items: readonly Item[]): Item[] {
    const out = [...items];
    for (let at = out.length - 1; at > 0; at--) {
      const other = pick(this.#chance, at + 1);
      [out[at], out[other]] = [out[other]!, out[at]!];
    }
    return out;
  }

  /** Sessions go on in turns, so that what a worker stores is mixed with what others do. */
  #grow(): WorkloadStore[] {
    const waiting = this.#shuffled(this.#sessions);
    const active: Session[] = [];
    const has = [new Uint32Array(this.#content.length), new Uint32Array(this.#content.length)];
    const stores: WorkloadStore[] = [];
    for (;;) {
      while (active.length < ACTIVE_SESSIONS && waiting.length > 0) active.push(waiting.pop()!);
      if (active.length === 0) return stores;
      const at = pick(this.#chance, active.length);
      const session = active[at]!;
      const chain = this.#chains[session.chain]!;
      const end = chain.ends.find((each) => each > session.reached) ?? chain.length;
      const to = Math.min(session.depth, session.reached === 0 ? Math.max(end, chain.ends[1]!) : end);
      const words = has[session.worker >> 5]!;
      const bit = 1 << (session.worker & 31);
      let from = session.reached;
      while (from < to && (words[chain.ids[from]!]! & bit) !== 0) from++;
      if (from < to) {
        const place = chain.offset + from;
        stores.push({ worker: session.worker, parent: from === 0 ? -1 : place - 1, from: place, blocks: to - from });
      }
      for (const id of chain.ids.subarray(from, to)) words[id]! |= bit;
      session.reached = to;
      if (to === session.depth) {
        active[at] = active.at(-1)!;
        active.pop();
      }
    }
  }

  /** A tenth match nothing; of the others most match beyond the system prompt, a quarter all there is. */
  #ask(blocks: number, count: number): WorkloadQueries {
    const contents = new BigUint64Array(count * blocks);
    const sequences = new BigUint64Array(count * blocks);
    const depths = new Uint16Array(count * WORKERS);
    const short = this.#chains.filter((chain) => chain.length === CHAIN_BLOCKS);
    const long = this.#chains.filter((chain) => chain.length !== CHAIN_BLOCKS);
    for (let query = 0; query < count; query++) {
      const chain = this.#of(blocks === LONG_CHAIN_BLOCKS && query % 2 === 1 ? long : short);
      const known = this.#knownOf(chain, Math.min(blocks, chain.length));
      for (let at = 0; at < blocks; at++) {
        const place = query * blocks + at;
        contents[place] = at < known ? this.#content[chain.ids[at]!]! : this.#chance.id();
        sequences[place] = at < known ? this.#sequence[chain.ids[at]!]! : this.#chance.id();
      }
      for (let worker = 0; worker < WORKERS; worker++) {
        const words = this.#planned[worker >> 5]!;
        let depth = 0;
        while (depth < known && ((words[chain.ids[depth]!]! >>> (worker & 31)) & 1) !== 0) depth++;
        depths[query * WORKERS + worker] = depth;
      }
    }
    return { blocks, count, contents, sequences, depths };
  }

  #knownOf(chain: Chain, most: number): number {
    const draw = this.#chance.next();
    if (draw < 0.1) return 0;
    if (most === 32) return draw < 0.3 ? this.#between(1, 32) : 32;
    if (draw < 0.25) return this.#between(1, chain.ends[0]!);
    return draw < 0.5 ? most : this.#between(chain.ends[0]!, most - 1);
  }
}
