import { attributeOf } from "./access.ts";
import { bind, flag, indexOr, needed, text, textOr } from "./args.ts";
import { capitalized } from "./case.ts";
import { formatPercent } from "./format.ts";
import { toJson } from "./json.ts";
import { lengthOf } from "./length.ts";
import {
  asMarkup,
  concat,
  content,
  cut,
  escapeMarkup,
  isMarkup,
  join,
  mapStretches,
  plain,
  type Text,
} from "./marked.ts";
import { double, fixed, float, isInt, isNumber, toFloat, toInt } from "./numbers.ts";
import { iterate, order, refuseUndefined, signed, truth } from "./operators.ts";
import { attributeAt } from "./path.ts";
import { str } from "./print.ts";
import { SEQUENCE_FILTERS } from "./sequence-filters.ts";
import { foldCase, sortBy } from "./sort.ts";
import { textLength, unitAt } from "./text-length.ts";
import { replace, splitLines, strip, TEXT_METHODS } from "./text-methods.ts";
import {
  type Args,
  Dict,
  type Filter,
  fault,
  Iter,
  isText,
  Namespace,
  orElse,
  Tuple,
  Undefined,
  type Value,
} from "./values.ts";

/** A filter that is a method of strings, for whatever prints as one. */
function likeMethod(name: string): Filter {
  const method = TEXT_METHODS[name]!;
  return (value, args) => method(str(value), args);
}

function trim(value: Value, args: Args): Text {
  const only = textOr(bind("trim", args, ["chars"]).chars, undefined, "the characters");
  return strip(str(value), "both", only === undefined ? undefined : plain(only));
}

function indent(value: Value, args: Args): Text {
  const given = bind("indent", args, ["width", "first", "blank"]);
  refuseUndefined(value);
  if (!isText(value)) return fault("only a string can be indented");
  const margin = given.width !== undefined && isText(given.width) ? given.width : " ".repeat(spaces(args, given.width));
  const lines = splitLines(concat([value, "\n"]));
  const [first = "", ...rest] = lines;
  args.run.room(plain(value).length + lines.length * (plain(margin).length + 1));
  const marginOf = (line: Text): Text => (flag(given.blank) || plain(line) !== "" ? margin : "");
  const indented = join([first, ...rest.map((line) => concat([marginOf(line), line]))], "\n");
  return flag(given.first) ? concat([margin, indented]) : indented;
}

function spaces({ run }: Args, width: Value | undefined): number {
  const count = Math.max(0, indexOr(width, 4, "the width"));
  run.room(count);
  return count;
}

function replaceIn(value: Value, args: Args): Text {
  const { old, new: put, count } = bind("replace", args, ["old", "new", "count"]);
  const pair = [str(needed(old, "what is replaced")), str(needed(put, "what replaces it"))] as const;
  return replace(args, str(value), pair, indexOr(count, -1, "the count"));
}

