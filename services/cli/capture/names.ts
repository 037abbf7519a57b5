import { createHmac, randomBytes } from "node:crypto";
import { BoundedCache } from "#lib/base/collections";

/** Name of a block or a session in a file of captured requests. */
export type Name = number | string;

/** Gives blocks and sessions names that tell nothing of what is in them: equal ones have equal names. */
export interface Names {
  /** Of a complete block of some weights, by its sequence hash. */
  block(weights: string, hash: bigint): Name;
  /** Of a block that nobody compares with others: a new one each time. */
  lone(): Name;
  /** Of a session, by its hash. */
  session(hash: bigint): string;
  /** Names that were forgotten: what comes again under a new one is taken to share nothing. */
  readonly forgotten: number;
}

/** Numbers in the order in which they are asked for: names of one file, that say nothing beside others. */
export class NumberedNames implements Names {
  readonly #blocks: BoundedCache<bigint, number>;
  readonly #sessions: BoundedCache<bigint, number>;
  readonly #weights = new Map<string, bigint>();
  #next = 0;
  #nextSession = 1;
  #forgotten = 0;

  /** `most`: blocks that are remembered, and as many sessions. */
  constructor(most: number) {
    const onEvict = () => void this.#forgotten++;
    this.#blocks = new BoundedCache(most, onEvict);
    this.#sessions = new BoundedCache(most, onEvict);
  }

  get forgotten(): number {
    return this.#forgotten;
  }

  block(weights: string, hash: bigint): number {
    const key = hash ^ this.#spread(weights);
    const known = this.#blocks.get(key);
    if (known !== undefined) return known;
    this.#blocks.set(key, this.#next, 1);
    return this.#next++;
  }

  lone(): number {
    return this.#next++;
  }

  session(hash: bigint): string {
    const number = this.#sessions.get(hash) ?? this.#nextSession++;
    this.#sessions.set(hash, number, 1);
    return String(number);
  }

  /** Keeps the blocks of each weights apart: no more words than a fleet has models. */
  #spread(weights: string): bigint {
    const known = this.#weights.get(weights);
    if (known !== undefined) return known;
    const spread = BigInt.asUintN(64, BigInt(this.#weights.size) * 0x9e37_79b9_7f4a_7c15n);
    this.#weights.set(weights, spread);
    return spread;
  }
}

/** Bytes of a name under a salt: 64 bits, as hashes of blocks have. */
const NAME_BYTES = 8;

/** Keyed hashes (HMAC-SHA-256, cut to 64 bits): the same in every file under the same salt, and nothing to whoever lacks it. */
export class SaltedNames implements Names {
  readonly #salt: string;
  readonly forgotten = 0;

  constructor(salt: string) {
    this.#salt = salt;
  }

  block(weights: string, hash: bigint): string {
    return this.#name(`block\0${weights}`, hash);
  }

  lone(): string {
    return randomBytes(NAME_BYTES).toString("hex");
  }

  session(hash: bigint): string {
    return this.#name("session", hash);
  }

  #name(kind: string, hash: bigint): string {
    const hmac = createHmac("sha256", this.#salt).update(`${kind}\0${hash}`).digest();
    return hmac.subarray(0, NAME_BYTES).toString("hex");
  }
}
