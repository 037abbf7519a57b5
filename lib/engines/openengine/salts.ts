import { printId } from "#lib/base/bytes";
import { xxh3 } from "#lib/tokens/xxh3";

/** Salts that are remembered: those asked for last. */
const MOST_SALTS = 1_024;

/** The salts of the requests that went to an engine, by the names that engines give them in events of their cache. */
export class Salts {
  readonly #isNamed: boolean;
  readonly #most: number;
  readonly #byName = new Map<string, string>();

  /** @param isNamed an engine of ours: its events name a salt and do not tell it */
  constructor(isNamed: boolean, most = MOST_SALTS) {
    this.#isNamed = isNamed;
    this.#most = most;
  }

  /** A request with this salt goes there. */
  note(salt: string): void {
    if (!this.#isNamed || salt === "") return;
    const name = printId(xxh3(new TextEncoder().encode(salt), 1n));
    this.#byName.delete(name);
    this.#byName.set(name, salt);
    if (this.#byName.size <= this.#most) return;
    for (const oldest of this.#byName.keys()) {
      this.#byName.delete(oldest);
      return;
    }
  }

  /** The salt that a key stands for; undefined for one that nobody asked for here lately. */
  of(key: string): string | undefined {
    return this.#isNamed ? this.#byName.get(key) : key;
  }
}
