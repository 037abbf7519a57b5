import { bind, chars, flag, indexOr, needed, text, textOr } from "./args.ts";
import { capitalized, hasCase, swapped, titleCase } from "./case.ts";
import { formatFields } from "./format.ts";
import { SPACES } from "./lexer.ts";
import { concat, cut, join, mapStretches, plain, type Text, TextBuilder } from "./marked.ts";
import { iterate } from "./operators.ts";
import { textLength, unitAt } from "./text-length.ts";
import { type Args, fault, isText, type Method, Tuple, typeName, type Value } from "./values.ts";

const LEADING = new RegExp(`^[${SPACES}]+`);
const TRAILING = new RegExp(`[${SPACES}]+$`);
/** Where Python ends a line, beside the two characters together. */
const LINE_ENDS = "\n\r\v\f\x1c-\x1e\x85\u2028\u2029";
const LINE_END = new RegExp(`\r\n|[${LINE_ENDS}]`, "g");

/** Cuts characters off one or both ends: white space, or any of the given ones. */
export function strip(given: Text, which: "left" | "right" | "both", only?: string): Text {
  const all = plain(given);
  let start = 0;
  let end = all.length;
  if (only === undefined) {
    if (which !== "right") start = LEADING.exec(all)?.[0].length ?? 0;
    if (which !== "left" && start < end) end = TRAILING.exec(all)?.index ?? end;
  } else {
    const set = new Set(only);
    const points = [...all];
    if (which !== "right")
      for (let at = 0; at < points.length && set.has(points[at]!); at++) start += points[at]!.length;
    if (which !== "left")
      for (let at = points.length - 1; at >= 0 && end > start && set.has(points[at]!); at--) end -= points[at]!.length;
  }
  return cut(given, start, end);
}

/** Pieces between a separator, from the left; the last one takes what is beyond `most` cuts. */
export function split(given: Text, separator: string | undefined, most: number): Text[] {
  const all = plain(given);
  const pieces: Text[] = [];
  let at = 0;
  if (separator === undefined) {
    at = LEADING.exec(all)?.[0].length ?? 0;
    const space = new RegExp(`[${SPACES}]+`, "g");
    while (at < all.length) {
      space.lastIndex = at;
      const found = pieces.length === most ? null : space.exec(all);
      pieces.push(cut(given, at, found?.index ?? all.length));
      at = found ? space.lastIndex : all.length;
    }
    return pieces;
  }
  if (separator === "") fault("empty separator");
  for (let next = all.indexOf(separator); next >= 0 && pieces.length !== most; next = all.indexOf(separator, at)) {
    pieces.push(cut(given, at, next));
    at = next + separator.length;
  }
  return [...pieces, cut(given, at, all.length)];
}

/** Pieces between a separator, from the right. */
function splitRight(given: Text, separator: string | undefined, most: number): Text[] {
  if (most < 0) return split(given, separator, most);
  const all = plain(given);
  const pieces: Text[] = [];
  let end = separator === undefined ? (TRAILING.exec(all)?.index ?? all.length) : all.length;
  if (separator === "") fault("empty separator");
  while (pieces.length < most) {
    const piece = separator === undefined ? lastSpace(all, end) : lastOf(all, separator, end);
    if (!piece) break;
    pieces.unshift(cut(given, piece.end, end));
    end = piece.start;
  }
  if (separator === undefined && all.slice(0, end).replace(LEADING, "") === "") return pieces;
  const start = separator === undefined && pieces.length === 0 ? (LEADING.exec(all)?.[0].length ?? 0) : 0;
  return [cut(given, start, end), ...pieces];
}

function lastOf(all: string, separator: string, end: number): { start: number; end: number } | undefined {
  const start = all.lastIndexOf(separator, end - separator.length);
  return start < 0 || end < separator.length ? undefined : { start, end: start + separator.length };
}

function lastSpace(all: string, end: number): { start: number; end: number } | undefined {
  const found = new RegExp(`([${SPACES}]+)[^${SPACES}]+$`).exec(all.slice(0, end));
  return found ? { start: found.index, end: found.index + found[1]!.length } : undefined;
}

/** Lines without their ends, or with them. */
export function splitLines(given: Text, withEnds = false): Text[] {
  const all = plain(given);
  const lines: Text[] = [];
  let at = 0;
  for (const found of all.matchAll(LINE_END)) {
    const end = found.index + found[0].length;
    lines.push(cut(given, at, withEnds ? end : found.index));
    at = end;
  }
  return at < all.length ? [...lines, cut(given, at, all.length)] : lines;
}

