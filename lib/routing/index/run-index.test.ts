import { isDeepStrictEqual } from "node:util";
import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { KV_TIERS, type KvChange, type KvTier } from "#lib/kv/event";
import { FlatIndex } from "../../../test/support/flat-index.ts";
import { type Node, prompt, Sequences, stored } from "../../../test/support/sequences.ts";
import { createOverlaps, type PrefixIndex } from "./prefix-index.ts";
import { RunIndex } from "./run-index.ts";

/** Of four worlds each, of 4,900 operations together: a million in the long form. */
const rounds = Number(process.env.TEST_SCALE ?? 1) >= 20 ? 205 : 2;

/** Two indexes that are told the same, and what is asked of them. */
class Pair {
  readonly run = new RunIndex({ budgetBytes: 64 << 20 });
  readonly flat = new FlatIndex();
  readonly chance: SeededChance;
  readonly #sequences: Sequences;
  readonly #slots: number[] = [];
  readonly #isMixed: boolean;
  #nowMs = 0;

  constructor(seed: number, options: { readonly holders: number; readonly isMixed: boolean; readonly depth: number }) {
    this.chance = new SeededChance(BigInt(seed));
    this.#sequences = new Sequences(this.chance, options.depth);
    this.#isMixed = options.isMixed;
    for (let at = 0; at < options.holders; at++) this.#slots.push(this.#both((index) => index.join()));
  }

  #both<Answer>(call: (index: PrefixIndex) => Answer): Answer {
    const answer = call(this.flat);
    const own = call(this.run);
    // Ten times as fast as to expect it.
    if (!isDeepStrictEqual(own, answer)) expect(own).toEqual(answer);
    return answer;
  }

  /** Where names are mixed, every third holder has its own. */
  #nameBy(slot: number): (node: Node) => bigint {
    const own = this.#isMixed && slot % 3 === 0 ? BigInt(slot + 1) : 0n;
    return (node) => BigInt.asUintN(64, node.name + own);
  }

  step(): void {
    const slot = this.#slots[pick(this.chance, this.#slots.length)]!;
    const name = this.#nameBy(slot);
    const draw = pick(this.chance, 1000);
    if (draw < 400) this.#store(slot, name);
    else if (draw < 700) this.#remove(slot, name);
    else if (draw < 900) this.#match();
    else if (draw < 960) this.#expect(slot);
    else if (draw < 990) this.#expire();
    else if (draw < 994) this.#both((index) => index.apply(slot, { kind: "cleared" }));
    else if (draw < 998) this.#die();
    else this.compare();
  }

  #tier(): KvTier {
    return pick(this.chance, 3) > 0 ? "device" : KV_TIERS[pick(this.chance, 4)]!;
  }

  #store(slot: number, name: (node: Node) => bigint): void {
    const path = this.#sequences.path();
    // Where names are mixed only what a holder has is a parent that it can name for sure.
    const overlaps = createOverlaps(this.flat.slots);
    this.flat.match(prompt(path), overlaps);
    const has = overlaps.device[slot]! + overlaps.host[slot]! + overlaps.disk[slot]! + overlaps.external[slot]!;
    const isAside = !this.#isMixed && pick(this.chance, 4) === 0;
    const from = pick(this.chance, isAside ? path.length : Math.min(has + 1, path.length));
    const isHeld = (at: number) =>
      this.flat.holds(
        slot,
        path.slice(0, at).map((node) => node.content),
      );
    if (this.#isMixed && from > 0 && !isHeld(from)) return;
    const to = from + 1 + pick(this.chance, path.length - from);
    const parent = from === 0 ? undefined : name(path[from - 1]!);
    const change = stored(this.#tier(), parent, path.slice(from, to), name);
    this.#both((index) => index.apply(slot, change));
  }

  #remove(slot: number, name: (node: Node) => bigint): void {
    const path = this.#sequences.path();
    const from = pick(this.chance, path.length);
    const to = from + 1 + pick(this.chance, path.length - from);
    const names = path.slice(from, to).map(name);
    const order = pick(this.chance, 4);
    if (order < 2) names.reverse();
    else if (order === 2) names.sort();
    const change: KvChange = { kind: "removed", tier: this.#tier(), group: 0, hashes: BigUint64Array.from(names) };
    this.#both((index) => index.apply(slot, change));
  }

  #match(): void {
    const asked = prompt(this.#sequences.path());
    this.#both((index) => {
      const overlaps = createOverlaps(this.flat.slots + 3);
      overlaps.device.fill(9, 0, this.flat.slots);
      index.match(asked, overlaps);
      return overlaps;
    });
  }

  #expect(slot: number): void {
    const untilMs = this.#nowMs + 1 + pick(this.chance, 30);
    const asked = prompt(this.#sequences.path());
    this.#both((index) => index.expect(slot, asked, untilMs));
  }

  #expire(): void {
    this.#nowMs += pick(this.chance, 10);
    this.#both((index) => index.expire(this.#nowMs));
  }

  #die(): void {
    const at = pick(this.chance, this.#slots.length);
    this.#both((index) => index.leave(this.#slots[at]!));
    this.#slots[at] = this.#both((index) => index.join());
  }

  compare(): void {
    this.#both((index) => [index.entries, index.expected, index.slots]);
    for (const slot of this.#slots) {
      this.#both((index) => [...KV_TIERS.map((tier) => index.held(slot, tier)), index.heldAnywhere(slot)]);
    }
  }

  /** When all are gone nothing is left. */
  end(): void {
    this.compare();
    for (const slot of this.#slots) this.#both((index) => index.leave(slot));
    this.#both((index) => [index.entries, index.expected]);
    expect(this.run.known).toEqual({ blocks: 0, runs: 0 });
  }
}

const KINDS = [
  { holders: 5, isMixed: false, depth: 30 },
  { holders: 70, isMixed: false, depth: 60 },
  { holders: 9, isMixed: true, depth: 40 },
  { holders: 3, isMixed: false, depth: 2500 },
] as const;

test("whatever it is told, it answers as a flat table does", () => {
  for (let seed = 0; seed < rounds; seed++) {
    for (const [kind, options] of KINDS.entries()) {
      const pair = new Pair(seed * 10 + kind, options);
      const steps = options.depth > 1000 ? 100 : 1600;
      for (let step = 0; step < steps; step++) {
        try {
          pair.step();
        } catch (error) {
          throw new Error(`seed ${seed}, kind ${kind}, step ${step}`, { cause: error });
        }
      }
      pair.end();
    }
  }
}, 3_600_000);
