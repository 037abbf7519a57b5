import { attributeReader, call, item, slice } from "./access.ts";
import { FILTERS } from "./filters.ts";
import { keyName } from "./key-name.ts";
import { concat, plain } from "./marked.ts";
import { float, int } from "./numbers.ts";
import { contains, equal, iterate, operate, order, signed, truth } from "./operators.ts";
import { str } from "./print.ts";
import type { Arguments, Expression } from "./run.ts";
import { TESTS } from "./tests.ts";
import { MISSING_METHODS } from "./text-methods.ts";
import type { Tokens } from "./tokens.ts";
import { Dict, fault, isText, Tuple, Undefined, type Value } from "./values.ts";

/** What may stand in one place. */
export interface TupleRules {
  /** Default true. False in the head of a loop: an `if` there is the loop's own. */
  readonly withCondition?: boolean;
  /** A name that ends the tuple, after a comma. */
  readonly endsAt?: string;
  /** In parentheses, where it may be empty. */
  readonly isClosed?: boolean;
}

/** One expression, or several with commas, which are a tuple. */
export function parseTuple(tokens: Tokens, rules: TupleRules = {}): Expression {
  const items: Expression[] = [];
  let isTuple = false;
  for (;;) {
    if (items.length > 0) tokens.expect("operator", ",");
    if (endsTuple(tokens, rules)) break;
    items.push(rules.withCondition === false ? parseOr(tokens) : parseExpression(tokens));
    if (!tokens.isOperator(",")) break;
    isTuple = true;
  }
  if (!isTuple) {
    if (items[0]) return items[0];
    if (!rules.isClosed) tokens.fail(`expected an expression, found ${tokens.current.value || tokens.current.kind}`);
  }
  return (run) => new Tuple(items.map((one) => one(run)));
}

function endsTuple(tokens: Tokens, { endsAt }: TupleRules): boolean {
  const { kind } = tokens.current;
  if (kind === "variable_end" || kind === "block_end" || tokens.isOperator(")")) return true;
  return endsAt !== undefined && tokens.isName(endsAt);
}

/** One expression, perhaps with a condition. */
export function parseExpression(tokens: Tokens): Expression {
  return tokens.nested(() => {
    let value = parseOr(tokens);
    while (tokens.skip("name", "if")) {
      const then = value;
      const condition = parseOr(tokens);
      const otherwise = tokens.skip("name", "else") ? tokens.conditional(true, () => parseExpression(tokens)) : noElse;
      value = (run) => (truth(condition(run)) ? then(run) : otherwise(run));
    }
    return value;
  });
}

const noElse: Expression = () =>
  new Undefined("the inline if-expression evaluated to false and no else section was defined.");

/** Without a condition. */
export function parseOr(tokens: Tokens): Expression {
  let left = parseAnd(tokens);
  while (tokens.skip("name", "or")) {
    const [first, second] = [left, parseAnd(tokens)];
    left = (run) => {
      const value = first(run);
      return truth(value) ? value : second(run);
    };
  }
  return left;
}

function parseAnd(tokens: Tokens): Expression {
  let left = parseNot(tokens);
  while (tokens.skip("name", "and")) {
    const [first, second] = [left, parseNot(tokens)];
    left = (run) => {
      const value = first(run);
      return truth(value) ? second(run) : value;
    };
  }
  return left;
}

function parseNot(tokens: Tokens): Expression {
  if (!tokens.skip("name", "not")) return parseCompare(tokens);
  const value = tokens.nested(() => parseNot(tokens));
  return (run) => !truth(value(run));
}

type Comparison = (left: Value, right: Value) => boolean;

const COMPARISONS: Readonly<Record<string, Comparison>> = {
  "==": equal,
  "!=": (left, right) => !equal(left, right),
  "<": (left, right) => order(left, right, "<") < 0,
  "<=": (left, right) => order(left, right, "<=") <= 0,
  ">": (left, right) => order(left, right, ">") > 0,
  ">=": (left, right) => order(left, right, ">=") >= 0,
  in: (left, right) => contains(right, left),
  "not in": (left, right) => !contains(right, left),
};

