import { readF64 } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import type { Datatype } from "./datatypes.ts";
import { type FoundNumber, findNumber, findString } from "./json-elements.ts";
import { createNumberTensor } from "./numbers.ts";
import { elementsOf, LENGTH_BYTES, type Tensor } from "./tensor.ts";

/** A number of a tensor in memory. */
interface NumberForm {
  /** Of one element. */
  readonly bytes: number;
  /** What an element must be, as sentences have it. */
  readonly wanted: string;
  /** Writes an element, little endian; false when it does not fit. */
  readonly write: (view: DataView, at: number, value: number | bigint) => boolean;
}

function whole(bits: 8 | 16 | 32, signed: boolean): NumberForm {
  const least = signed ? -(2 ** (bits - 1)) : 0;
  const most = least + 2 ** bits - 1;
  const put: Record<typeof bits, (view: DataView, at: number, value: number) => void> = {
    8: (view, at, value) => view.setUint8(at, value),
    16: (view, at, value) => view.setUint16(at, value, true),
    32: (view, at, value) => view.setUint32(at, value, true),
  };
  const write = put[bits];
  return {
    bytes: bits / 8,
    wanted: `a whole number from ${least} to ${most}`,
    write(view, at, value) {
      if (typeof value === "bigint" || !Number.isInteger(value) || value < least || value > most) return false;
      write(view, at, value);
      return true;
    },
  };
}

function long(signed: boolean): NumberForm {
  const cut = signed ? BigInt.asIntN : BigInt.asUintN;
  return {
    bytes: 8,
    wanted: `a whole number of 64 bits${signed ? " with its sign" : ""}, written in digits`,
    write(view, at, value) {
      if (typeof value === "number" && !Number.isSafeInteger(value)) return false;
      const exact = BigInt(value);
      if (cut(64, exact) !== exact) return false;
      view.setBigUint64(at, BigInt.asUintN(64, exact), true);
      return true;
    },
  };
}

/** `beyond`: sizes from which on a number is none of the datatype any more. */
function float(bytes: 4 | 8, name: string, beyond: number): NumberForm {
  return {
    bytes,
    wanted: `a number that ${name} can hold`,
    write(view, at, given) {
      const value = Number(given);
      if (Math.abs(value) >= beyond) return false;
      if (bytes === 4) view.setFloat32(at, value, true);
      else view.setFloat64(at, value, true);
      return true;
    },
  };
}

/** A number rounds to infinity from half a step above the largest one of its datatype. */
function beyond(exponent: number, fractionBits: number): number {
  return 2 ** exponent * (2 - 2 ** -(fractionBits + 1));
}

/** What the lists of JSON hold of each datatype of numbers. */
const NUMBERS: Readonly<Record<Exclude<Datatype, "BYTES" | "BOOL">, NumberForm>> = {
  INT8: whole(8, true),
  INT16: whole(16, true),
  INT32: whole(32, true),
  INT64: long(true),
  UINT8: whole(8, false),
  UINT16: whole(16, false),
  UINT32: whole(32, false),
  UINT64: long(false),
  FP32: float(4, "FP32", beyond(127, 23)),
  FP64: float(8, "FP64", Number.POSITIVE_INFINITY),
  // Both are rounded as a whole, from a double.
  FP16: float(8, "FP16", beyond(15, 10)),
  BF16: float(8, "BF16", beyond(127, 7)),
};

/** What a list of JSON is to become. */
export interface JsonTensor extends Pick<Tensor, "datatype" | "shape"> {
  /** Where it stands, such as `inputs[0].data`. */
  readonly field: string;
}

/**
 * Reads the data of a tensor from the JSON text of its list, brackets included: flat, or nested as its shape says, row by
 * row. Returns what a tensor is in memory: little endian, a text as UTF-8 behind its length. Allocates at most four bytes
 * for each byte of the text, whatever the shape says. Throws INVALID_FIELD, which quotes nothing. The text is UTF-8.
 */
export function readJsonTensor(json: Uint8Array, tensor: JsonTensor): Uint8Array {
  const elements = elementsOf(tensor);
  // An element and what parts it from the next take two characters.
  if (!(elements <= json.length / 2)) throw lacking(tensor, elements);
  const reader = createReader(json, tensor, elements);
  const count = walkList(json, tensor, reader);
  if (count !== elements) throw wrong(tensor, `has ${count} elements; the shape says ${elements}`);
  const bytes = reader.taken();
  const { datatype, shape } = tensor;
  if (datatype !== "FP16" && datatype !== "BF16") return bytes;
  return createNumberTensor(tensor.field, datatype, { shape, numbers: readF64(bytes) }).data;
}

function wrong({ field }: JsonTensor, detail: string): StatorError {
  return new StatorError("INVALID_FIELD", { field, detail }, { param: field });
}

function lacking(tensor: JsonTensor, elements: number): StatorError {
  const said = Number.isSafeInteger(elements) ? elements : "more than can be counted";
  return wrong(tensor, `has fewer elements than its shape says, ${said}`);
}

/** Takes elements one after the other. */
interface ElementReader {
  /** Reads the element that begins at `at`; returns the end of it, or undefined when it is none. */
  element(at: number): number | undefined;
  /** What an element must be, as sentences have it. */
  readonly wanted: string;
  /** All that were read, as a tensor has them in memory. */
  taken(): Uint8Array;
}

