import { lex, type Token } from "./lexer.ts";
import { fault } from "./values.ts";

/** Expressions and statements inside each other, in the text of a template. */
const MOST_NESTED = 200;

/** The tokens of a template, with what the parser notes on its way. */
export class Tokens {
  /** Names that are read somewhere, of variables and attributes, and texts that stand in it. */
  readonly mentions = new Set<string>();
  /** Variables that the innermost macro reads. */
  readsOfMacro = new Set<string>();
  /** What stands here may never run: a filter that nobody knows is an error only when it does. */
  isConditional = false;
  /** Loops around this place, inside the innermost macro. */
  loops = 0;
  readonly #all: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#all = lex(source);
  }

  /** The next token. */
  get current(): Token {
    return this.#all[this.#at]!;
  }

  /** The one behind it. */
  get following(): Token {
    return this.#all[Math.min(this.#at + 1, this.#all.length - 1)]!;
  }

  /** Takes the next token. */
  take(): Token {
    const { current } = this;
    if (this.#at < this.#all.length - 1) this.#at++;
    return current;
  }

  is(kind: Token["kind"], value?: string): boolean {
    const { current } = this;
    return current.kind === kind && (value === undefined || current.value === value);
  }

  isName(...names: readonly string[]): boolean {
    return this.current.kind === "name" && names.includes(this.current.value);
  }

  isOperator(...signs: readonly string[]): boolean {
    return this.current.kind === "operator" && signs.includes(this.current.value);
  }

  /** Takes the next token if it is this one. */
  skip(kind: Token["kind"], value?: string): boolean {
    if (!this.is(kind, value)) return false;
    this.take();
    return true;
  }

  /** Takes the next token, which must be this one. */
  expect(kind: Token["kind"], value?: string): Token {
    if (!this.is(kind, value)) this.fail(`expected ${value ?? kind}, found ${this.current.value || this.current.kind}`);
    return this.take();
  }

  fail(detail: string, line = this.current.line): never {
    return fault(`line ${line}: ${detail}`);
  }

  /** Parses what may never run, or what runs whenever its surroundings do. */
  conditional<Result>(isConditional: boolean, parse: () => Result): Result {
    const outer = this.isConditional;
    this.isConditional = isConditional;
    const result = parse();
    this.isConditional = outer;
    return result;
  }

  /** Parses something inside of what is being parsed. */
  nested<Result>(parse: () => Result): Result {
    if (++this.#depth > MOST_NESTED) this.fail(`it is nested more than ${MOST_NESTED} deep`);
    const result = parse();
    this.#depth--;
    return result;
  }
}
