import { expect, it } from "vitest";
import { pick, SeededChance } from "./chance.ts";
import { Roster } from "./collections.ts";
import { NumberMap } from "./number-map.ts";

it("a number map is a Map by number, whatever comes and goes", () => {
  for (const seed of [1n, 2n, 3n]) {
    const chance = new SeededChance(seed);
    const map = new NumberMap<string>();
    const naive = new Map<number, string>();
    const span = seed === 1n ? 40 : 4_294_967_296;
    const known: number[] = [];
    for (let round = 0; round < 5000; round++) {
      const key = chance.next() < 0.5 && known.length > 0 ? known[pick(chance, known.length)]! : pick(chance, span);
      known[round % 200] = key;
      const kind = chance.next();
      if (kind < 0.5) {
        map.set(key, `${round}`);
        naive.set(key, `${round}`);
      } else if (kind < 0.95) expect(map.delete(key)).toBe(naive.delete(key));
      else if (kind > 0.999) {
        map.clear();
        naive.clear();
      }
      expect([map.size, map.has(key), map.get(key)]).toEqual([naive.size, naive.has(key), naive.get(key)]);
    }
    expect(map.values().sort()).toEqual([...naive.values()].sort());
  }
});

it("a roster holds what is in it, each once", () => {
  const chance = new SeededChance(5n);
  const roster = new Roster<{ rosterAt: number }>();
  const items = Array.from({ length: 30 }, () => ({ rosterAt: -1 }));
  const naive = new Set<object>();
  for (let round = 0; round < 2000; round++) {
    const item = items[pick(chance, items.length)]!;
    expect(roster.has(item)).toBe(naive.has(item));
    if (naive.has(item)) {
      expect(roster.delete(item)).toBe(true);
      expect(roster.delete(item)).toBe(false);
      naive.delete(item);
    } else {
      roster.add(item);
      naive.add(item);
    }
    expect(new Set(roster.snapshot())).toEqual(naive);
    expect(roster.size).toBe(naive.size);
  }
});