function titled(value: Value): Text {
  const given = str(value);
  const chars = plain(given);
  const pieces: Text[] = [];
  let at = 0;
  // A word begins behind a space, a hyphen and an opening bracket.
  for (const found of chars.matchAll(/[-\s({[<]+|[^-\s({[<]+/gu)) {
    const piece = cut(given, found.index, found.index + found[0].length);
    pieces.push(/^[-\s({[<]/u.test(found[0]) ? piece : capitalized(piece));
    at = found.index + found[0].length;
  }
  return concat([...pieces, cut(given, at, chars.length)]);
}

function truncate(value: Value, args: Args): Value {
  const given = bind("truncate", args, ["length", "killwords", "end", "leeway"]);
  const [most, leeway] = [indexOr(given.length, 255, "the length"), indexOr(given.leeway, 5, "the leeway")];
  const end = textOr(given.end, "...", "the end");
  if (most < textLength(end)) fault(`expected length >= ${textLength(end)}, got ${most}`);
  // What is short enough stays what it is, text or not.
  if (lengthOf(value) <= most + leeway) return value;
  const whole = text(value, "what is truncated");
  const kept = cut(whole, 0, unitAt(plain(whole), most - textLength(end)));
  const space = flag(given.killwords) ? -1 : plain(kept).lastIndexOf(" ");
  return concat([space < 0 ? kept : cut(kept, 0, space), end]);
}

function round(value: Value, args: Args): Value {
  const given = bind("round", args, ["precision", "method"]);
  const digits = indexOr(given.precision, 0, "the precision");
  const method = plain(textOr(given.method, "common", "the method"));
  if (!["common", "ceil", "floor"].includes(method)) fault("method must be common, ceil or floor");
  refuseUndefined(value);
  if (!isNumber(value)) return fault("only a number can be rounded");
  if (digits < 0 || digits > 100) return fault("a precision below 0 or above 100 is not supported");
  if (method === "common") return isInt(value) ? (toInt(value) ?? 0) : float(Number(fixed(double(value), digits)));
  const scale = 10 ** digits;
  return float((method === "ceil" ? Math.ceil(double(value) * scale) : Math.floor(double(value) * scale)) / scale);
}

function toWhole(value: Value, args: Args): Value {
  const { default: other = 0, base } = bind("int", args, ["default", "base"]);
  refuseUndefined(value);
  const direct = toInt(value, indexOr(base, 10, "the base"));
  if (direct !== undefined) return direct;
  const number = toFloat(value);
  return number !== undefined && Number.isFinite(number) ? (toInt(float(number)) ?? other) : other;
}

function toReal(value: Value, args: Args): Value {
  const { default: other = float(0) } = bind("float", args, ["default"]);
  refuseUndefined(value);
  const number = toFloat(value);
  return number === undefined ? other : float(number);
}

function otherwise(value: Value, args: Args): Value {
  const { default_value: other = "", boolean } = bind("default", args, ["default_value", "boolean"]);
  return value instanceof Undefined || (flag(boolean) && !truth(value)) ? other : value;
}

function sortDict(value: Value, args: Args): Value {
  const { case_sensitive: exact, by, reverse } = bind("dictsort", args, ["case_sensitive", "by", "reverse"]);
  if (!(value instanceof Dict)) return fault("only a dict can be sorted by dictsort");
  const place = plain(textOr(by, "key", "by"));
  if (place !== "key" && place !== "value") fault('You can only sort by either "key" or "value"');
  const key = (pair: readonly [Value, Value]): Value =>
    flag(exact) ? pair[place === "key" ? 0 : 1] : foldCase(pair[place === "key" ? 0 : 1]);
  return sortBy(value.items(), key, flag(reverse)).map((pair) => new Tuple(pair));
}

function itemsOf(value: Value): Value {
  if (value instanceof Undefined) return new Iter([]);
  if (!(value instanceof Dict)) return fault("Can only get item pairs from a mapping.");
  return new Iter(value.items().map((pair) => new Tuple(pair)));
}

function escaped(value: Value): Text {
  const given = str(value);
  return isMarkup(given) ? given : escapeMarkup(given);
}

function joined(value: Value, args: Args): Text {
  const { d, attribute: path } = bind("join", args, ["d", "attribute"]);
  const items =
    path === undefined || path === null ? iterate(value) : iterate(value).map((one) => attributeAt(one, path));
  const texts = items.map(str);
  const between = d === undefined ? "" : str(d);
  args.run.room(texts.reduce((total, one) => total + plain(one).length + plain(between).length, 0));
  return join(texts, between);
}

function reversed(value: Value): Value {
  if (isText(value)) return concat((iterate(value) as readonly Text[]).toReversed());
  return new Iter(iterate(value).toReversed());
}

function firstOf(value: Value): Value {
  const first = value instanceof Iter ? value.next() : iterate(value)[0];
  return orElse(first, () => new Undefined("No first item, sequence was empty."));
}

function lastOf(value: Value): Value {
  if (value instanceof Iter) return fault("'generator' object is not reversible");
  const last = iterate(value).at(-1);
  return last === undefined ? new Undefined("No last item, sequence was empty.") : last;
}

function absolute(value: Value): Value {
  refuseUndefined(value);
  if (!isNumber(value)) return fault("only a number has an absolute value");
  return order(value, 0) < 0 ? signed("-", value) : signed("+", value);
}

/** `%` with a list of values or with names. */
function formatted(value: Value, { run, values, named }: Args): Text {
  if (named && values.length > 0) fault("can't handle positional and keyword arguments at the same time");
  if (!named) return formatPercent(run, str(value), new Tuple(values));
  const dict = new Dict();
  for (const [name, given] of named) dict.set(name, name, given);
  return formatPercent(run, str(value), dict);
}

function quoteUrl(value: Value, keep: string): string {
  const bytes = [...Buffer.from(plain(str(value)))].map((byte) => {
    const char = String.fromCharCode(byte);
    const isKept = /[\w.~-]/.test(char) || keep.includes(char);
    return isKept ? char : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  });
  return bytes.join("");
}

function urlEncoded(value: Value): Text {
  if (isText(value)) return mapStretches(value, (stretch) => quoteUrl(stretch, "/"));
  const isAlone = value === null || isNumber(value) || value instanceof Namespace;
  if (isAlone) return quoteUrl(value, "/");
  const pairs = value instanceof Dict ? value.items() : iterate(value).map((pair) => iterate(pair));
  const parts = pairs.map((pair) => {
    if (pair.length !== 2) fault(`a pair is expected, not ${pair.length} values`);
    return pair.map((one) => quoteUrl(one!, "").replaceAll("%20", "+")).join("=");
  });
  return content(parts.join("&"));
}

/** Filters by name, with Python's names. Those of jinja2 that are not here are refused when a template is read. */
export const FILTERS: Readonly<Record<string, Filter>> = {
  ...SEQUENCE_FILTERS,
  abs: absolute,
  attr: (value, args) => {
    const name = plain(text(args.values[0], "the attribute"));
    return orElse(attributeOf(value, name), () => new Undefined(`there is no attribute ${name}`));
  },
  capitalize: likeMethod("capitalize"),
  center: (value, { run, values, named }) => {
    const width = bind("center", { run, values, named }, ["width"]).width ?? 80;
    return TEXT_METHODS.center!(str(value), { run, values: [width], named: undefined });
  },
  count: (value) => lengthOf(value),
  d: otherwise,
  default: otherwise,
  dictsort: sortDict,
  e: escaped,
  escape: escaped,
  first: firstOf,
  float: toReal,
  forceescape: (value) => escapeMarkup(str(value)),
  format: formatted,
  indent,
  int: toWhole,
  items: itemsOf,
  join: joined,
  last: lastOf,
  length: (value) => lengthOf(value),
  list: (value) => [...iterate(value)],
  lower: likeMethod("lower"),
  replace: replaceIn,
  reverse: reversed,
  round,
  safe: (value) => asMarkup(str(value)),
  string: (value) => str(value),
  title: titled,
  tojson: toJson,
  trim,
  truncate,
  upper: likeMethod("upper"),
  urlencode: urlEncoded,
  wordcount: (value) => plain(str(value)).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0,
};
