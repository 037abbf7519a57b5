/** Counts the buffers that are made while something runs. */
export interface LargeBuffers {
  /** Those of at least so many bytes, since it was opened. */
  readonly count: number;
  /** Counts no more. */
  close(): void;
}

const MAKERS = ["alloc", "allocUnsafe", "allocUnsafeSlow", "concat", "from"] as const;

/**
 * Counts buffers of JavaScript of at least so many bytes in this process, by whatever they are made, and copies by `slice`.
 * A payload cannot be copied whole without one. What is read from a socket comes in pieces and is not counted.
 */
export function countLargeBuffers(bytes: number): LargeBuffers {
  let count = 0;
  let depth = 0;
  const closes: (() => void)[] = [];
  const watch = (holder: object, name: string): void => {
    const original: unknown = Reflect.get(holder, name);
    if (typeof original !== "function") throw new Error(`there is no ${name}`);
    const own = Object.getOwnPropertyDescriptor(holder, name);
    const counting = function (this: unknown, ...given: unknown[]): unknown {
      depth++;
      try {
        const made: unknown = Reflect.apply(original, this, given);
        // One makes its buffer by another; a view of what is there is none.
        if (depth === 1 && made instanceof Uint8Array && made.byteLength >= bytes && !isView(made, given)) count++;
        return made;
      } finally {
        depth--;
      }
    };
    Object.defineProperty(holder, name, { value: counting, configurable: true, writable: true });
    closes.push(() => (own ? Object.defineProperty(holder, name, own) : Reflect.deleteProperty(holder, name)));
  };
  for (const name of MAKERS) watch(Buffer, name);
  watch(Uint8Array.prototype, "slice");
  return {
    get count() {
      return count;
    },
    close() {
      for (const close of closes.reverse()) close();
    },
  };
}

function isView(made: Uint8Array, [given]: readonly unknown[]): boolean {
  return given === made.buffer;
}