function parseCompare(tokens: Tokens): Expression {
  const first = parseSum(tokens);
  const steps: [Comparison, Expression][] = [];
  for (let sign = comparisonAt(tokens); sign; sign = comparisonAt(tokens))
    steps.push([COMPARISONS[sign]!, parseSum(tokens)]);
  const [only] = steps;
  if (!only) return first;
  if (steps.length === 1) {
    const [compare, second] = only;
    return (run) => compare(first(run), second(run));
  }
  return (run) => {
    let left = first(run);
    for (const [compare, next] of steps) {
      const right = next(run);
      if (!compare(left, right)) return false;
      left = right;
    }
    return true;
  };
}

function comparisonAt(tokens: Tokens): string | undefined {
  if (tokens.isOperator("==", "!=", "<", "<=", ">", ">=")) return tokens.take().value;
  if (tokens.skip("name", "in")) return "in";
  if (!tokens.isName("not") || tokens.following.kind !== "name" || tokens.following.value !== "in") return undefined;
  tokens.take();
  tokens.take();
  return "not in";
}

/** A level of signs that bind alike, from left to right. */
function parseSigns(tokens: Tokens, signs: readonly string[], parse: (tokens: Tokens) => Expression): Expression {
  let left = parse(tokens);
  while (tokens.isOperator(...signs)) {
    const sign = tokens.take().value;
    const [first, second] = [left, parse(tokens)];
    left = (run) => operate(run, sign, first(run), second(run));
  }
  return left;
}

const parseSum = (tokens: Tokens): Expression => parseSigns(tokens, ["+", "-"], parseConcat);
const parseProduct = (tokens: Tokens): Expression => parseSigns(tokens, ["*", "/", "//", "%"], parsePower);
const parsePower = (tokens: Tokens): Expression => parseSigns(tokens, ["**"], (inner) => parseUnary(inner, true));

function parseConcat(tokens: Tokens): Expression {
  const parts = [parseProduct(tokens)];
  while (tokens.skip("operator", "~")) parts.push(parseProduct(tokens));
  if (parts.length === 1) return parts[0]!;
  return (run) => {
    const texts = parts.map((part) => str(part(run)));
    run.room(texts.reduce((total, text) => total + plain(text).length, 0));
    return concat(texts);
  };
}

function parseUnary(tokens: Tokens, withFilter: boolean): Expression {
  let value: Expression;
  if (tokens.isOperator("-", "+")) {
    const sign = tokens.take().value as "-" | "+";
    const inner = tokens.nested(() => parseUnary(tokens, false));
    value = (run) => signed(sign, inner(run));
  } else value = parsePrimary(tokens);
  value = parsePostfix(tokens, value);
  return withFilter ? parseFilters(tokens, value) : value;
}

const CONSTANTS: Readonly<Record<string, Value>> = {
  ...{ true: true, True: true, false: false, False: false, none: null, None: null },
};

function parsePrimary(tokens: Tokens): Expression {
  const token = tokens.take();
  if (token.kind === "name") return parseName(tokens, token.value);
  if (token.kind === "string") return parseText(tokens, token.value);
  if (token.kind === "integer" || token.kind === "float") return parseNumber(token.kind, token.value);
  if (token.kind === "operator") {
    if (token.value === "(") {
      const value = tokens.nested(() => parseTuple(tokens, { isClosed: true }));
      tokens.expect("operator", ")");
      return value;
    }
    if (token.value === "[") return parseList(tokens);
    if (token.value === "{") return parseDict(tokens);
  }
  return tokens.fail(`unexpected ${token.value || token.kind}`, token.line);
}

/** Strings that stand beside each other are one. */
function parseText(tokens: Tokens, first: string): Expression {
  let text = first;
  while (tokens.is("string")) text += tokens.take().value;
  tokens.mentions.add(text);
  return () => text;
}

function parseNumber(kind: "integer" | "float", text: string): Expression {
  const value = kind === "float" ? float(Number(text)) : int(BigInt(text.replace(/^0+(?=\d)/, "")));
  return () => value;
}

function parseName(tokens: Tokens, name: string): Expression {
  const constant = CONSTANTS[name];
  if (constant !== undefined) return () => constant;
  tokens.mentions.add(name);
  tokens.readsOfMacro.add(name);
  return (run) => run.scope.get(name);
}

