import type { KvApplied, KvChange, KvKnowledge, KvSink } from "#lib/kv/event";

const NOTHING: KvApplied = { stored: 0, removed: 0, absent: 0, parentUnknown: false };

/** What one rank holds, as a set: the plainest that a sink can be. Other groups than 0 do nothing. */
export class FlatSink implements KvSink {
  /** Contents by tier and name. */
  readonly held = new Map<string, bigint>();
  /** All that it was told of how well the rank is known. */
  readonly heard: KvKnowledge[] = [];
  resets = 0;

  get knowledge(): KvKnowledge | undefined {
    return this.heard.at(-1);
  }

  /** Names of the blocks of a tier, sorted. */
  hashes(tier = "device"): bigint[] {
    const own = [...this.held.keys()].filter((key) => key.startsWith(`${tier} `));
    return own.map((key) => BigInt(key.slice(tier.length + 1))).sort((left, right) => (left < right ? -1 : 1));
  }

  apply(change: KvChange): KvApplied {
    if (change.kind === "cleared") {
      const removed = this.held.size;
      this.held.clear();
      return { ...NOTHING, removed };
    }
    if (change.group !== 0) return NOTHING;
    if (change.kind === "removed") return this.#remove(change.hashes, change.tier);
    const isOrphan = change.parent !== undefined && !this.held.has(`${change.tier} ${change.parent}`);
    if (isOrphan) return { ...NOTHING, parentUnknown: true };
    const before = this.held.size;
    for (const [at, hash] of change.hashes.entries()) this.held.set(`${change.tier} ${hash}`, change.contents[at]!);
    return { ...NOTHING, stored: this.held.size - before };
  }

  #remove(hashes: BigUint64Array, tier: string): KvApplied {
    let removed = 0;
    for (const hash of hashes) if (this.held.delete(`${tier} ${hash}`)) removed++;
    return { ...NOTHING, removed, absent: hashes.length - removed };
  }

  reset(): void {
    this.resets++;
    this.held.clear();
  }

  know(knowledge: KvKnowledge): void {
    this.heard.push(knowledge);
  }
}
