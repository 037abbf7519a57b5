import { assert } from "#lib/base/errors";

/** One prefix of a stop string. */
interface Node {
  readonly next: Map<number, Node>;
  /** Units of the prefix. */
  readonly depth: number;
  /** The longest other prefix that ends this one. */
  fail: Node | undefined;
  /** The longest stop string that ends here. */
  stop: string | undefined;
}

/** The stop strings of a request, compiled; its choices share it. */
export interface StopStrings {
  /** Where reading begins: the prefix of no units. */
  readonly root: Node;
  /** First units, for the quick way past text in which none begins. */
  readonly firsts: readonly string[];
}

function child(node: Node, unit: number): Node {
  let next = node.next.get(unit);
  if (!next) {
    next = { next: new Map(), depth: node.depth + 1, fail: undefined, stop: undefined };
    node.next.set(unit, next);
  }
  return next;
}

/** Where reading one unit leads (Aho and Corasick, 1975). */
function step(from: Node, unit: number): Node {
  let node = from;
  for (;;) {
    const next = node.next.get(unit);
    if (next) return next;
    if (!node.fail) return node;
    node = node.fail;
  }
}

/** Compiles stop strings; empty ones are left out. Costs time and memory linear in their length. */
export function compileStops(stops: readonly string[]): StopStrings {
  const root: Node = { next: new Map(), depth: 0, fail: undefined, stop: undefined };
  const wanted = stops.filter((stop) => stop !== "");
  for (const stop of wanted) {
    let node = root;
    for (let at = 0; at < stop.length; at++) node = child(node, stop.charCodeAt(at));
    node.stop = stop;
  }
  const queue = [root];
  for (const node of queue) {
    for (const [unit, next] of node.next) {
      next.fail = node === root ? root : step(node.fail ?? root, unit);
      next.stop ??= next.fail.stop;
      queue.push(next);
    }
  }
  return { root, firsts: [...new Set(wanted.map((stop) => stop.charAt(0)))] };
}

/**
 * Watches the text of one choice for stop strings. Text that may be the beginning of one is held back, so nothing of a
 * stop string ever leaks; whatever the chunks, the result is the same: the stop that is complete first ends the text,
 * the longest one where several are complete with the same character.
 */
export class StopMatcher {
  readonly #stops: StopStrings;
  readonly #include: boolean;
  #node: Node;
  /** The text behind `#node`: exactly its prefix. */
  #held = "";
  #matched: string | undefined;

  /** @param include leave the stop string at the end of the text */
  constructor(stops: StopStrings, include = false) {
    this.#stops = stops;
    this.#include = include;
    this.#node = stops.root;
  }

  /** The stop string that ended the text; after it nothing more may be pushed. */
  get matched(): string | undefined {
    return this.#matched;
  }

  /** Text that is held back, in UTF-16 units. */
  get heldUnits(): number {
    return this.#held.length;
  }

  /**
   * Takes the next text and returns what may be given out. Look at `matched` afterwards. A stop string that is complete
   * in text that is not `minded` ends nothing; one that begins there and is complete later does.
   */
  push(text: string, minded = true): string {
    assert(this.#matched === undefined, "nothing is pushed after a stop");
    if (this.#held === "" && !this.#stops.firsts.some((first) => text.includes(first))) return text;
    let node = this.#node;
    for (let at = 0; at < text.length; at++) {
      node = step(node, text.charCodeAt(at));
      if (node.stop === undefined || !minded) continue;
      this.#matched = node.stop;
      const all = this.#held + text.slice(0, at + 1);
      this.#held = "";
      return this.#include ? all : all.slice(0, all.length - node.stop.length);
    }
    this.#node = node;
    const all = this.#held + text;
    const free = all.length - node.depth;
    this.#held = all.slice(free);
    return all.slice(0, free);
  }

  /** No more text comes: returns what was held back. */
  end(): string {
    const rest = this.#held;
    this.#held = "";
    this.#node = this.#stops.root;
    return rest;
  }
}
