import { pick, type SeededChance } from "#lib/base/chance";
import type { KvChange, KvTier } from "#lib/kv/event";
import type { PromptBlocks } from "#lib/routing/index/prefix-index";

/** A block of the sequences that a test is made of. */
export interface Node {
  readonly content: bigint;
  readonly name: bigint;
  readonly kids: Node[];
}

/** Sequences that share beginnings. */
export class Sequences {
  readonly #chance: SeededChance;
  readonly #root: Node = { content: 0n, name: 0n, kids: [] };
  readonly #depth: number;

  constructor(chance: SeededChance, depth: number) {
    this.#chance = chance;
    this.#depth = depth;
  }

  /** One of them, most of it known from others. */
  path(): Node[] {
    const path: Node[] = [];
    const length = 1 + pick(this.#chance, this.#depth);
    for (let node = this.#root; path.length < length; ) {
      const isNew = node.kids.length === 0 || (node.kids.length < 4 && pick(this.#chance, 25) === 0);
      if (isNew) node.kids.push({ content: this.#chance.id(), name: this.#chance.id(), kids: [] });
      node = node.kids[pick(this.#chance, 4) === 0 ? pick(this.#chance, node.kids.length) : 0]!;
      path.push(node);
    }
    return path;
  }
}

/** A prompt whose hashes are there. */
export function prompt(path: readonly Node[]): PromptBlocks {
  const contents = BigUint64Array.from(path, (node) => node.content);
  return { length: path.length, hashed: path.length, contents: () => contents };
}

/** What tells that blocks are stored. */
export function stored(
  tier: KvTier,
  parent: bigint | undefined,
  nodes: readonly Node[],
  name: (node: Node) => bigint,
): KvChange {
  const hashes = BigUint64Array.from(nodes, name);
  const contents = BigUint64Array.from(nodes, (node) => node.content);
  return { kind: "stored", tier, group: 0, parent, hashes, contents, adapter: undefined, saltNamespace: 0n, media: [] };
}
