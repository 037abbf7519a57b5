/** How many different blocks are kept, however many keep each of them. */
export class PinBook {
  readonly #keepers = new Map<bigint, number>();

  /** Different blocks. */
  get size(): number {
    return this.#keepers.size;
  }

  /** One more keeps these. */
  add(hashes: BigUint64Array): void {
    for (const hash of hashes) this.#keepers.set(hash, (this.#keepers.get(hash) ?? 0) + 1);
  }

  /** How many of these nobody keeps yet. */
  countNew(hashes: BigUint64Array): number {
    let count = 0;
    for (const hash of hashes) if (!this.#keepers.has(hash)) count++;
    return count;
  }

  /** One less keeps these. */
  remove(hashes: BigUint64Array): void {
    for (const hash of hashes) {
      const keepers = (this.#keepers.get(hash) ?? 0) - 1;
      if (keepers > 0) this.#keepers.set(hash, keepers);
      else this.#keepers.delete(hash);
    }
  }
}
