import { assert } from "#lib/base/errors";

/** Memory beyond what is there: a part of so many. */
const ROOM_SHARE = 8;

/**
 * Token ids that prompts begin with, each a little longer than the one before. They share the memory: a prompt is a view
 * of the first so many, and what was written once stays as it is.
 */
export class TokenLine {
  #memory: Uint32Array;
  #length: number;

  /** Takes `ids` and the room behind them in their buffer. */
  constructor(ids: Uint32Array) {
    assert(ids.byteOffset === 0, "the ids of a line begin its memory");
    this.#memory = new Uint32Array(ids.buffer);
    this.#length = ids.length;
  }

  /** Ids that were written. */
  get length(): number {
    return this.#length;
  }

  /** With the room that it has. */
  get bytes(): number {
    return this.#memory.byteLength;
  }

  /** The first so many ids; nobody may write to them. */
  first(count: number): Uint32Array {
    return this.#memory.subarray(0, count);
  }

  /** Goes on with `more` behind the first `at` ids. Answers false, and changes nothing, where others stand there. */
  extend(at: number, more: Uint32Array): boolean {
    const known = Math.min(this.#length - at, more.length);
    for (let each = 0; each < known; each++) if (this.#memory[at + each] !== more[each]) return false;
    const length = at + more.length;
    if (length > this.#memory.length) this.#grow(length);
    if (length > this.#length) {
      this.#memory.set(more.subarray(known), at + known);
      this.#length = length;
    }
    return true;
  }

  /** A line of its own that begins with the first `at` ids and goes on with `more`. */
  fork(at: number, more?: Uint32Array): TokenLine {
    const length = at + (more?.length ?? 0);
    const memory = new Uint32Array(more ? withRoom(length) : length);
    memory.set(this.first(at));
    if (more) memory.set(more, at);
    return new TokenLine(memory.subarray(0, length));
  }

  /** What was written is copied: prompts keep the memory that they are views of. */
  #grow(length: number): void {
    const memory = new Uint32Array(withRoom(length));
    memory.set(this.first(this.#length));
    this.#memory = memory;
  }
}

function withRoom(count: number): number {
  return count + Math.floor(count / ROOM_SHARE);
}
