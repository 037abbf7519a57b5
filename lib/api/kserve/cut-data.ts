import { stringEnd } from "../json-bounds.ts";
import { jsonText } from "../json-members.ts";

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
/** Opening and closing brackets of lists and objects differ from each other in this bit alone. */
const OBJECT = 0x20;
const EMPTY_LIST = Buffer.from("[]");

/** A body without the numbers of its tensors, and where they are. */
export interface CutBody {
  /** The text with an empty list for the `data` of each input: its own pieces, one after the other. Borrowed. */
  readonly rest: readonly Uint8Array[];
  /** The list that stood there, brackets included, by the place of the input in its list. Borrowed. */
  readonly data: ReadonlyMap<number, Uint8Array>;
}

/**
 * Cuts what is long out of the JSON text of an inference request: the lists at `inputs[i].data`. What is left is short
 * whatever the tensors hold, and goes through the parser; the lists are read from their bytes. Costs a nanosecond or two
 * per byte. A list is cut at its last bracket, whatever stands between; whether the text is JSON is for both readers to see.
 */
export function cutData(bytes: Uint8Array): CutBody {
  const walk = new Walk();
  const rest: Uint8Array[] = [];
  let from = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE) {
      const start = at;
      at = stringEnd(bytes, at + 1);
      walk.text(bytes, start, at + 1);
    } else if (byte === COLON) walk.colon();
    else if (byte === COMMA) walk.comma();
    else if (byte === OPEN_LIST && walk.isData) {
      const end = listEnd(bytes, at);
      rest.push(bytes.subarray(from, at), EMPTY_LIST);
      // Of a list without an end the parser need not see the brackets, which may be many: what is left has no end either.
      if (end === undefined) return { rest, data: walk.data };
      walk.data.set(walk.input, bytes.subarray(at, end));
      from = end;
      at = end - 1;
    } else if ((byte | OBJECT) === 0x7b) walk.open(byte === OPEN_LIST);
    else if ((byte | OBJECT) === 0x7d) walk.close();
  }
  rest.push(bytes.subarray(from));
  return { rest, data: walk.data };
}

/** Behind the bracket that closes the list at `from`; undefined where none does. */
function listEnd(bytes: Uint8Array, from: number): number | undefined {
  let open = 0;
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) at = stringEnd(bytes, at + 1);
    else if (byte === OPEN_LIST) open++;
    else if (byte === CLOSE_LIST && --open === 0) return at + 1;
  }
  return undefined;
}

/** Levels of brackets: in the body, in the list of inputs, in one input. */
const BODY = 1;
const INPUTS = 2;
const INPUT = 3;

/** Knows where in the body it is, as far as that takes the names of its members. */
class Walk {
  /** The last of those with one place counts, as for JSON.parse. */
  readonly data = new Map<number, Uint8Array>();
  /** Place of the input in its list. */
  input = 0;
  #open = 0;
  /** Inside the list of inputs. */
  #inputs = false;
  /** Member at the level of the body, and of an input; empty before the colon of the next. */
  readonly #names = ["", "", "", ""];
  readonly #valued = [false, false, false, false];

  /** The next value is the data of an input. */
  get isData(): boolean {
    return this.#open === INPUT && this.#inputs && this.#valued[INPUT]! && this.#names[INPUT] === "data";
  }

  text(bytes: Uint8Array, start: number, end: number): void {
    const level = this.#open;
    if ((level !== BODY && level !== INPUT) || this.#valued[level]) return;
    // A name that is longer in its text than any that counts could be, every unit escaped.
    this.#names[level] = end - start > 40 ? "" : nameOf(bytes.subarray(start, end));
  }

  colon(): void {
    if (this.#open <= INPUT) this.#valued[this.#open] = true;
  }

  comma(): void {
    if (this.#open <= INPUT) this.#valued[this.#open] = false;
    if (this.#open === INPUTS && this.#inputs) this.input++;
  }

  open(isList: boolean): void {
    if (this.#open === BODY && isList && this.#valued[BODY] && this.#names[BODY] === "inputs") {
      this.#inputs = true;
      this.input = 0;
      this.data.clear();
    }
    this.#open++;
    if (this.#open <= INPUT) {
      this.#valued[this.#open] = false;
      this.#names[this.#open] = "";
    }
  }

  close(): void {
    if (this.#open === INPUTS) this.#inputs = false;
    if (this.#open > 0) this.#open--;
  }
}

/** The text of a string; empty when it is none. */
function nameOf(json: Uint8Array): string {
  const text = jsonText(json);
  if (!json.includes(BACKSLASH)) return text.slice(1, -1);
  try {
    return JSON.parse(text) as string;
  } catch {
    return "";
  }
}