function createReader(json: Uint8Array, { datatype }: JsonTensor, elements: number): ElementReader {
  if (datatype === "BYTES") return new TextReader(json, elements);
  if (datatype === "BOOL") return new BooleanReader(json, elements);
  return new NumberReader(json, NUMBERS[datatype], elements);
}

class NumberReader implements ElementReader {
  readonly wanted: string;
  readonly #json: Uint8Array;
  readonly #form: NumberForm;
  readonly #out: Uint8Array;
  readonly #view: DataView;
  readonly #found: FoundNumber = { end: undefined, value: 0 };
  #at = 0;

  constructor(json: Uint8Array, form: NumberForm, elements: number) {
    this.#json = json;
    this.#form = form;
    this.wanted = form.wanted;
    this.#out = new Uint8Array(elements * form.bytes);
    this.#view = new DataView(this.#out.buffer);
  }

  element(at: number): number | undefined {
    const found = this.#found;
    findNumber(this.#json, at, found);
    if (found.end === undefined) return undefined;
    // What is more than the shape says is counted, and has no place.
    if (this.#at < this.#out.length && !this.#form.write(this.#view, this.#at, found.value)) return undefined;
    this.#at += this.#form.bytes;
    return found.end;
  }

  taken(): Uint8Array {
    return this.#out;
  }
}

const TRUE = Buffer.from("true");
const FALSE = Buffer.from("false");

class BooleanReader implements ElementReader {
  readonly wanted = "true or false";
  readonly #json: Uint8Array;
  readonly #out: Uint8Array;
  #at = 0;

  constructor(json: Uint8Array, elements: number) {
    this.#json = json;
    this.#out = new Uint8Array(elements);
  }

  element(at: number): number | undefined {
    const isTrue = this.#isAt(TRUE, at);
    if (!isTrue && !this.#isAt(FALSE, at)) return undefined;
    if (isTrue && this.#at < this.#out.length) this.#out[this.#at] = 1;
    this.#at++;
    return at + (isTrue ? TRUE : FALSE).length;
  }

  #isAt(word: Uint8Array, at: number): boolean {
    return word.every((byte, index) => this.#json[at + index] === byte);
  }

  taken(): Uint8Array {
    return this.#out;
  }
}

/** Quotes of a text and the comma behind it. */
const TEXT_MARKS = 3;

class TextReader implements ElementReader {
  readonly wanted = "text of whole characters";
  readonly #json: Uint8Array;
  readonly #out: Uint8Array;
  readonly #view: DataView;
  readonly #elements: number;
  #count = 0;
  #at = 0;

  constructor(json: Uint8Array, elements: number) {
    this.#json = json;
    this.#elements = elements;
    // Escapes are longer than what they stand for.
    this.#out = new Uint8Array(json.length + elements * Math.max(0, LENGTH_BYTES - TEXT_MARKS) + LENGTH_BYTES);
    this.#view = new DataView(this.#out.buffer);
  }

  element(at: number): number | undefined {
    const found = findString(this.#json, at);
    if (!found) return undefined;
    const { end, text } = found;
    if (this.#count++ < this.#elements) {
      this.#view.setUint32(this.#at, text.length, true);
      this.#out.set(text, this.#at + LENGTH_BYTES);
      this.#at += LENGTH_BYTES + text.length;
    }
    return end;
  }

  taken(): Uint8Array {
    return this.#out.subarray(0, this.#at);
  }
}

const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Hands over every element of a list, of lists in lists in their order, and returns how many there are. */
function walkList(json: Uint8Array, tensor: JsonTensor, reader: ElementReader): number {
  const { shape } = tensor;
  const deepest = Math.max(1, shape.length);
  const isEmpty = shape.includes(0);
  /** Items so far of each list that is open. */
  const items: number[] = [];
  /** Open lists around an element; 0 before the first. */
  let around = 0;
  let count = 0;
  let at = 0;
  const space = (): void => {
    while (isSpace(json[at])) at++;
  };
  for (;;) {
    space();
    if (json[at] === OPEN_LIST) {
      at++;
      if (items.length === deepest) throw wrong(tensor, "is nested deeper than its shape");
      items.push(0);
      space();
      if (json[at] !== CLOSE_LIST) continue;
    } else {
      const end = reader.element(at);
      if (end === undefined) throw wrong(tensor, `item ${count} must be ${reader.wanted}`);
      at = end;
      if (around === 0) around = items.length;
      if (around !== items.length) throw wrong(tensor, "has lists beside elements");
      count++;
      items[items.length - 1]!++;
    }
    // Behind a value, or in a list that is empty: lists end until one goes on.
    for (space(); json[at] === CLOSE_LIST; space()) {
      at++;
      const held = items.pop();
      const level = items.length;
      const isAsSaid = around > 1 ? held === shape[level] : held !== 0 || isEmpty;
      if (!isAsSaid) throw wrong(tensor, `is not nested as its shape: a list has ${held} items`);
      if (level === 0) break;
      items[level - 1]!++;
    }
    if (items.length === 0) break;
    if (json[at] !== COMMA) throw wrong(tensor, `has no comma or bracket behind item ${count - 1}`);
    at++;
  }
  if (at !== json.length) throw wrong(tensor, "goes on behind its last bracket");
  if (around > 1 && around !== shape.length) throw wrong(tensor, "is neither flat nor nested as its shape");
  return count;
}
