/** Token ids that only ever grow. Views of what is in it stay right: nothing that was appended changes. */
export class TokenBuffer {
  #tokens: Uint32Array;
  #count = 0;

  /** `expected` is the usual most; the buffer grows by doubling, beyond it too. */
  constructor(expected: number) {
    this.#tokens = new Uint32Array(Math.max(4, Math.min(expected, 32)));
  }

  get count(): number {
    return this.#count;
  }

  /** Copies tokens[start] to tokens[end - 1] behind what is there, and returns a view of the copy. */
  append(tokens: Uint32Array, start: number, end: number): Uint32Array {
    const from = this.#count;
    const until = from + end - start;
    if (until > this.#tokens.length) {
      const bigger = new Uint32Array(Math.max(until, this.#tokens.length * 2));
      bigger.set(this.#tokens.subarray(0, from));
      this.#tokens = bigger;
    }
    const own = this.#tokens;
    for (let at = start; at < end; at++) own[from + at - start] = tokens[at] as number;
    this.#count = until;
    return own.subarray(from, until);
  }

  /** A view of everything. */
  all(): Uint32Array {
    return this.#tokens.subarray(0, this.#count);
  }
}
