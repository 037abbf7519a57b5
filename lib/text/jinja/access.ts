import { keyName } from "./key-name.ts";
import { concat, cut, plain, type Text } from "./marked.ts";
import { LIST_METHODS, MAPPING_METHODS, NUMBER_METHODS, TUPLE_METHODS } from "./methods.ts";
import { index, isInt, isNumber } from "./numbers.ts";
import { characters, refuseUndefined } from "./operators.ts";
import { repr } from "./print.ts";
import { textLength, unitAt } from "./text-length.ts";
import { TEXT_METHODS } from "./text-methods.ts";
import {
  type Args,
  Attributes,
  Callable,
  Dict,
  fault,
  isList,
  isText,
  type Method,
  Namespace,
  orElse,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** Methods that change their value; the sandbox does not let them be called. */
const CHANGING = new Set([
  "append",
  "clear",
  "extend",
  "insert",
  "pop",
  "popitem",
  "remove",
  "reverse",
  "setdefault",
  "sort",
  "update",
]);

/** `value.name`: an attribute, else an item; undefined where there is neither. */
export function attribute(value: Value, name: string): Value {
  const own = attributeOf(value, name);
  if (own !== undefined) return own;
  if (value instanceof Dict) return orElse(value.get(name), () => missing(value, name));
  return missing(value, name);
}

/** Reads `value.name` for a name that stands in a template: most are items of a dict, and no method of one. */
export function attributeReader(name: string): (value: Value) => Value {
  const isItem = !own(MAPPING_METHODS, name) && !CHANGING.has(name);
  return (value) => {
    const found = isItem && value instanceof Dict ? value.get(name) : undefined;
    return found === undefined ? attribute(value, name) : found;
  };
}

/** `value[key]`: an item, else an attribute; undefined where there is neither. */
export function item(value: Value, key: Value): Value {
  refuseUndefined(value);
  const found = itemOf(value, key);
  if (found !== undefined) return found;
  if (isText(key)) return orElse(attributeOf(value, plain(key)), () => missing(value, plain(key)));
  return missing(value, plain(repr(key)));
}

function missing(value: Value, name: string): Undefined {
  return new Undefined(`'${typeName(value)} object' has no attribute '${name}'`);
}

/** An attribute alone, as Python's `getattr` finds it. */
export function attributeOf(value: Value, name: string): Value | undefined {
  if (value instanceof Dict) {
    const method = own(MAPPING_METHODS, name);
    if (method) return bound(value, name, method);
    return CHANGING.has(name) && name !== "append" ? unsafe(name, "dict") : undefined;
  }
  if (isText(value)) return methodOf(TEXT_METHODS, value, name);
  if (value instanceof Attributes) return value.read(name);
  if (value instanceof Namespace) return value.values.get(name);
  if (value instanceof Undefined) return fault(value.detail);
  if (isList(value)) return CHANGING.has(name) ? unsafe(name, "list") : methodOf(LIST_METHODS, value, name);
  if (value instanceof Tuple) return methodOf(TUPLE_METHODS, value, name);
  return isNumber(value) ? methodOf(NUMBER_METHODS, value, name) : undefined;
}

function own<Entry>(table: Readonly<Record<string, Entry>>, name: string): Entry | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

function methodOf<Self>(table: Readonly<Record<string, Method<Self>>>, self: Self, name: string): Callable | undefined {
  const method = own(table, name);
  return method && bound(self, name, method);
}

function bound<Self>(self: Self, name: string, method: Method<Self>): Callable {
  return new Callable(name, (args) => method(self, args));
}

function unsafe(name: string, type: string): Undefined {
  return new Undefined(`access to attribute '${name}' of '${type}' object is unsafe.`);
}

function itemOf(value: Value, key: Value): Value | undefined {
  if (value instanceof Dict) return isHashable(key) ? value.get(keyName(key)) : undefined;
  if (!isInt(key)) return undefined;
  const at = Number(key);
  if (isText(value)) return characterAt(value, at);
  const items = itemsOf(value);
  return items?.[at < 0 ? at + items.length : at];
}

function isHashable(key: Value): boolean {
  return !(isList(key) || key instanceof Dict);
}

/** Items that have places. */
function itemsOf(value: Value): readonly Value[] | undefined {
  if (isList(value)) return value;
  if (value instanceof Tuple) return value.items;
  return value instanceof Range ? value.items() : undefined;
}

function characterAt(text: Text, at: number): Text | undefined {
  const length = textLength(text);
  const place = at < 0 ? at + length : at;
  if (place < 0 || place >= length) return undefined;
  const chars = plain(text);
  return cut(text, unitAt(chars, place), unitAt(chars, place + 1));
}

/** The parts of a slice. */
export interface Slice {
  /** Place of the first item; null where nothing is said. */
  readonly start: Value;
  /** Place before which it ends; null where nothing is said. */
  readonly stop: Value;
  /** Places from one item to the next, backwards below 0; null where nothing is said. */
  readonly step: Value;
}

/** `value[start:stop:step]`. */
export function slice(value: Value, parts: Slice): Value {
  refuseUndefined(value);
  if (isText(value)) {
    const length = textLength(value);
    const at = places(length, parts);
    if (at.step === 1) {
      const chars = plain(value);
      return at.start >= at.stop ? "" : cut(value, unitAt(chars, at.start), unitAt(chars, at.stop));
    }
    const all = characters(value) as readonly Text[];
    return concat(pick(all, at));
  }
  if (value instanceof Range) {
    const { start, stop, step } = places(value.length, parts);
    return new Range(value.at(start), value.at(stop), value.step * step);
  }
  const items = itemsOf(value);
  if (!items) return fault(`'${typeName(value)}' object is not subscriptable`);
  const picked = pick(items, places(items.length, parts));
  return value instanceof Tuple ? new Tuple(picked) : picked;
}

interface Places {
  readonly start: number;
  readonly stop: number;
  readonly step: number;
}

/** Which places a slice of so many items takes, by Python's rules. */
function places(length: number, parts: Slice): Places {
  const what = "a slice's bound";
  const step = parts.step === null ? 1 : index(parts.step, what);
  if (step === 0) fault("slice step cannot be zero");
  const least = step < 0 ? -1 : 0;
  const most = step < 0 ? length - 1 : length;
  const bound = (value: Value, otherwise: number): number => {
    if (value === null) return otherwise;
    const at = index(value, what);
    return Math.max(least, Math.min(most, at < 0 ? at + length : at));
  };
  return { start: bound(parts.start, step < 0 ? most : least), stop: bound(parts.stop, step < 0 ? least : most), step };
}

function pick<Item>(items: readonly Item[], { start, stop, step }: Places): Item[] {
  if (step === 1) return items.slice(start, Math.max(start, stop));
  const picked: Item[] = [];
  for (let at = start; step > 0 ? at < stop : at > stop; at += step) picked.push(items[at]!);
  return picked;
}

/** Calls a value. */
export function call(value: Value, args: Args): Value {
  if (value instanceof Callable) return value.call(args);
  if (value instanceof Attributes && value.call) return value.call(args);
  refuseUndefined(value);
  return fault(`'${typeName(value)}' object is not callable`);
}

/** Whether a value can be called. */
export function isCallable(value: Value): boolean {
  // What is not there can be called, to Python, until somebody does.
  if (value instanceof Callable || value instanceof Undefined) return true;
  return value instanceof Attributes && value.call !== undefined;
}