/** Puts something in the place of a part, at most so many times; below 0 everywhere. */
export function replace({ run }: Args, given: Text, [from, to]: readonly [Text, Text], most: number): Text {
  const [all, old] = [plain(given), plain(from)];
  const builder = new TextBuilder();
  let at = 0;
  for (let count = 0; count !== most; count++) {
    const next = old === "" ? emptyPlace(all, at, count) : all.indexOf(old, at);
    if (next < 0) break;
    run.room(builder.length + plain(to).length + next - at);
    builder.add(cut(given, at, next));
    builder.add(to);
    at = next + old.length;
  }
  builder.add(cut(given, at, all.length));
  return builder.take();
}

/** Nothing is found before every character and at the end. */
function emptyPlace(all: string, at: number, count: number): number {
  if (count === 0) return 0;
  return at >= all.length ? -1 : at + (all.codePointAt(at)! > 0xffff ? 2 : 1);
}

/** The stretch between two places, in UTF-16 units, as Python counts them from either end. */
function stretchOf(self: Text, start: Value | undefined, end: Value | undefined): { from: number; to: number } {
  const length = textLength(self);
  const unit = (value: Value | undefined, other: number): number => {
    const at = indexOr(value, other, "a place");
    return unitAt(plain(self), Math.max(0, Math.min(length, at < 0 ? at + length : at)));
  };
  return { from: unit(start, 0), to: unit(end, length) };
}

/** Where a part begins, in characters; -1 where it does not. */
function find(self: Text, args: Args, isLast: boolean): number {
  const { sub, start, end } = bind("find", args, ["sub", "start", "end"]);
  const all = plain(self);
  const { from, to } = stretchOf(self, start, end);
  const part = chars(sub, "what is looked for");
  const within = all.slice(from, to);
  const found = isLast ? within.lastIndexOf(part) : within.indexOf(part);
  return found < 0 || from > to ? -1 : textLength(all.slice(0, from + found));
}

function found(at: number): number {
  return at < 0 ? fault("substring not found") : at;
}

/** Whether one of the texts stands at an end. */
function standsAt(self: Text, args: Args, isEnd: boolean): boolean {
  const { affix, start, end } = bind(isEnd ? "endswith" : "startswith", args, ["affix", "start", "end"]);
  const { from, to } = stretchOf(self, start, end);
  const within = plain(self).slice(from, to);
  const given = needed(affix, "the text");
  const affixes = given instanceof Tuple ? given.items : [given];
  return affixes.some((one) => {
    const part = chars(one, "startswith first arg");
    return isEnd ? within.endsWith(part) : within.startsWith(part);
  });
}

/** Fills up to a width; `share` of what is missing goes to the left. */
function pad(self: Text, args: Args, share: (missing: number, width: number) => number): Text {
  const { width, fill } = bind("a width", args, ["width", "fill"]);
  const wide = indexOr(width, 0, "a width");
  const filler = textOr(fill, " ", "the fill character");
  if (textLength(filler) !== 1) fault("the fill character must be exactly one character long");
  const missing = Math.max(0, wide - textLength(self));
  args.run.room(plain(self).length + missing);
  const left = share(missing, wide);
  return concat([...new Array<Text>(left).fill(filler), self, ...new Array<Text>(missing - left).fill(filler)]);
}

function partition(self: Text, args: Args, isLast: boolean): Tuple {
  const separator = chars(bind("partition", args, ["sep"]).sep, "the separator");
  if (separator === "") fault("empty separator");
  const all = plain(self);
  const at = isLast ? all.lastIndexOf(separator) : all.indexOf(separator);
  if (at < 0) return new Tuple(isLast ? ["", "", self] : [self, "", ""]);
  const end = at + separator.length;
  return new Tuple([cut(self, 0, at), cut(self, at, end), cut(self, end, all.length)]);
}

function splitBy(self: Text, args: Args, by: typeof split): readonly Value[] {
  const { sep, maxsplit } = bind("split", args, ["sep", "maxsplit"]);
  const separator = textOr(sep, undefined, "the separator");
  const pieces = by(self, separator === undefined ? undefined : plain(separator), indexOr(maxsplit, -1, "maxsplit"));
  args.run.spend(pieces.length);
  return pieces;
}

function stripOf(which: "left" | "right" | "both"): Method<Text> {
  return (self, args) => {
    const only = textOr(bind("strip", args, ["chars"]).chars, undefined, "strip arg");
    return strip(self, which, only === undefined ? undefined : plain(only));
  };
}

/** A method that takes nothing. */
function bare(method: (self: Text) => Value): Method<Text> {
  return (self, args) => {
    bind("the method", args, []);
    return method(self);
  };
}

/** Whether there are characters, and all are of this kind. */
function allAre(kind: RegExp): Method<Text> {
  return bare((self) => kind.test(plain(self)));
}

