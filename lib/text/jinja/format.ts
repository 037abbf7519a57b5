import { keyName } from "./key-name.ts";
import { cut, plain, type Text, TextBuilder } from "./marked.ts";
import { double, fixed, type Int, isFloat, isInt, isNumber, toInt } from "./numbers.ts";

import { printFloat, repr, str } from "./print.ts";
import { textLength, unitAt } from "./text-length.ts";
import {
  type Args,
  Dict,
  fault,
  isList,
  isText,
  orElse,
  Range,
  type Rendering,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** How one value is to be written, by the rules that `%` and `format` share. */
interface Spec {
  readonly fill: string;
  readonly align: "<" | ">" | "^" | "=";
  /** Before a number that is not negative. */
  readonly plus: "" | "+" | " ";
  readonly isAlternate: boolean;
  readonly width: number;
  readonly grouping: "" | "," | "_";
  readonly precision: number | undefined;
  readonly type: string;
}

const PERCENT = /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+)?)?([hlL])?(.)?/gsu;

/** `text % values`: one value, a tuple of them, or a dict for names in parentheses. */
export function formatPercent(run: Rendering, text: Text, given: Value): Text {
  const all = plain(text);
  const values = given instanceof Tuple ? given.items : [given];
  let used = 0;
  let usedNames = false;
  const next = (): Value => orElse(values[used++], () => fault("not enough arguments for format string"));
  const builder = new TextBuilder();
  let at = 0;
  for (const found of all.matchAll(PERCENT)) {
    builder.add(cut(text, at, found.index));
    at = found.index + found[0].length;
    const [, name, flags = "", wide, digits, , type] = found;
    if (type === undefined) fault("incomplete format");
    if (type === "%") {
      builder.add("%");
      continue;
    }
    const width = wide === "*" ? Number(next()) : Number(wide ?? 0);
    const hasPoint = found[0].includes(".");
    const precision = digits === "*" ? Number(next()) : hasPoint ? Number(digits ?? 0) : undefined;
    if (name !== undefined) usedNames = true;
    const value = name === undefined ? next() : named(given, name);
    builder.add(convert(run, value, { flags, width, precision, type }));
  }
  builder.add(cut(text, at, all.length));
  if (used < values.length && !usedNames && !hasItems(given))
    fault("not all arguments converted during string formatting");
  return builder.take();
}

/** What has items by a key counts as a dict to Python, which may go unused. */
function hasItems(given: Value): boolean {
  return isList(given) || given instanceof Dict || given instanceof Range || given instanceof Undefined;
}

function named(given: Value, name: string): Value {
  if (!(given instanceof Dict)) fault("format requires a mapping");
  return orElse(given.get(keyName(name)), () => fault(`'${name}'`));
}

interface Conversion {
  readonly flags: string;
  readonly width: number;
  readonly precision: number | undefined;
  readonly type: string;
}

function convert(run: Rendering, value: Value, { flags, width, precision, type }: Conversion): Text {
  if (value instanceof Undefined && type !== "s" && type !== "r") fault(value.detail);
  const isLeft = flags.includes("-") || width < 0;
  const common = {
    fill: flags.includes("0") && !isLeft && type !== "s" && type !== "r" ? "0" : " ",
    plus: flags.includes("+") ? ("+" as const) : flags.includes(" ") ? (" " as const) : ("" as const),
    isAlternate: flags.includes("#"),
    width: Math.abs(width),
    grouping: "" as const,
    precision,
  };
  const align = isLeft ? "<" : common.fill === "0" ? "=" : ">";
  if (type === "s" || type === "r" || type === "a")
    return writeText(run, type === "s" ? str(value) : repr(value), { ...common, align, type: "s" });
  if (type === "c")
    return writeText(run, isText(value) ? value : String.fromCodePoint(Number(value)), { ...common, align, type: "s" });
  if ("diu".includes(type))
    return writeNumber(run, whole(value, type), { ...common, precision: undefined, align, type: "d" });
  if ("oxX".includes(type)) {
    if (!isInt(value)) fault(`%${type} format: an integer is required, not ${typeName(value)}`);
    return writeNumber(run, value, { ...common, precision: undefined, align, type });
  }
  if ("eEfFgG".includes(type)) {
    if (!isNumber(value)) fault(`must be real number, not ${typeName(value)}`);
    return writeNumber(run, double(value), { ...common, align, type });
  }
  return fault(`unsupported format character '${type}'`);
}

