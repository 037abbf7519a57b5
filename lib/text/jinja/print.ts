import { content, hasContent, isMarkup, plain, type Text } from "./marked.ts";
import {
  Callable,
  Dict,
  Float,
  fault,
  isList,
  isText,
  Namespace,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

/** Python's `str`. */
export function str(value: Value): Text {
  if (typeof value === "string") return value;
  if (isText(value)) return value;
  if (typeof value === "number" && Number.isInteger(value)) return String(value);
  if (value instanceof Undefined) return "";
  return repr(value);
}

/** Python's `repr`. Of a value that holds content all is content. */
export function repr(value: Value): Text {
  const found = { content: false };
  const text = represent(value, found);
  return found.content ? content(text) : text;
}

function represent(value: Value, found: { content: boolean }): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : printFloat(value);
  if (isText(value)) {
    found.content ||= hasContent(value);
    return isMarkup(value) ? `Markup(${quote(plain(value))})` : quote(plain(value));
  }
  const inner = (item: Value): string => represent(item, found);
  if (value instanceof Float) return printFloat(value.value);
  if (isList(value)) return `[${value.map(inner).join(", ")}]`;
  if (value instanceof Tuple) return printTuple(value.items.map(inner));
  if (value instanceof Dict)
    return `{${value
      .items()
      .map(([key, item]) => `${inner(key)}: ${inner(item)}`)
      .join(", ")}}`;
  if (value instanceof View) return `${value.kind}([${value.items.map(inner).join(", ")}])`;
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Range) return printRange(value);
  if (value instanceof Namespace) return printNamespace(value, inner);
  if (value instanceof Callable && value.isMacro) return `<Macro '${value.name}'>`;
  // Python prints an address here, which is another one at each rendering.
  return fault(`a ${typeName(value)} cannot be printed`);
}

function printTuple(items: readonly string[]): string {
  return items.length === 1 ? `(${items[0]},)` : `(${items.join(", ")})`;
}

function printRange({ start, stop, step }: Range): string {
  return step === 1 ? `range(${start}, ${stop})` : `range(${start}, ${stop}, ${step})`;
}

function printNamespace({ values }: Namespace, inner: (item: Value) => string): string {
  return `<Namespace {${[...values].map(([name, item]) => `${quote(name)}: ${inner(item)}`).join(", ")}}>`;
}

/** Python's shortest form of a float: an exponent below 1e-4 and from 1e16 on. */
export function printFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  const [mantissa = "", exponent = "0"] = value.toExponential().split("e");
  const power = Number(exponent);
  if (power < -4 || power >= 16)
    return `${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  const text = Object.is(value, -0) ? "-0" : value.toFixed(Math.max(0, decimals(mantissa) - power));
  return text.includes(".") ? text : `${text}.0`;
}

function decimals(mantissa: string): number {
  const dot = mantissa.indexOf(".");
  return dot < 0 ? 0 : mantissa.length - dot - 1;
}

const NAMED: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Characters that Python does not print: other, unassigned, and all spaces but the one. */
const UNPRINTABLE = /[\p{C}\p{Z}\\]/gu;

/** A string in quotes, as Python writes it. */
function quote(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(UNPRINTABLE, (char) =>
    char === " " ? char : (NAMED[char] ?? hex(char.codePointAt(0)!)),
  );
  return mark + (mark === "'" ? escaped.replaceAll("'", "\\'") : escaped) + mark;
}

function hex(code: number): string {
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code <= 0xffff) return `\\u${code.toString(16).padStart(4, "0")}`;
  return `\\U${code.toString(16).padStart(8, "0")}`;
}
