/** Where a text stops being JSON. */
export interface JsonError {
  /** UTF-16 units before it. */
  readonly offset: number;
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
  /** What would have been right there, such as `a comma or }`. */
  readonly expected: string;
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const LITERAL = /true|false|null/y;

/** Finds the first mistake of a text that JSON.parse refused, without quoting any of it; undefined when there is none. */
export function findJsonError(text: string): JsonError | undefined {
  const scan = new Scanner(text);
  const expected = scan.run();
  if (expected === undefined) return undefined;
  const before = text.slice(0, scan.at);
  const line = before.split("\n").length;
  return { offset: scan.at, line, column: scan.at - before.lastIndexOf("\n"), expected };
}

/** Walks JSON with an explicit stack of open brackets, so that depth costs no call stack. */
class Scanner {
  at = 0;
  readonly #text: string;
  readonly #open: ("{" | "[")[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  /** What was expected where it stopped; undefined at the end of valid JSON. */
  run(): string | undefined {
    for (;;) {
      const value = this.#value();
      if (value !== undefined) return value || undefined;
    }
  }

  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.at;
    if (!pattern.test(this.#text)) return false;
    this.at = pattern.lastIndex;
    return true;
  }

  /** By hand: a pattern costs ten times as much, and this is asked for several times a character. */
  #space(): void {
    for (; this.at < this.#text.length; this.at++) {
      const unit = this.#text.charCodeAt(this.at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return;
    }
  }

  /** Skips one string, by hand: a pattern with a repeated group runs out of stack on a long one. */
  #string(): boolean {
    if (this.#text[this.at] !== '"') return false;
    this.at++;
    while (this.at < this.#text.length) {
      const unit = this.#text.charCodeAt(this.at);
      if (unit === 0x22) {
        this.at++;
        return true;
      }
      if (unit < 0x20) return false;
      if (unit !== 0x5c) this.at++;
      else if (!this.#skip(ESCAPE)) return false;
    }
    return false;
  }

  #take(char: string): boolean {
    this.#space();
    if (this.#text[this.at] !== char) return false;
    this.at++;
    return true;
  }

  /** One value or opening bracket with what follows it: undefined goes on, "" is the end, else what was expected. */
  #value(): string | undefined {
    this.#space();
    if (this.#take("{")) {
      if (this.#take("}")) return this.#after();
      this.#open.push("{");
      return this.#key();
    }
    if (this.#take("[")) {
      if (this.#take("]")) return this.#after();
      this.#open.push("[");
      return undefined;
    }
    return this.#string() || this.#skip(NUMBER) || this.#skip(LITERAL) ? this.#after() : "a value";
  }

  #key(): string | undefined {
    this.#space();
    if (!this.#string()) return "a name in double quotes";
    return this.#take(":") ? undefined : "a colon";
  }

  #after(): string | undefined {
    for (;;) {
      const open = this.#open.at(-1);
      if (open === undefined) {
        this.#space();
        return this.at === this.#text.length ? "" : "the end";
      }
      if (this.#take(",")) return open === "{" ? this.#key() : undefined;
      const close = open === "{" ? "}" : "]";
      if (!this.#take(close)) return `a comma or ${close}`;
      this.#open.pop();
    }
  }
}
