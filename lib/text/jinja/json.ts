import { bind, flag } from "./args.ts";
import { content, hasContent, plain, type Text } from "./marked.ts";
import { order } from "./operators.ts";
import { printFloat } from "./print.ts";
import { type Args, Dict, Float, fault, isList, isText, Tuple, typeName, Undefined, type Value } from "./values.ts";

/** A number of JSON text that is none of JavaScript's: a float without a fraction, or beyond 2^53. */
const SPECIAL_NUMBER = /[-\d](?:\.0*(?![\d])|\.\d*0(?!\d)|\d*[eE]|\d{15})/;

/** How JSON text looks. */
interface Style {
  readonly onlyAscii: boolean;
  readonly betweenItems: string;
  readonly betweenPairs: string;
  /** Of one level; undefined for all in one line. */
  readonly indent: string | undefined;
  readonly sortKeys: boolean;
}

/**
 * The filter of chat templates: Python's `json.dumps` with `ensure_ascii` off unless asked. Where some of it is content,
 * all of it is.
 */
export function toJson(value: Value, args: Args): Text {
  const writer = new JsonWriter(styleOf(args), args);
  const text = writer.write(value, "");
  args.run.room(text.length);
  return writer.hasContent ? content(text) : text;
}

class JsonWriter {
  /** Some string of it came with the request. */
  hasContent = false;
  readonly #style: Style;
  readonly #args: Args;

  constructor(style: Style, args: Args) {
    this.#style = style;
    this.#args = args;
  }

  /** @param margin what stands before a line of this level, where there are lines */
  write(value: Value, margin: string): string {
    this.#args.run.spend(1);
    if (isText(value)) {
      this.hasContent ||= hasContent(value);
      return quote(plain(value), this.#style.onlyAscii);
    }
    if (isList(value)) return this.#list(value, margin);
    if (value instanceof Tuple) return this.#list(value.items, margin);
    return value instanceof Dict ? this.#dict(value, margin) : scalar(value);
  }

  #list(items: readonly Value[], margin: string): string {
    const inner = margin + (this.#style.indent ?? "");
    let text = "";
    for (const item of items) text += this.#before(text, inner) + this.write(item, inner);
    return `[${text}${this.#end(text, margin)}]`;
  }

  #dict(dict: Dict, margin: string): string {
    const inner = margin + (this.#style.indent ?? "");
    let text = "";
    for (const [key, item] of entriesOf(dict, this.#style)) {
      if (isText(key)) this.hasContent ||= hasContent(key);
      text += this.#before(text, inner) + quote(keyText(key), this.#style.onlyAscii);
      text += this.#style.betweenPairs + this.write(item, inner);
    }
    return `{${text}${this.#end(text, margin)}}`;
  }

  #before(text: string, margin: string): string {
    const { indent, betweenItems } = this.#style;
    const between = text === "" ? "" : betweenItems;
    return indent === undefined ? between : `${between}\n${margin}`;
  }

  #end(text: string, margin: string): string {
    return text === "" || this.#style.indent === undefined ? "" : `\n${margin}`;
  }
}

function styleOf(args: Args): Style {
  const given = bind("tojson", args, ["ensure_ascii", "indent", "separators", "sort_keys"]);
  const indent = indentOf(given.indent);
  const { separators } = given;
  const pair =
    separators instanceof Tuple ? separators.items : separators !== undefined && isList(separators) ? separators : [];
  const separator = (at: number, other: string): string => {
    const one = pair[at];
    return one !== undefined && isText(one) ? plain(one) : other;
  };
  return {
    onlyAscii: flag(given.ensure_ascii),
    betweenItems: separator(0, indent === undefined ? ", " : ","),
    betweenPairs: separator(1, ": "),
    indent,
    sortKeys: flag(given.sort_keys),
  };
}

const MOST_INDENT = 64;

function indentOf(given: Value | undefined): string | undefined {
  if (given === undefined || given === null) return undefined;
  if (isText(given)) return plain(given);
  const width = Number(given);
  if (!(width <= MOST_INDENT)) fault(`an indent of more than ${MOST_INDENT} is not supported`);
  return " ".repeat(Math.max(0, width));
}

function entriesOf(dict: Dict, { sortKeys }: Style): [Value, Value][] {
  return sortKeys ? dict.items().sort(([left], [right]) => order(left, right)) : dict.items();
}

function keyText(key: Value): string {
  if (isText(key)) return plain(key);
  if (key instanceof Tuple) fault("keys must be str, int, float, bool or None, not tuple");
  return scalar(key);
}

function scalar(value: Value): string {
  if (value === null) return "null";
  if (typeof value === "boolean" || typeof value === "bigint") return String(value);
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : special(value);
  if (value instanceof Float) return special(value.value);
  if (value instanceof Undefined) fault("Object of type Undefined is not JSON serializable");
  return fault(`Object of type ${typeName(value)} is not JSON serializable`);
}

function special(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (Number.isFinite(value)) return printFloat(value);
  return value > 0 ? "Infinity" : "-Infinity";
}

function quote(text: string, onlyAscii: boolean): string {
  // JavaScript escapes as Python does, but for halves of characters, which nothing decodes to.
  const quoted = JSON.stringify(text);
  if (!onlyAscii) return quoted;
  return quoted.replace(/[\u007f-\uffff]/g, (unit) =>
    unit === "\x7f" ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A value of JSON as a template has it; every string of it is content. */
export function fromJson(value: unknown): Value {
  if (typeof value === "string") return content(value);
  if (value === null || typeof value === "boolean" || typeof value === "number" || typeof value === "bigint")
    return value;
  if (value instanceof Float) return value;
  if (Array.isArray(value)) return value.map(fromJson);
  if (typeof value !== "object") return null;
  const dict = new Dict(true);
  for (const [written, item] of Object.entries(value)) {
    const key = written.startsWith(DIGITS_MARK) ? written.slice(DIGITS_MARK.length) : written;
    if (item !== undefined) dict.set(key, key, fromJson(item));
  }
  return dict;
}

/**
 * Keys of digits alone, escaped or not, which JavaScript would put before all others. No string of JSON holds the first
 * quotation mark.
 */
const DIGITS_KEY = /([{,]\s*")((?:\d|\\u003\d)+"\s*:)/g;
/** Stands before such a key while it is read: no key means anything by it. */
const DIGITS_MARK = "\uE000\uE001\uE000";

/** Reads JSON text to a value in which numbers and the order of keys are what Python reads. Throws SyntaxError. */
export function parseJson(text: string): Value {
  const ordered = text.replace(DIGITS_KEY, `$1${DIGITS_MARK}$2`);
  return fromJson(SPECIAL_NUMBER.test(text) ? JSON.parse(ordered, revive) : JSON.parse(ordered));
}

function revive(_: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== "number" || context?.source === undefined) return value;
  const { source } = context;
  if (/[.eE]/.test(source)) return Number.isInteger(value) ? new Float(value) : value;
  return Number.isSafeInteger(value) ? value : BigInt(source);
}
