import { formatPercent } from "./format.ts";
import { keyName, numeric } from "./key-name.ts";
import { add, concat, cut, isMarkup, plain, type Text, withoutMarkup } from "./marked.ts";
import { calculate, isInt, isNumber } from "./numbers.ts";
import {
  Dict,
  Float,
  fault,
  Iter,
  isList,
  isText,
  Range,
  type Rendering,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

/** Python's truth of a value. */
export function truth(value: Value): boolean {
  if (typeof value === "boolean") return value;
  if (value === null || value instanceof Undefined) return false;
  if (typeof value === "string") return value !== "";
  if (typeof value === "number" || typeof value === "bigint") return value !== 0 && value !== 0n;
  if (isText(value)) return value.text !== "";
  if (isList(value)) return value.length > 0;
  if (value instanceof Dict) return value.size > 0;
  if (value instanceof Float) return value.value !== 0;
  if (value instanceof Tuple || value instanceof View) return value.items.length > 0;
  return value instanceof Range ? value.length > 0 : true;
}

/** Whether an int of any size and a double are the same number. */
function sameNumber(left: number | bigint, right: number | bigint): boolean {
  if (typeof left === typeof right) return left === right;
  return left <= right && left >= right;
}

/** Python's `==`. */
export function equal(left: Value, right: Value): boolean {
  if (isText(left)) return isText(right) && plain(left) === plain(right);
  const number = numeric(left);
  if (number !== undefined) {
    const other = numeric(right);
    return other !== undefined && sameNumber(number, other);
  }
  if (left === null || right === null) return left === right;
  if (left instanceof Undefined) return right instanceof Undefined;
  if (isList(left)) return isList(right) && sameItems(left, right);
  if (left instanceof Tuple) return right instanceof Tuple && sameItems(left.items, right.items);
  if (left instanceof Dict) return right instanceof Dict && sameEntries(left, right);
  if (left instanceof Range) return right instanceof Range && sameItems(left.items(), right.items());
  return left === right;
}

function sameItems(left: readonly Value[], right: readonly Value[]): boolean {
  return left.length === right.length && left.every((item, at) => equal(item, right[at]!));
}

function sameEntries(left: Dict, right: Dict): boolean {
  if (left.size !== right.size) return false;
  return left.items().every(([key, value]) => {
    const other = right.get(keyName(key));
    return other !== undefined && equal(value, other);
  });
}

/** Python's order of two values: negative, 0 or positive. Faults for what has none; `sign` is that of the question. */
export function order(left: Value, right: Value, sign = "<"): number {
  const [a, b] = [numeric(left), numeric(right)];
  if (a !== undefined && b !== undefined) return a < b ? -1 : a > b ? 1 : sameNumber(a, b) ? 0 : Number.NaN;
  if (isText(left) && isText(right)) return orderTexts(plain(left), plain(right));
  if (isList(left) && isList(right)) return orderItems(left, right, sign);
  if (left instanceof Tuple && right instanceof Tuple) return orderItems(left.items, right.items, sign);
  refuseUndefined(left, right);
  return fault(`'${sign}' not supported between instances of '${typeName(left)}' and '${typeName(right)}'`);
}

function orderItems(left: readonly Value[], right: readonly Value[], sign: string): number {
  for (const [at, item] of left.entries()) {
    if (at >= right.length) return 1;
    if (!equal(item, right[at]!)) return order(item, right[at]!, sign);
  }
  return left.length - right.length;
}

/** By code points, where JavaScript compares halves of them. */
function orderTexts(left: string, right: string): number {
  if (left === right) return 0;
  let at = 0;
  while (left.charCodeAt(at) === right.charCodeAt(at)) at++;
  const [a, b] = [left.charCodeAt(at), right.charCodeAt(at)];
  if (Number.isNaN(a)) return -1;
  if (Number.isNaN(b)) return 1;
  // Halves of characters beyond 0xffff lie below 0xe000 and count as above.
  const lift = (unit: number): number => (unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit);
  return lift(a) - lift(b);
}

/** Ends the rendering if one of them is not there, with what is said of it. */
export function refuseUndefined(...values: readonly Value[]): void {
  for (const value of values) if (value instanceof Undefined) fault(value.detail);
}

/** Whether a container has an item: a key, a part of a string, a value. */
export function contains(container: Value, item: Value): boolean {
  if (isText(container)) {
    if (isText(item)) return plain(container).includes(plain(item));
    refuseUndefined(item);
    return fault(`'in <string>' requires string as left operand, not ${typeName(item)}`);
  }
  if (container instanceof Dict) return container.has(keyName(item));
  return iterate(container).some((one) => equal(one, item));
}

/** What a loop goes through. Faults for what cannot be gone through. */
export function iterate(value: Value): readonly Value[] {
  if (isList(value)) return value;
  if (value instanceof Tuple || value instanceof View) return value.items;
  if (value instanceof Dict) return value.keys();
  if (value instanceof Iter) return value.take();
  if (value instanceof Range) return value.items();
  if (value instanceof Undefined) return [];
  if (isText(value)) return characters(value);
  return fault(`'${typeName(value)}' object is not iterable`);
}

/** Characters one by one, as Python counts them. */
export function characters(text: Text): readonly Value[] {
  if (typeof text === "string") return [...text];
  const all: Value[] = [];
  let at = 0;
  for (const char of text.text) {
    const piece = cut(text, at, at + char.length);
    all.push(isMarkup(piece) ? withoutMarkup(piece) : piece);
    at += char.length;
  }
  return all;
}

/** Arithmetic and what strings and lists make of its signs. */
export function operate(run: Rendering, sign: string, left: Value, right: Value): Value {
  const number = calculate(sign, left, right);
  if (number !== undefined) return number;
  if (isText(left)) {
    if (sign === "+" && isText(right)) {
      run.room(plain(left).length + plain(right).length);
      return add(left, right);
    }
    if (sign === "%") return formatPercent(run, left, right);
  }
  if (sign === "+") return addLists(run, left, right);
  if (sign === "*" && isInt(right)) return repeat(run, left, Number(right));
  if (sign === "*" && isInt(left)) return repeat(run, right, Number(left));
  return refuseOperation(sign, left, right);
}

function addLists(run: Rendering, left: Value, right: Value): Value {
  if (isList(left) && isList(right)) {
    run.spend(left.length + right.length);
    return [...left, ...right];
  }
  if (left instanceof Tuple && right instanceof Tuple) return new Tuple([...left.items, ...right.items]);
  return refuseOperation("+", left, right);
}

function repeat(run: Rendering, value: Value, times: number): Value {
  const count = Math.max(0, times);
  if (isText(value)) {
    run.room(plain(value).length * count);
    return typeof value === "string" ? value.repeat(count) : concat(new Array<Text>(count).fill(value));
  }
  const items = isList(value) ? value : value instanceof Tuple ? value.items : undefined;
  if (!items) return refuseOperation("*", value, times);
  run.spend(items.length * count);
  const all = new Array<readonly Value[]>(count).fill(items).flat() as Value[];
  return isList(value) ? all : new Tuple(all);
}

function refuseOperation(sign: string, left: Value, right: Value): never {
  refuseUndefined(left, right);
  if (sign === "+" && isText(left)) fault(`can only concatenate str (not "${typeName(right)}") to str`);
  return fault(`unsupported operand type(s) for ${sign}: '${typeName(left)}' and '${typeName(right)}'`);
}

/** A number with its sign turned; `+` leaves it. */
export function signed(sign: "-" | "+", value: Value): Value {
  if (isNumber(value))
    return calculate("*", typeof value === "boolean" ? Number(value) : value, sign === "-" ? -1 : 1)!;
  refuseUndefined(value);
  return fault(`bad operand type for unary ${sign}: '${typeName(value)}'`);
}