function whole(value: Value, type: string): Int {
  if (!isNumber(value)) fault(`%${type} format: a real number is required, not ${typeName(value)}`);
  return toInt(value) ?? fault("cannot convert float to integer");
}

function writeText(run: Rendering, text: Text, { fill, align, width, precision }: Spec): Text {
  const kept = precision === undefined ? text : cut(text, 0, unitAt(plain(text), precision));
  const missing = Math.max(0, width - textLength(kept));
  if (missing === 0) return kept;
  run.room(plain(kept).length + missing);
  const left = align === ">" ? missing : align === "^" ? missing >> 1 : 0;
  const builder = new TextBuilder();
  builder.add(fill.repeat(left));
  builder.add(kept);
  builder.add(fill.repeat(missing - left));
  return builder.take();
}

/** Digits, sign and prefix of a number, filled up to a width. */
function writeNumber(run: Rendering, value: Int | boolean, spec: Spec): string {
  if ((spec.precision ?? 0) > 100) fault("more than 100 decimals are not supported");
  const isNegative = typeof value === "bigint" ? value < 0n : Number(value) < 0 || Object.is(value, -0);
  const sign = isNegative ? "-" : spec.plus;
  const prefix = spec.isAlternate && "oxXb".includes(spec.type) ? `0${spec.type}` : "";
  const digits = group(digitsOf(value, spec), spec);
  const missing = Math.max(0, spec.width - sign.length - prefix.length - digits.length);
  run.room(spec.width + digits.length);
  if (spec.align === "=") return sign + prefix + spec.fill.repeat(missing) + digits;
  return plain(writeText(run, sign + prefix + digits, { ...spec, precision: undefined }));
}

function digitsOf(value: Int | boolean, { type, precision }: Spec): string {
  const magnitude = typeof value === "bigint" ? (value < 0n ? -value : value) : Math.abs(Number(value));
  switch (type) {
    case "d":
    case "n":
      return String(magnitude);
    case "x":
    case "o":
    case "b":
      return magnitude.toString({ x: 16, o: 8, b: 2 }[type]);
    case "X":
      return magnitude.toString(16).toUpperCase();
    case "%":
      return `${fixed(Number(magnitude) * 100, precision ?? 6)}%`;
  }
  const number = Number(magnitude);
  if (!Number.isFinite(number)) return type < "a" ? printFloat(number).toUpperCase() : printFloat(number);
  if (type === "f" || type === "F") return fixed(number, precision ?? 6);
  const text = type === "e" || type === "E" ? exponential(number, precision ?? 6) : general(number, precision ?? 6);
  return type < "a" ? text.toUpperCase() : text;
}

function exponential(value: number, digits: number): string {
  return value.toExponential(digits).replace(/e([+-])(\d)$/, "e$10$2");
}

/** The shorter of both forms, without zeros behind. */
function general(value: number, precision: number): string {
  const digits = Math.max(1, precision);
  const text = exponential(value, digits - 1);
  const power = Number(text.slice(text.indexOf("e") + 1));
  if (power < -4 || power >= digits) return text.replace(/\.?0+e/, "e");
  const plainForm = fixed(value, digits - 1 - power);
  return plainForm.includes(".") ? plainForm.replace(/\.?0+$/, "") : plainForm;
}

