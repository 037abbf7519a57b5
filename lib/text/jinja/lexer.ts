import { fault } from "./values.ts";

/** A token of a template. */
export interface Token {
  /** `data` is text outside of tags; `end` comes once, last. */
  readonly kind:
    | "data"
    | "variable_begin"
    | "variable_end"
    | "block_begin"
    | "block_end"
    | "name"
    | "string"
    | "integer"
    | "float"
    | "operator"
    | "end";
  /** Text, a name, an operator; of a string what it says. */
  readonly value: string;
  /** From 1. */
  readonly line: number;
}

/** What Python takes for white space: not what JavaScript does. */
export const SPACES = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const SPACE = new RegExp(`[${SPACES}]+`, "y");
const ONLY_SPACE = new RegExp(`^[${SPACES}]+$`);
const TRAILING = new RegExp(`[${SPACES}]+$`);
const RAW = new RegExp(`\\{%([-+]?)[${SPACES}]*raw[${SPACES}]*(?:-%\\}[${SPACES}]*|%\\})`, "y");
const RAW_END = new RegExp(`\\{%([-+]?)[${SPACES}]*endraw[${SPACES}]*(?:\\+%\\}|-%\\}[${SPACES}]*|%\\}\\n?)`, "g");
const COMMENT_END = new RegExp(`\\+#\\}|-#\\}[${SPACES}]*|#\\}\\n?`, "g");
const BLOCK_END = new RegExp(`\\+%\\}|-%\\}[${SPACES}]*|%\\}\\n?`, "y");
const VARIABLE_END = new RegExp(`-\\}\\}[${SPACES}]*|\\}\\}`, "y");
const FLOAT = /(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const NAME = /[\p{XID_Start}_][\p{XID_Continue}]*/uy;
const STRING = /'([^'\\]*(?:\\[\s\S][^'\\]*)*)'|"([^"\\]*(?:\\[\s\S][^"\\]*)*)"/y;
const OPERATOR = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y;
const CLOSED_BY: Readonly<Record<string, string>> = { "{": "}", "(": ")", "[": "]" };

/** Cuts a template into tokens, with `trim_blocks` and `lstrip_blocks` as transformers has them. Faults with the line. */
export function lex(source: string): Token[] {
  return new Lexer(source).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  /** The last thing read ended a line, as the start of the template does. */
  #startsLine = true;

  constructor(source: string) {
    // Line ends are one character, and the last one is dropped.
    this.#source = source.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  }

  run(): Token[] {
    while (this.#at < this.#source.length) {
      const open = this.#findOpen();
      if (open < 0) {
        this.#push("data", this.#source.slice(this.#at));
        break;
      }
      this.#enter(open);
    }
    this.#push("end", "");
    return this.#tokens;
  }

  #findOpen(): number {
    for (let at = this.#source.indexOf("{", this.#at); at >= 0; at = this.#source.indexOf("{", at + 1)) {
      if ("{%#".includes(this.#source[at + 1] ?? " ")) return at;
    }
    return -1;
  }

  /** Reads what begins at `open`, and the text before it. */
  #enter(open: number): void {
    const kind = this.#source[open + 1];
    RAW.lastIndex = open;
    const raw = RAW.exec(this.#source);
    const sign = this.#source[open + 2];
    this.#data(this.#source.slice(this.#at, open), sign, kind === "{");
    if (raw) {
      this.#raw(open + raw[0].length);
      return;
    }
    this.#startsLine = false;
    this.#at = open + (sign === "-" || sign === "+" ? 3 : 2);
    if (kind === "#") this.#comment();
    else if (kind === "{") this.#inside("variable_begin", "variable_end", VARIABLE_END);
    else this.#inside("block_begin", "block_end", BLOCK_END);
  }

  /** Text before a tag whose sign says what becomes of white space. */
  #data(text: string, sign: string | undefined, isVariable: boolean): void {
    let kept = text;
    if (sign === "-") kept = text.replace(TRAILING, "");
    else if (sign !== "+" && !isVariable) {
      const start = text.lastIndexOf("\n") + 1;
      if ((start > 0 || this.#startsLine) && ONLY_SPACE.test(text.slice(start))) kept = text.slice(0, start);
    }
    if (kept) this.#push("data", kept);
    this.#count(text);
  }

  #raw(start: number): void {
    this.#count(this.#source.slice(this.#at, start));
    this.#startsLine = this.#source[start - 1] === "\n";
    RAW_END.lastIndex = start;
    const end = RAW_END.exec(this.#source);
    if (!end) this.#fail("Missing end of raw directive");
    this.#data(this.#source.slice(start, end.index), end[1], false);
    this.#take(end[0], RAW_END.lastIndex);
  }

  #comment(): void {
    COMMENT_END.lastIndex = this.#at;
    const end = COMMENT_END.exec(this.#source);
    if (!end) this.#fail("Missing end of comment tag");
    this.#take(this.#source.slice(this.#at, COMMENT_END.lastIndex), COMMENT_END.lastIndex);
  }

  #inside(begin: Token["kind"], end: Token["kind"], ends: RegExp): void {
    this.#push(begin, "");
    const open: string[] = [];
    while (this.#at < this.#source.length) {
      if (open.length === 0) {
        const closing = this.#match(ends);
        if (closing !== undefined) {
          this.#push(end, "");
          this.#take(closing, this.#at + closing.length);
          return;
        }
      }
      const space = this.#match(SPACE);
      if (space !== undefined) this.#take(space, this.#at + space.length);
      else this.#token(open);
    }
  }

  #token(open: string[]): void {
    const kinds = [
      ["float", FLOAT],
      ["integer", INTEGER],
      ["name", NAME],
      ["string", STRING],
      ["operator", OPERATOR],
    ] as const;
    for (const [kind, pattern] of kinds) {
      if (kind === "float" && this.#source[this.#at - 1] === ".") continue;
      const text = this.#match(pattern);
      if (text === undefined) continue;
      if (kind === "operator") this.#balance(text, open);
      this.#push(
        kind,
        kind === "string" ? readEscapes(text.slice(1, -1), this.#line) : text.replace(/_/g, kind === "name" ? "_" : ""),
      );
      this.#take(text, this.#at + text.length);
      return;
    }
    this.#fail(`unexpected char '${this.#source[this.#at]}'`);
  }

  #balance(operator: string, open: string[]): void {
    const closing = CLOSED_BY[operator];
    if (closing) open.push(closing);
    else if (operator === "}" || operator === ")" || operator === "]") {
      const expected = open.pop();
      if (expected === undefined) this.#fail(`unexpected '${operator}'`);
      if (expected !== operator) this.#fail(`unexpected '${operator}', expected '${expected}'`);
    }
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#source)?.[0];
  }

  #take(text: string, end: number): void {
    this.#count(text);
    this.#startsLine = text.endsWith("\n");
    this.#at = end;
  }

  #count(text: string): void {
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) this.#line++;
  }

  #push(kind: Token["kind"], value: string): void {
    this.#tokens.push({ kind, value, line: this.#line });
  }

  #fail(detail: string): never {
    return fault(`line ${this.#line}: ${detail}`);
  }
}

const SHORT: Readonly<Record<string, string>> = {
  ...{ "\\": "\\", "'": "'", '"': '"', a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v", "\n": "" },
};

/** Python's escapes of a string literal. */
function readEscapes(text: string, line: number): string {
  if (!text.includes("\\")) return text;
  const known = /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|(N\{|[\s\S]))/g;
  return text.replace(known, (whole, x?: string, u?: string, long?: string, octal?: string, other?: string) => {
    const hex = x ?? u ?? long;
    if (hex !== undefined) {
      const code = Number.parseInt(hex, 16);
      if (code > 0x10ffff) fault(`line ${line}: illegal Unicode character in a string`);
      return String.fromCodePoint(code);
    }
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
    if (other === "N{" || other === "x" || other === "u" || other === "U")
      fault(`line ${line}: ${whole} is no escape that is supported`);
    return SHORT[other ?? ""] ?? whole;
  });
}
