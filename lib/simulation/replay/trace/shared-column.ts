/** Arrays that a column may be. */
type Numbers = Float64Array | Uint32Array | Int32Array | Uint8Array;
type Column = Numbers | BigUint64Array;

/** Makes one over shared memory. */
type Make<Values extends Column> = new (memory: SharedArrayBuffer) => Values;

/** A column of numbers that grows, in shared memory at the end. */
export class SharedColumn<Values extends Column> {
  readonly #make: Make<Values> & { readonly BYTES_PER_ELEMENT: number };
  #values: Values;
  #length = 0;

  /** `make`: kind of the array. */
  constructor(make: Make<Values> & { readonly BYTES_PER_ELEMENT: number }) {
    this.#make = make;
    this.#values = this.#allocate(16);
  }

  /** Numbers so far. */
  get length(): number {
    return this.#length;
  }

  /** Bytes of those. */
  get bytes(): number {
    return this.#length * this.#make.BYTES_PER_ELEMENT;
  }

  /** Adds one. */
  push(value: Values[number]): void {
    this.#grow(1);
    this.#values[this.#length++] = value;
  }

  /** Adds several; copies them. */
  append(values: Values): void {
    this.#grow(values.length);
    copy(values, this.#values, this.#length);
    this.#length += values.length;
  }

  /** All of them, as long as they are. The column is not to be used any more. */
  take(): Values {
    const values = this.#allocate(this.#length);
    copy(this.#values.subarray(0, this.#length) as Values, values, 0);
    return values;
  }

  #grow(more: number): void {
    if (this.#length + more <= this.#values.length) return;
    const values = this.#allocate(Math.max(this.#length + more, 2 * this.#values.length));
    copy(this.#values, values, 0);
    this.#values = values;
  }

  #allocate(count: number): Values {
    return new this.#make(new SharedArrayBuffer(count * this.#make.BYTES_PER_ELEMENT));
  }
}

function copy<Values extends Column>(from: Values, to: Values, at: number): void {
  // Both are of one kind, which the compiler does not see.
  (to as Uint8Array).set(from as Uint8Array, at);
}
