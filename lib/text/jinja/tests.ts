import { isCallable } from "./access.ts";
import { needed } from "./args.ts";
import { hasCase } from "./case.ts";
import { isMarkup, plain } from "./marked.ts";
import { isFloat, isInt, isNumber } from "./numbers.ts";
import { contains, equal, operate, order } from "./operators.ts";
import { str } from "./print.ts";
import {
  type Args,
  Dict,
  Iter,
  isList,
  isText,
  Range,
  type Test,
  Tuple,
  Undefined,
  type Value,
  View,
} from "./values.ts";

function beside(compare: (left: Value, right: Value) => boolean): Test {
  return (value, { values }) => compare(value, needed(values[0], "what is compared with"));
}

/** Whether a value leaves this when it is divided. */
function leaves(value: Value, [by, rest]: readonly [Value, number], { run }: Args): boolean {
  return equal(operate(run, "%", value, by), rest);
}

function canBeGoneThrough(value: Value): boolean {
  return hasLength(value) || value instanceof Iter;
}

function hasLength(value: Value): boolean {
  const kinds = [Dict, Tuple, View, Range, Undefined];
  return isText(value) || isList(value) || kinds.some((kind) => value instanceof kind);
}

function isSame(left: Value, right: Value): boolean {
  if (isText(left) && isText(right)) return plain(left) === plain(right);
  return left === right || (isNumber(left) && typeof left === typeof right && equal(left, right));
}

const same = beside(equal);
const different = beside((left, right) => !equal(left, right));
const greater = beside((left, right) => order(left, right, ">") > 0);
const atLeast = beside((left, right) => order(left, right, ">=") >= 0);
const less = beside((left, right) => order(left, right, "<") < 0);
const atMost = beside((left, right) => order(left, right, "<=") <= 0);

/** Tests by name, with Python's names. */
export const TESTS: Readonly<Record<string, Test>> = {
  "==": same,
  "!=": different,
  ">": greater,
  ">=": atLeast,
  "<": less,
  "<=": atMost,
  boolean: (value) => typeof value === "boolean",
  callable: isCallable,
  defined: (value) => !(value instanceof Undefined),
  divisibleby: (value, args) => leaves(value, [needed(args.values[0], "the divisor"), 0], args),
  eq: same,
  equalto: same,
  escaped: (value) => isText(value) && isMarkup(value),
  even: (value, args) => leaves(value, [2, 0], args),
  false: (value) => value === false,
  filter: (value, { run }) => Object.hasOwn(run.names.filters, plain(str(value))),
  float: (value) => isFloat(value),
  ge: atLeast,
  greaterthan: greater,
  gt: greater,
  in: beside((item, container) => contains(container, item)),
  integer: (value) => isInt(value) && typeof value !== "boolean",
  iterable: canBeGoneThrough,
  le: atMost,
  lessthan: less,
  lower: (value) => hasCase(str(value), false),
  lt: less,
  mapping: (value) => value instanceof Dict,
  ne: different,
  none: (value) => value === null,
  number: (value) => isNumber(value),
  odd: (value, args) => leaves(value, [2, 1], args),
  sameas: beside(isSame),
  // Views of a dict have a length and no places.
  sequence: (value) => hasLength(value) && !(value instanceof View),
  string: (value) => isText(value),
  test: (value) => Object.hasOwn(TESTS, plain(str(value))),
  true: (value) => value === true,
  undefined: (value) => value instanceof Undefined,
  upper: (value) => hasCase(str(value), true),
};