/** The methods of a string. */
export const TEXT_METHODS: Readonly<Record<string, Method<Text>>> = {
  capitalize: bare(capitalized),
  casefold: (self) => mapStretches(self, (stretch) => stretch.toLowerCase().replaceAll("ß", "ss").replaceAll("ς", "σ")),
  // With an odd number missing, one more goes to the left when the width is odd too.
  center: (self, args) => pad(self, args, (missing, width) => (missing >> 1) + (missing & width & 1)),
  count: (self, args) => {
    const part = chars(bind("count", args, ["sub"]).sub, "what is counted");
    return part === "" ? textLength(self) + 1 : plain(self).split(part).length - 1;
  },
  endswith: (self, args) => standsAt(self, args, true),
  find: (self, args) => find(self, args, false),
  format: (self, args) => formatFields(self, args),
  index: (self, args) => found(find(self, args, false)),
  isalnum: allAre(/^[\p{L}\p{N}]+$/u),
  isalpha: allAre(/^\p{L}+$/u),
  isascii: allAre(/^[\0-\x7f]*$/),
  isdecimal: allAre(/^\p{Nd}+$/u),
  isdigit: allAre(/^[\p{Nd}\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468]+$/u),
  isnumeric: allAre(/^\p{N}+$/u),
  islower: bare((self) => hasCase(self, false)),
  isspace: allAre(new RegExp(`^[${SPACES}]+$`)),
  istitle: bare((self) => plain(self) === plain(titleCase(self)) && /\p{L}/u.test(plain(self))),
  isupper: bare((self) => hasCase(self, true)),
  join: (self, args) => {
    const parts = iterate(needed(bind("join", args, ["iterable"]).iterable, "what is joined"));
    let length = plain(self).length * parts.length;
    parts.forEach((part, at) => {
      if (!isText(part)) fault(`sequence item ${at}: expected str instance, ${typeName(part)} found`);
      length += plain(part).length;
    });
    args.run.room(length);
    return join(parts as readonly Text[], self);
  },
  ljust: (self, args) => pad(self, args, () => 0),
  lower: bare((self) => mapStretches(self, (stretch) => stretch.toLowerCase())),
  lstrip: stripOf("left"),
  partition: (self, args) => partition(self, args, false),
  removeprefix: (self, args) => {
    const part = chars(bind("removeprefix", args, ["prefix"]).prefix, "the prefix");
    return plain(self).startsWith(part) ? cut(self, part.length, plain(self).length) : self;
  },
  removesuffix: (self, args) => {
    const part = chars(bind("removesuffix", args, ["suffix"]).suffix, "the suffix");
    return part !== "" && plain(self).endsWith(part) ? cut(self, 0, plain(self).length - part.length) : self;
  },
  replace: (self, args) => {
    const { old, new: put, count } = bind("replace", args, ["old", "new", "count"]);
    return replace(
      args,
      self,
      [text(old, "replace() argument 1"), text(put, "replace() argument 2")],
      indexOr(count, -1, "count"),
    );
  },
  rfind: (self, args) => find(self, args, true),
  rindex: (self, args) => found(find(self, args, true)),
  rjust: (self, args) => pad(self, args, (missing) => missing),
  rpartition: (self, args) => partition(self, args, true),
  rsplit: (self, args) => splitBy(self, args, splitRight),
  rstrip: stripOf("right"),
  split: (self, args) => splitBy(self, args, split),
  splitlines: (self, args) => splitLines(self, flag(bind("splitlines", args, ["keepends"]).keepends)),
  startswith: (self, args) => standsAt(self, args, false),
  strip: stripOf("both"),
  swapcase: bare(swapped),
  title: bare(titleCase),
  upper: bare((self) => mapStretches(self, (stretch) => stretch.toUpperCase())),
  zfill: (self, args) => {
    const width = indexOr(bind("zfill", args, ["width"]).width, 0, "a width");
    const missing = Math.max(0, width - textLength(self));
    args.run.room(plain(self).length + missing);
    const sign = /^[+-]/.test(plain(self)) ? 1 : 0;
    return concat([cut(self, 0, sign), "0".repeat(missing), cut(self, sign, plain(self).length)]);
  },
};

/** Methods that Python's strings have and ours have not. */
export const MISSING_METHODS: ReadonlySet<string> = new Set([
  ...["encode", "expandtabs", "format_map", "isidentifier", "isprintable", "maketrans", "translate"],
  ...[
    "as_integer_ratio",
    "bit_count",
    "bit_length",
    "conjugate",
    "from_bytes",
    "fromhex",
    "hex",
    "to_bytes",
    "fromkeys",
  ],
]);
