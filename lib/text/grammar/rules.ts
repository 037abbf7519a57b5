import { StatorError } from "#lib/base/errors";

/** A grammar longer than this, in characters, is refused: the engine would spend its time in it. */
const MAX_LENGTH = 256 * 1024;

/** The library's own bound on one repetition; beyond it would silently drop the upper bound. */
const MAX_REPEAT = 2000;

/**
 * Code points that a JSON string holds unescaped: all but controls, quotation mark and backslash. They are told one by one
 * and not by what they are not: bytes that are no UTF-8 decode to surrogates, or to numbers above all characters.
 */
const PLAIN: readonly (readonly [first: number, last: number])[] = [
  [0x20, 0x21],
  [0x23, 0x5b],
  [0x5d, 0x7e],
  [0x80, 0xd7ff],
  [0xe000, 0x10ffff],
];

/** Rules that many schemas share; each names what it uses. */
const SHARED = {
  // At most one space, or one line break with its indentation, so a model cannot fill its answer with white space.
  ws: '| " " | "\\n" [ \\t]{0,20}',
  hex: "[0-9a-fA-F]",
  // Four hexadecimal digits of an escape, without those of surrogates, whose pairs would count as two characters.
  unicode: "[0-9a-cA-CefEF] hex hex hex | [dD] [0-7] hex hex",
  char: `${plainWithout([])} | "\\\\" ( ["\\\\/bfnrt] | "u" unicode )`,
  string: '"\\"" char* "\\""',
  integer: '"-"? ( "0" | [1-9] [0-9]{0,15} )',
  number: 'integer ( "." [0-9]{1,16} )? ( [eE] [+\\x2D]? [0-9]{1,3} )?',
  boolean: '"true" | "false"',
  null: '"null"',
  member: 'string ":" ws value',
  object: '"{" ws ( member ( "," ws member )* ws )? "}"',
  array: '"[" ws ( value ( "," ws value )* ws )? "]"',
  value: "object | array | string | number | boolean | null",
} as const;

/** Name of a rule that every schema may use. */
export type SharedRule = keyof typeof SHARED;

/** A text as a GBNF literal. */
export function literal(text: string): string {
  const escaped = text.toWellFormed().replaceAll(/["\\\p{Cc}]/gu, (unit) => {
    if (unit === '"' || unit === "\\") return `\\${unit}`;
    return unit <= "\x7f" ? hexEscape(unit) : unit;
  });
  return `"${escaped}"`;
}

/** A class of the characters that a JSON string holds unescaped, without some. */
export function plainWithout(characters: Iterable<string>): string {
  const left = [...characters].map((character) => character.codePointAt(0)!).sort((one, other) => one - other);
  const ranges: string[] = [];
  for (const [first, last] of PLAIN) {
    let from = first;
    for (const without of left) {
      if (without < from || without > last) continue;
      if (from < without) ranges.push(rangeOf(from, without - 1));
      from = without + 1;
    }
    if (from <= last) ranges.push(rangeOf(from, last));
  }
  return `[${ranges.join("")}]`;
}

function rangeOf(first: number, last: number): string {
  return first === last ? classEscape(first) : `${classEscape(first)}-${classEscape(last)}`;
}

function classEscape(point: number): string {
  const hex = point.toString(16).toUpperCase();
  if (point <= 0xff) return `\\x${hex.padStart(2, "0")}`;
  return point <= 0xffff ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}

/** Whether a JSON string may hold a character unescaped, by our rule. */
export function isPlain(character: string): boolean {
  const point = character.codePointAt(0) ?? 0;
  return PLAIN.some(([first, last]) => point >= first && point <= last);
}

function hexEscape(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

/** Alternatives in brackets; one alone needs none. */
export function anyOf(alternatives: readonly string[]): string {
  return alternatives.length === 1 ? (alternatives[0] ?? "") : `( ${alternatives.join(" | ")} )`;
}

/** The rules of a grammar while it is made. The same calls give the same grammar. */
export class RuleBook {
  readonly #rules = new Map<string, string>();
  readonly #byBody = new Map<string, string>();
  #length = 0;
  #next = 1;

  /** Name of a shared rule; it is printed when something leads to it. */
  shared(name: SharedRule): SharedRule {
    return name;
  }

  /** Name of a rule with this body; equal bodies share one. */
  add(body: string): string {
    const known = this.#byBody.get(body);
    if (known !== undefined) return known;
    const name = this.reserve();
    this.define(name, body);
    this.#byBody.set(body, name);
    return name;
  }

  /** A name whose body follows, for rules that contain themselves. */
  reserve(): string {
    return `r${this.#next++}`;
  }

  /** Gives a reserved name its body. */
  define(name: string, body: string): void {
    this.#length += name.length + body.length;
    if (this.#length > MAX_LENGTH) {
      throw new StatorError("INVALID_GRAMMAR", { detail: `it is longer than ${MAX_LENGTH} characters` });
    }
    this.#rules.set(name, body);
  }

  /** `min` to `max` times `item`, which must be a name or a class. Exact for any bounds, and never ambiguous. */
  repeat(item: string, min: number, max: number | undefined): string {
    if (min > MAX_REPEAT)
      return `${item}{${MAX_REPEAT}} ${this.repeat(item, min - MAX_REPEAT, minus(max, MAX_REPEAT))}`;
    if (max === undefined) return min === 0 ? `${item}*` : `${item}{${min},}`;
    if (max <= MAX_REPEAT) return max === 0 ? '""' : `${item}{${min},${max}}`;
    const rest = this.repeat(item, 0, max - MAX_REPEAT);
    return this.add(`${item}{${min},${MAX_REPEAT - 1}} | ${item}{${MAX_REPEAT}} ${rest}`);
  }

  /** The whole grammar, with `root` as its start; rules that nothing leads to are left out. */
  print(root: string): string {
    const used = new Set([root]);
    const rules = new Map([...this.#rules, ...Object.entries(SHARED)]);
    for (const name of used) for (const other of namesIn(rules.get(name) ?? "")) used.add(other);
    const lines = [`root ::= ${root}`];
    for (const [name, body] of rules) if (used.has(name)) lines.push(`${name} ::= ${body}`);
    return `${lines.join("\n")}\n`;
  }
}

/** The rules that a body names, outside of literals and classes. */
function namesIn(body: string): string[] {
  return body.replaceAll(/"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]/g, " ").match(/[a-z][a-z0-9]*/g) ?? [];
}

function minus(value: number | undefined, by: number): number | undefined {
  return value === undefined ? undefined : value - by;
}