function parseList(tokens: Tokens): Expression {
  const items: Expression[] = [];
  while (!tokens.isOperator("]")) {
    if (items.length > 0) tokens.expect("operator", ",");
    if (tokens.isOperator("]")) break;
    items.push(parseExpression(tokens));
  }
  tokens.take();
  return (run) => items.map((one) => one(run));
}

function parseDict(tokens: Tokens): Expression {
  const pairs: [Expression, Expression][] = [];
  while (!tokens.isOperator("}")) {
    if (pairs.length > 0) tokens.expect("operator", ",");
    if (tokens.isOperator("}")) break;
    const key = parseExpression(tokens);
    tokens.expect("operator", ":");
    pairs.push([key, parseExpression(tokens)]);
  }
  tokens.take();
  return (run) => {
    const dict = new Dict();
    for (const [key, value] of pairs) {
      const made = key(run);
      dict.set(keyName(made), made, value(run));
    }
    return dict;
  };
}

function parsePostfix(tokens: Tokens, value: Expression): Expression {
  let made = value;
  for (;;) {
    if (tokens.isOperator(".")) made = parseAttribute(tokens, made);
    else if (tokens.isOperator("[")) made = parseSubscript(tokens, made);
    else if (tokens.isOperator("(")) made = parseCall(tokens, made);
    else return made;
  }
}

function parseAttribute(tokens: Tokens, value: Expression): Expression {
  tokens.take();
  const token = tokens.take();
  if (token.kind === "integer") {
    const at = int(BigInt(token.value));
    return (run) => item(value(run), at);
  }
  if (token.kind !== "name") tokens.fail("expected name or number", token.line);
  const name = token.value;
  if (tokens.isOperator("(") && MISSING_METHODS.has(name))
    tokens.fail(`the method ${name} is not supported`, token.line);
  tokens.mentions.add(name);
  const read = attributeReader(name);
  return (run) => read(value(run));
}

function parseSubscript(tokens: Tokens, value: Expression): Expression {
  tokens.take();
  const key = parseKey(tokens);
  if (tokens.isOperator(",")) tokens.fail("a subscript of several values is not supported");
  tokens.expect("operator", "]");
  if (typeof key === "function") return (run) => item(value(run), key(run));
  const [start, stop, step] = key;
  return (run) =>
    slice(value(run), { start: start?.(run) ?? null, stop: stop?.(run) ?? null, step: step?.(run) ?? null });
}

/** An expression, or the parts of a slice. */
function parseKey(tokens: Tokens): Expression | (Expression | undefined)[] {
  const part = (): Expression | undefined => (tokens.isOperator(":", "]", ",") ? undefined : parseExpression(tokens));
  const first = part();
  if (!tokens.isOperator(":")) return first ?? tokens.fail("expected subscript expression");
  const parts = [first];
  while (parts.length < 3 && tokens.skip("operator", ":")) parts.push(part());
  return parts;
}

function parseCall(tokens: Tokens, value: Expression): Expression {
  const { line } = tokens.current;
  const args = parseArguments(tokens);
  return (run) => {
    const called = value(run);
    run.line = line;
    run.spend(1);
    return call(called, args(run));
  };
}

/** What stands in the parentheses of a call. */
export function parseArguments(tokens: Tokens): Arguments {
  const { line } = tokens.expect("operator", "(");
  const values: Expression[] = [];
  const named: [string, Expression][] = [];
  let rest: Expression | undefined;
  let restNamed: Expression | undefined;
  const ensure = (holds: boolean): void => {
    if (!holds) tokens.fail("invalid syntax for function call expression", line);
  };
  for (let isFirst = true; !tokens.isOperator(")"); isFirst = false) {
    if (!isFirst) {
      tokens.expect("operator", ",");
      if (tokens.isOperator(")")) break;
    }
    if (tokens.skip("operator", "*")) {
      ensure(!rest && !restNamed);
      rest = parseExpression(tokens);
    } else if (tokens.skip("operator", "**")) {
      ensure(!restNamed);
      restNamed = parseExpression(tokens);
    } else if (tokens.is("name") && tokens.following.kind === "operator" && tokens.following.value === "=") {
      ensure(!restNamed);
      const name = tokens.take().value;
      tokens.take();
      named.push([name, parseExpression(tokens)]);
    } else {
      ensure(!rest && !restNamed && named.length === 0);
      values.push(parseExpression(tokens));
    }
  }
  tokens.take();
  return compileArguments(values, named, rest, restNamed);
}

