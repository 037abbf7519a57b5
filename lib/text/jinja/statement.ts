import { call } from "./access.ts";
import { parseArguments, parseExpression, parseFilter, parseTuple } from "./expression.ts";
import { compileLoop } from "./loop.ts";
import { compileMacro, type Signature } from "./macro.ts";
import { plain } from "./marked.ts";
import { truth } from "./operators.ts";
import { str } from "./print.ts";
import { type Expression, type Onward, type Run, Scope, type Statement } from "./run.ts";
import { parseTarget, type Target } from "./target.ts";
import { Tokens } from "./tokens.ts";
import type { Args, Value } from "./values.ts";

/** A template that was read. */
export interface ParsedTemplate {
  /** All of it; may be run again and again. */
  readonly body: Statement;
  /** Every name, attribute and text that stands in it: what is not among them it cannot ask for. */
  readonly mentions: ReadonlySet<string>;
}

/** Reads a template. Faults with the line for what Python or we do not understand. */
export function parseTemplate(source: string): ParsedTemplate {
  const tokens = new Tokens(source);
  const body = parseBody(tokens, []);
  return { body, mentions: tokens.mentions };
}

/** Statements up to a tag with one of these names, which is not taken. */
function parseBody(tokens: Tokens, ends: readonly string[]): Statement {
  const statements: Statement[] = [];
  for (;;) {
    const { kind, value, line } = tokens.current;
    if (kind === "data") {
      tokens.take();
      tokens.mentions.add(value);
      statements.push(writeData(value));
    } else if (kind === "variable_begin") {
      tokens.take();
      statements.push(write(parseTuple(tokens), line));
      tokens.expect("variable_end");
    } else if (kind === "block_begin") {
      tokens.take();
      if (tokens.isName(...ends)) return sequence(statements);
      statements.push(parseTag(tokens));
      tokens.expect("block_end");
    } else if (ends.length > 0) tokens.fail(`the template ends where ${ends.join(" or ")} is expected`);
    else return sequence(statements);
  }
}

function writeData(text: string): Statement {
  return (run) => {
    run.out.add(text);
    return "on";
  };
}

function write(value: Expression, line: number): Statement {
  return (run) => {
    run.line = line;
    const text = str(value(run));
    run.room(run.out.length + plain(text).length);
    run.out.add(text);
    return "on";
  };
}

function sequence(statements: readonly Statement[]): Statement {
  if (statements.length === 1) return statements[0]!;
  return (run) => {
    for (const statement of statements) {
      const onward = statement(run);
      if (onward !== "on") return onward;
    }
    return "on";
  };
}

/** The end of a tag, statements, and the tag that ends them, whose name is returned. */
function parseUntil(tokens: Tokens, ...ends: readonly string[]): { readonly body: Statement; readonly end: string } {
  tokens.skip("operator", ":");
  tokens.expect("block_end");
  const body = tokens.nested(() => parseBody(tokens, ends));
  return { body, end: tokens.take().value };
}

const TAGS: Readonly<Record<string, (tokens: Tokens, line: number) => Statement>> = {
  for: parseFor,
  if: parseIf,
  set: parseSet,
  macro: parseMacro,
  call: parseCallBlock,
  filter: parseFilterBlock,
  with: parseWith,
  generation: parseGeneration,
  print: parsePrint,
  break: (tokens) => leaveLoop(tokens, "break"),
  continue: (tokens) => leaveLoop(tokens, "continue"),
};

/** Tags that Python has and that mean nothing in one template on its own, or that change how all else is printed. */
const REFUSED = new Set(["extends", "include", "import", "from", "block", "autoescape"]);

function parseTag(tokens: Tokens): Statement {
  const { value: name, line } = tokens.expect("name");
  const parse = Object.hasOwn(TAGS, name) ? TAGS[name] : undefined;
  if (parse) return tokens.nested(() => parse(tokens, line));
  if (REFUSED.has(name)) tokens.fail(`the tag ${name} is not supported`, line);
  return tokens.fail(`there is no tag ${name}, or it does not belong here`, line);
}

function leaveLoop(tokens: Tokens, onward: Onward): Statement {
  if (tokens.loops === 0) tokens.fail(`${onward} outside of a loop`);
  return () => onward;
}

function parseFor(tokens: Tokens, line: number): Statement {
  const target = parseTarget(tokens, { endsAt: "in" });
  tokens.expect("name", "in");
  const items = parseTuple(tokens, { withCondition: false, endsAt: "recursive" });
  const test = tokens.skip("name", "if") ? parseExpression(tokens) : undefined;
  const isRecursive = tokens.skip("name", "recursive");
  tokens.loops++;
  const { body, end } = tokens.conditional(false, () => parseUntil(tokens, "endfor", "else"));
  tokens.loops--;
  const otherwise = end === "else" ? parseUntil(tokens, "endfor").body : undefined;
  return compileLoop({ target, items, test, isRecursive, body, otherwise, line });
}

function parseIf(tokens: Tokens): Statement {
  const branches: [Expression, Statement][] = [];
  let otherwise: Statement | undefined;
  for (let at = "elif"; at === "elif"; ) {
    const condition = tokens.conditional(true, () => parseTuple(tokens, { withCondition: false }));
    const { body, end } = tokens.conditional(true, () => parseUntil(tokens, "elif", "else", "endif"));
    branches.push([condition, body]);
    at = end;
    if (end === "else") otherwise = tokens.conditional(true, () => parseUntil(tokens, "endif")).body;
  }
  return (run) => {
    for (const [condition, body] of branches) if (truth(condition(run))) return body(run);
    return otherwise ? otherwise(run) : "on";
  };
}

