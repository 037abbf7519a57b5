import { type BlockStored, type KvBlockHash, type KvEvent, StorageMedium } from "#gen/openengine/v1/kv_pb";
import { printHex } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import type { KvNotice } from "../engine.ts";
import { contractFault } from "./faults.ts";

/** What is known of a block that the engine holds. */
interface Known {
  /** Its sequence hash under our scheme. */
  readonly hash: bigint;
  /** What the engine says is in its name beside tokens, and in that of every block behind it; empty: nothing. */
  readonly key: string;
  /** The salt that it stands for. */
  readonly salt: string;
  readonly adapter: string | undefined;
}

/**
 * Gives the engine's blocks the names of our scheme, which are made of their tokens: what an engine calls them is its own.
 * Blocks of which that cannot be told are left out, and all behind them: those in other memory than the device's, of other
 * groups of layers, of another size, or with keys in their names that are no salt.
 */
export class KvNames {
  readonly #blockTokens: number;
  readonly #mostBlocks: number;
  readonly #hasher = new TokenHasher();
  readonly #saltOf: (key: string) => string | undefined;
  readonly #known = new Map<string, Known>();

  /** @param saltOf the salt that a key stands for; undefined when that is not known */
  constructor(blockTokens: number, mostBlocks: number, saltOf: (key: string) => string | undefined) {
    this.#blockTokens = blockTokens;
    this.#mostBlocks = mostBlocks;
    this.#saltOf = saltOf;
  }

  /** Blocks that are known. */
  get size(): number {
    return this.#known.size;
  }

  /** Forgets all; undefined when nothing was known. */
  clear(): KvNotice | undefined {
    if (this.#known.size === 0) return undefined;
    this.#known.clear();
    return { kind: "cleared" };
  }

  /** What an event tells; undefined when nothing of it concerns us. Throws ENGINE_FAILED for one that contradicts itself, LIMIT. */
  read({ event }: KvEvent): KvNotice | undefined {
    switch (event.case) {
      case "blockStored":
        return isOurs(event.value) ? this.#store(event.value) : undefined;
      case "blockRemoved":
        return isOurs(event.value) ? this.#remove(event.value.blockHashes) : undefined;
      case "allBlocksCleared":
        return this.clear();
      default:
        return undefined;
    }
  }

  #store(stored: BlockStored): KvNotice | undefined {
    const { blockHashes, tokenIds, blockSize, extraKeys } = stored;
    const blocks = blockHashes.length;
    if (tokenIds.length !== blocks * blockSize) {
      throw contractFault(`${blocks} blocks of ${blockSize} tokens came with ${tokenIds.length} tokens`);
    }
    if (extraKeys.length !== 0 && extraKeys.length !== blocks) {
      throw contractFault(`${blocks} blocks came with ${extraKeys.length} keys`);
    }
    if (blocks === 0 || blockSize !== this.#blockTokens) return undefined;
    const before = this.#before(stored);
    if (!before) return undefined;
    if (this.#known.size + blocks > this.#mostBlocks) {
      throw new StatorError("LIMIT", { what: "Blocks that an engine tells of", limit: this.#mostBlocks });
    }
    const tokens = Uint32Array.from(tokenIds);
    const hashes = this.#hash(tokens, before);
    const { key, salt, adapter } = before;
    const names = blockHashes.map(keyOf);
    const firstNew = names.findIndex((name) => !this.#known.has(name));
    for (const [at, hash] of hashes.entries()) this.#known.set(names[at]!, { hash, key, salt, adapter });
    // What was stored before is not told again.
    if (firstNew === -1) return undefined;
    const parent = firstNew === 0 ? before.parent : hashes[firstNew - 1];
    const news = { hashes: hashes.slice(firstNew), tokens: tokens.slice(firstNew * blockSize) };
    return { kind: "stored", parent, ...news, cacheSalt: salt, adapter };
  }

  /** What the first block follows, and what is in its name beside tokens; undefined where that cannot be told. */
  #before({ parentBlockHash, extraKeys, loraName }: BlockStored) {
    const keys = extraKeys.map(({ values }) => values);
    const isOther = (key: string) => keys.some((values) => values.some((value) => value !== key));
    if (parentBlockHash) {
      const parent = this.#known.get(keyOf(parentBlockHash));
      return parent && !isOther(parent.key) ? { ...parent, parent: parent.hash } : undefined;
    }
    // A salt stands in the name of the first block, and through it in those of the rest.
    const [[key = "", ...more] = []] = keys;
    if (more.length > 0 || isOther(key)) return undefined;
    const salt = key === "" ? "" : this.#saltOf(key);
    return salt === undefined
      ? undefined
      : { parent: undefined, key, salt, adapter: loraName === "" ? undefined : loraName };
  }

  #hash(
    tokens: Uint32Array,
    { parent, salt, adapter }: { parent: bigint | undefined; salt: string; adapter: string | undefined },
  ) {
    const count = tokens.length / this.#blockTokens;
    const seed = hashSeed(salt, adapter);
    const local = new BigUint64Array(count + 1);
    const sequence = new BigUint64Array(count + 1);
    if (parent === undefined) {
      this.#hasher.hashBlocks(tokens, this.#blockTokens, seed, local, sequence);
      return sequence.slice(0, count);
    }
    // The chain goes on behind the parent, which takes the first place.
    this.#hasher.hashBlocks(tokens, this.#blockTokens, seed, local.subarray(1), sequence.slice(1));
    sequence[0] = parent;
    this.#hasher.chainRange(local, { from: 1, to: count + 1 }, sequence);
    return sequence.slice(1);
  }

  #remove(blockHashes: readonly KvBlockHash[]): KvNotice | undefined {
    const hashes: bigint[] = [];
    for (const name of blockHashes) {
      const key = keyOf(name);
      const known = this.#known.get(key);
      if (!known) continue;
      this.#known.delete(key);
      hashes.push(known.hash);
    }
    return hashes.length === 0 ? undefined : { kind: "removed", hashes: BigUint64Array.from(hashes) };
  }
}

function isOurs({ medium, groupIdx }: Pick<BlockStored, "medium" | "groupIdx">): boolean {
  return groupIdx === 0 && (medium === StorageMedium.UNSPECIFIED || medium === StorageMedium.GPU);
}

/** A name as it came, to the bit: numbers beyond 2^53 stay what they are. */
function keyOf({ value, encoding }: KvBlockHash): string {
  return `${encoding}:${printHex(value)}`;
}