function compileArguments(
  values: readonly Expression[],
  named: readonly [string, Expression][],
  rest: Expression | undefined,
  restNamed: Expression | undefined,
): Arguments {
  if (named.length === 0 && !rest && !restNamed) {
    if (values.length === 0) return (run) => ({ run, values: [], named: undefined });
    return (run) => ({ run, values: values.map((value) => value(run)), named: undefined });
  }
  return (run) => {
    const all = values.map((value) => value(run));
    const names = new Map(named.map(([name, value]) => [name, value(run)]));
    if (rest) all.push(...iterate(rest(run)));
    if (restNamed) addNamed(names, restNamed(run));
    return { run, values: all, named: names.size > 0 ? names : undefined };
  };
}

function addNamed(names: Map<string, Value>, given: Value): void {
  if (!(given instanceof Dict)) fault("argument after ** must be a mapping");
  for (const [key, value] of given.items()) {
    if (!isText(key)) fault("keywords must be strings");
    if (names.has(plain(key))) fault(`got multiple values for keyword argument '${plain(key)}'`);
    names.set(plain(key), value);
  }
}

/** Filters and tests behind a value. */
function parseFilters(tokens: Tokens, value: Expression): Expression {
  let made = value;
  for (;;) {
    if (tokens.skip("operator", "|")) made = parseFilter(tokens, made);
    else if (tokens.isName("is")) made = parseTest(tokens, made);
    else if (tokens.isOperator("(")) made = parseCall(tokens, made);
    else return made;
  }
}

/** A filter's name and arguments, put behind `value`; more may follow. */
export function parseFilter(tokens: Tokens, value: Expression): Expression {
  const { value: name, line } = tokens.expect("name");
  const filter = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
  if (!filter && (!tokens.isConditional || MISSING_FILTERS.has(name)))
    tokens.fail(`the filter ${name} is not supported`, line);
  const args = tokens.isOperator("(") ? parseArguments(tokens) : noArguments;
  if (!filter) return unknown(`No filter named '${name}' found.`, line);
  return (run) => {
    const given = value(run);
    const brought = args(run);
    run.line = line;
    run.spend(1);
    return filter(given, brought);
  };
}

/** Filters that jinja2 has and we have not, wherever they stand. */
const MISSING_FILTERS = new Set(["filesizeformat", "pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr"]);

function unknown(detail: string, line: number): Expression {
  return (run) => {
    run.line = line;
    return fault(detail);
  };
}

const noArguments: Arguments = (run) => ({ run, values: [], named: undefined });

function parseTest(tokens: Tokens, value: Expression): Expression {
  tokens.take();
  const isTurned = tokens.skip("name", "not");
  const { value: name, line } = tokens.expect("name");
  const test = Object.hasOwn(TESTS, name) ? TESTS[name] : undefined;
  if (!test && !tokens.isConditional) tokens.fail(`the test ${name} is not supported`, line);
  const args = parseTestArguments(tokens);
  if (!test) return unknown(`No test named '${name}' found.`, line);
  return (run) => {
    const given = value(run);
    const brought = args(run);
    run.line = line;
    return test(given, brought) !== isTurned;
  };
}

function parseTestArguments(tokens: Tokens): Arguments {
  if (tokens.isOperator("(")) return parseArguments(tokens);
  const { kind } = tokens.current;
  const begins =
    kind === "name" || kind === "string" || kind === "integer" || kind === "float" || tokens.isOperator("[", "{");
  if (!begins || tokens.isName("else", "or", "and")) return noArguments;
  if (tokens.isName("is")) tokens.fail("you cannot chain multiple tests with is");
  const value = parsePostfix(tokens, parsePrimary(tokens));
  return (run) => ({ run, values: [value(run)], named: undefined });
}