function parseSet(tokens: Tokens, line: number): Statement {
  const target = parseTarget(tokens, { withNamespace: true });
  if (tokens.skip("operator", "=")) {
    const value = parseTuple(tokens);
    return (run) => {
      run.line = line;
      target(run, value(run));
      return "on";
    };
  }
  const filter = tokens.isOperator("|") ? parseFilterChain(tokens) : undefined;
  const { body } = parseUntil(tokens, "endset");
  return (run) => {
    const written = captureBody(run, body);
    target(run, filter ? filter(run, written) : written);
    return "on";
  };
}

function captureBody(run: Run, body: Statement): Value {
  return run.capture(() => run.inside(new Scope(run.scope), () => body(run)));
}

/** Filters one behind the other, for what a body writes. */
function parseFilterChain(tokens: Tokens, startsWithName = false): (run: Run, written: Value) => Value {
  let given: Value = "";
  let chain: Expression = () => given;
  for (let isFirst = startsWithName; isFirst || tokens.skip("operator", "|"); isFirst = false)
    chain = parseFilter(tokens, chain);
  return (run, written) => {
    given = written;
    return chain(run);
  };
}

function parseFilterBlock(tokens: Tokens): Statement {
  const filter = parseFilterChain(tokens, true);
  const { body } = parseUntil(tokens, "endfilter");
  return (run) => {
    run.out.add(str(filter(run, captureBody(run, body))));
    return "on";
  };
}

function parseWith(tokens: Tokens): Statement {
  const pairs: [Target, Expression][] = [];
  while (!tokens.is("block_end")) {
    if (pairs.length > 0) tokens.expect("operator", ",");
    const target = parseTarget(tokens, {});
    tokens.expect("operator", "=");
    pairs.push([target, parseExpression(tokens)]);
  }
  const { body } = parseUntil(tokens, "endwith");
  return (run) => {
    const values = pairs.map(([, value]) => value(run));
    return run.inside(new Scope(run.scope), () => {
      pairs.forEach(([target], at) => {
        target(run, values[at]!);
      });
      return body(run);
    });
  };
}

/** Marks what an assistant said, for training; it writes what is in it. */
function parseGeneration(tokens: Tokens): Statement {
  const { body } = parseUntil(tokens, "endgeneration");
  return (run) => {
    run.inside(new Scope(run.scope), () => body(run));
    return "on";
  };
}

function parsePrint(tokens: Tokens, line: number): Statement {
  const values: Statement[] = [];
  while (!tokens.is("block_end")) {
    if (values.length > 0) tokens.expect("operator", ",");
    values.push(write(parseExpression(tokens), line));
  }
  return sequence(values);
}

function parseMacro(tokens: Tokens): Statement {
  const name = tokens.expect("name").value;
  const signature = parseSignature(tokens);
  const make = parseMacroBody(tokens, name, signature, "endmacro");
  return (run) => {
    run.scope.set(name, make(run));
    return "on";
  };
}

/** A body that is called, with the names that it reads on its own. */
function parseMacroBody(tokens: Tokens, name: string, signature: Signature, end: string): (run: Run) => Value {
  const { readsOfMacro: outer, loops } = tokens;
  tokens.readsOfMacro = new Set();
  tokens.loops = 0;
  const { body } = tokens.conditional(false, () => parseUntil(tokens, end));
  const reads = tokens.readsOfMacro;
  for (const read of reads) outer.add(read);
  tokens.readsOfMacro = outer;
  tokens.loops = loops;
  return compileMacro({ name, signature, body, reads });
}

function parseSignature(tokens: Tokens): Signature {
  const parameters: { name: string; initial: Expression | undefined }[] = [];
  tokens.expect("operator", "(");
  while (!tokens.isOperator(")")) {
    if (parameters.length > 0) tokens.expect("operator", ",");
    const name = tokens.expect("name").value;
    const initial = tokens.skip("operator", "=") ? parseExpression(tokens) : undefined;
    if (!initial && parameters.at(-1)?.initial) tokens.fail("non-default argument follows default argument");
    parameters.push({ name, initial });
  }
  tokens.take();
  return parameters;
}

function parseCallBlock(tokens: Tokens, line: number): Statement {
  const signature = tokens.isOperator("(") ? parseSignature(tokens) : [];
  const called = parseCalled(tokens);
  const make = parseMacroBody(tokens, "caller", signature, "endcall");
  return (run) => {
    run.line = line;
    const { value, args } = called(run);
    const named = new Map<string, Value>([...(args.named ?? []), ["caller", make(run)]]);
    const text = str(call(value, { ...args, named }));
    run.room(run.out.length + plain(text).length);
    run.out.add(text);
    return "on";
  };
}

/** The call of a call block: what is called, and what it brings. */
function parseCalled(tokens: Tokens): (run: Run) => { readonly value: Value; readonly args: Args } {
  const { value: name, line } = tokens.expect("name");
  tokens.mentions.add(name);
  tokens.readsOfMacro.add(name);
  if (!tokens.isOperator("(")) tokens.fail("a call block calls a macro by its name", line);
  const args = parseArguments(tokens);
  return (run) => ({ value: run.scope.get(name), args: args(run) });
}