function group(digits: string, { grouping }: Spec): string {
  if (!grouping) return digits;
  const [, head = "", tail = ""] = /^(\d+)(.*)$/.exec(digits) ?? [];
  return head.replace(/\B(?=(\d{3})+$)/g, grouping) + tail;
}

const FIELD = /^([^.[!:]*)((?:\.[^.[!:]+|\[[^\]]+\])*)(?:!([rsa]))?(?::([\s\S]*))?$/;

/** `text.format(…)`: fields in braces by place or name, with attributes, items and a specification. */
export function formatFields(text: Text, args: Args): Text {
  const all = plain(text);
  const builder = new TextBuilder();
  let automatic = 0;
  let at = 0;
  for (const found of all.matchAll(/\{\{|\}\}|\{((?:[^{}]|\{[^{}]*\})*)\}|[{}]/g)) {
    builder.add(cut(text, at, found.index));
    at = found.index + found[0].length;
    const inner = found[1];
    if (inner === undefined) {
      if (found[0].length === 1) fault(`Single '${found[0]}' encountered in format string`);
      builder.add(found[0].slice(1));
      continue;
    }
    const [, name, path = "", conversion, rawSpec = ""] = FIELD.exec(inner) ?? fault("invalid format string");
    const spec = rawSpec.replace(/\{([^{}]*)\}/g, (_, nested: string) =>
      plain(str(argument(args, nested === "" ? String(automatic++) : nested))),
    );
    const value = follow(args.run, argument(args, name === "" ? String(automatic++) : (name ?? "")), path);
    builder.add(writeField(args.run, conversion ? (conversion === "s" ? str(value) : repr(value)) : value, spec));
  }
  builder.add(cut(text, at, all.length));
  return builder.take();
}

function argument({ values, named: names }: Args, name: string): Value {
  if (!/^\d+$/.test(name)) return orElse(names?.get(name), () => fault(`'${name}'`));
  return orElse(values[Number(name)], () => fault(`Replacement index ${name} out of range for positional args tuple`));
}

function follow({ names }: Rendering, value: Value, path: string): Value {
  let at = value;
  for (const [, name, key = ""] of path.matchAll(/\.([^.[]+)|\[([^\]]+)\]/g)) {
    at = name === undefined ? names.item(at, /^\d+$/.test(key) ? Number(key) : key) : names.attribute(at, name);
    if (at instanceof Undefined) fault(at.detail);
  }
  return at;
}

const SPEC = /^(?:(.)?([<>=^]))?([-+ ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([bcdeEfFgGnosxX%])?$/su;

function writeField(run: Rendering, value: Value, text: string): Text {
  if (text === "") return str(value);
  const found = SPEC.exec(text);
  if (!found) return fault(`Invalid format specifier '${text}'`);
  const [, fill, align, sign, alternate, zero, width, grouping, precision, type] = found;
  const isString = isText(value);
  const spec: Spec = {
    fill: fill ?? (zero ? "0" : " "),
    align: (align as Spec["align"] | undefined) ?? (zero && !isString ? "=" : isString ? "<" : ">"),
    plus: sign === "+" || sign === " " ? sign : "",
    isAlternate: alternate !== undefined,
    width: Number(width ?? 0),
    grouping: (grouping as Spec["grouping"] | undefined) ?? "",
    precision: precision === undefined ? undefined : Number(precision),
    type: type ?? (isString ? "s" : isFloat(value) ? (precision === undefined ? "r" : "g") : "d"),
  };
  if (isString) {
    if (spec.type !== "s") fault(`Unknown format code '${spec.type}' for object of type 'str'`);
    return writeText(run, value, spec);
  }
  if (!isNumber(value)) return fault(`unsupported format string passed to ${typeName(value)}.__format__`);
  if (spec.type === "r") return writeText(run, str(value), spec);
  return writeNumber(run, "eEfFgG%".includes(spec.type) ? double(value) : (toInt(value) ?? 0), spec);
}
