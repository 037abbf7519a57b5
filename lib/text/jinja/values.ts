import { content, type Marked, type Text } from "./marked.ts";

/**
 * A value of a template, as Python has it. Whole numbers are ints: `bigint` beyond 2^53, `number` otherwise; a number with
 * a fraction (or infinite, or NaN) is a float, and a float without one is a `Float`.
 */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | Text
  | Float
  | Undefined
  | Tuple
  | Dict
  | Namespace
  | Iter
  | View
  | Range
  | Callable
  | Attributes
  | readonly Value[];

/** A float whose value is whole, such as `1.0`. */
export class Float {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

/** What is not there. It is false, empty and prints as nothing; all else that is done with it is an error. */
export class Undefined {
  /** What is said of it when it is used. */
  readonly detail: string;

  constructor(detail: string) {
    this.detail = detail;
  }
}

/** Values that nothing changes, in parentheses. */
export class Tuple {
  readonly items: readonly Value[];

  constructor(items: readonly Value[]) {
    this.items = items;
  }
}

/** Whatever counts as the same key has the same name here: a string is itself, and `1`, `1.0` and `True` are one key. */
export type KeyName = string | number | bigint | null;

/** Keys and values in the order in which keys came. */
export class Dict {
  /** By name of the key. */
  readonly #entries = new Map<KeyName, Value>();
  /** Keys that are not their own names. */
  #keys: Map<KeyName, Value> | undefined;
  readonly #isContent: boolean;

  /** @param isContent it came with the request, and so did its keys, which are strings */
  constructor(isContent = false) {
    this.#isContent = isContent;
  }

  get size(): number {
    return this.#entries.size;
  }

  has(name: KeyName): boolean {
    return this.#entries.has(name);
  }

  get(name: KeyName): Value | undefined {
    return this.#entries.get(name);
  }

  /** The first form of a key stays, the last value counts. */
  set(name: KeyName, key: Value, value: Value): void {
    if (key !== name && !this.#entries.has(name)) {
      this.#keys ??= new Map();
      this.#keys.set(name, key);
    }
    this.#entries.set(name, value);
  }

  keys(): Value[] {
    return [...this.#entries.keys()].map((name) => this.#keyOf(name));
  }

  values(): Value[] {
    return [...this.#entries.values()];
  }

  /** Pairs of key and value. */
  items(): [Value, Value][] {
    return [...this.#entries].map(([name, value]) => [this.#keyOf(name), value]);
  }

  #keyOf(name: KeyName): Value {
    if (this.#isContent && typeof name === "string") return content(name);
    const key = this.#keys?.get(name);
    return key === undefined ? name : key;
  }
}

/** What `namespace()` makes: the one thing whose attributes a template may set. */
export class Namespace {
  readonly values = new Map<string, Value>();
}

/** A value with attributes that are computed when they are read, such as `loop`. */
export class Attributes {
  /** How it prints. */
  readonly name: string;
  readonly read: (name: string) => Value | undefined;
  readonly call: ((args: Args) => Value) | undefined;

  constructor(name: string, read: (name: string) => Value | undefined, call?: (args: Args) => Value) {
    this.name = name;
    this.read = read;
    this.call = call;
  }
}

/** What a generator yields: it can be gone through once, has no length, and is true. */
export class Iter {
  #items: readonly Value[];

  constructor(items: readonly Value[]) {
    this.#items = items;
  }

  /** All that is left; nothing is left behind. */
  take(): readonly Value[] {
    const items = this.#items;
    this.#items = [];
    return items;
  }

  /** The next one, if there is one. */
  next(): Value | undefined {
    const [first, ...rest] = this.#items;
    this.#items = rest;
    return first;
  }
}

/** Keys, values or items of a dict. */
export class View {
  readonly kind: "dict_keys" | "dict_values" | "dict_items";
  readonly items: readonly Value[];

  constructor(kind: View["kind"], items: readonly Value[]) {
    this.kind = kind;
    this.items = items;
  }
}

/** Python's `range`. */
export class Range {
  readonly start: number;
  readonly stop: number;
  /** Not 0. */
  readonly step: number;

  constructor(start: number, stop: number, step: number) {
    this.start = start;
    this.stop = stop;
    this.step = step;
  }

  get length(): number {
    return Math.max(0, Math.ceil((this.stop - this.start) / this.step));
  }

  at(index: number): number {
    return this.start + index * this.step;
  }

  items(): number[] {
    return Array.from({ length: this.length }, (_, index) => this.at(index));
  }
}

/** The rendering as a call sees it: what it may take, and what a name means in it. */
export interface Rendering {
  /** Filters and tests, which are found when they are needed. */
  readonly names: Names;
  /** Takes steps; ends the rendering where there are no more. */
  spend(steps: number): void;
  /** Takes room for a string of this length in UTF-16 units, before it is made. */
  room(length: number): void;
}

/** What a call brings. */
export interface Args {
  /** The rendering that calls. */
  readonly run: Rendering;
  /** In order. */
  readonly values: readonly Value[];
  /** By name; undefined where there are none. */
  readonly named: ReadonlyMap<string, Value> | undefined;
}

/** What stands behind a bar: the value before it, then what stands in its parentheses. */
export type Filter = (value: Value, args: Args) => Value;
/** What stands behind `is`: the value before it, then its argument. */
export type Test = (value: Value, args: Args) => boolean;
/** A method of a type: what it is called on, then what the call brings. */
export type Method<Self> = (self: Self, args: Args) => Value;

/** What is found by its name while a template is rendered. */
export interface Names {
  /** By name of a filter. */
  readonly filters: Readonly<Record<string, Filter>>;
  /** By name of a test. */
  readonly tests: Readonly<Record<string, Test>>;
  /** `value.name`. */
  readonly attribute: (value: Value, name: string) => Value;
  /** `value[key]`. */
  readonly item: (value: Value, key: Value) => Value;
}

/** A function, a method of a value, or a macro. */
export class Callable {
  readonly name: string;
  readonly call: (args: Args) => Value;
  /** It prints; of others Python prints an address. */
  readonly isMacro: boolean;

  constructor(name: string, call: (args: Args) => Value, isMacro = false) {
    this.name = name;
    this.call = call;
    this.isMacro = isMacro;
  }
}

/** What ends a rendering: a sentence of Python or of ours. It becomes INVALID_TEMPLATE where the rendering was asked for. */
export class Fault extends Error {}

/** Ends the rendering. */
export function fault(detail: string): never {
  throw new Fault(detail);
}

/** A value, or another where there is none; None is a value. */
export function orElse(value: Value | undefined, other: () => Value): Value {
  return value === undefined ? other() : value;
}

/** Python's name of a value's type. */
export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  switch (typeof value) {
    case "boolean":
      return "bool";
    case "bigint":
      return "int";
    case "number":
      return Number.isInteger(value) ? "int" : "float";
    case "string":
      return "str";
    default:
      return nameOfObject(value);
  }
}

function nameOfObject(value: Exclude<Value, null | boolean | number | bigint | string>): string {
  if (value instanceof Float) return "float";
  if (value instanceof Tuple) return "tuple";
  if (value instanceof Dict) return "dict";
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Range) return "range";
  if (value instanceof View) return value.kind;
  if (value instanceof Iter) return "generator";
  if (value instanceof Namespace) return "Namespace";
  if (value instanceof Callable) return "function";
  if (value instanceof Attributes) return value.name;
  return isText(value) ? "str" : "list";
}

/** Whether a value is a string. */
export function isText(value: unknown): value is Text {
  return typeof value === "string" || (value as Marked | null)?.isMarked === true;
}

/** Whether a value is a list. */
export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}
