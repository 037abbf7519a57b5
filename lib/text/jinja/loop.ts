import { equal, iterate, truth } from "./operators.ts";
import { type Expression, type Run, Scope, type Statement } from "./run.ts";
import type { Target } from "./target.ts";
import { type Args, Attributes, Callable, fault, orElse, Tuple, Undefined, type Value } from "./values.ts";

/** A loop of a template. */
export interface LoopParts {
  /** What each item is assigned to. */
  readonly target: Target;
  /** What it goes through, computed once. */
  readonly items: Expression;
  /** Which items count; the others are not there for `loop`. */
  readonly test: Expression | undefined;
  /** Whether its body may call `loop` with other items. */
  readonly isRecursive: boolean;
  /** Runs once for each item. */
  readonly body: Statement;
  /** Where there was no item. */
  readonly otherwise: Statement | undefined;
  /** Where it stands, from 1. */
  readonly line: number;
}

/** A loop whose body has names of its own in every turn. */
export function compileLoop(parts: LoopParts): Statement {
  return (run) => {
    run.line = parts.line;
    const outer = run.scope;
    goThrough(parts, run, { items: parts.items(run), outer, depth: 0 });
    return "on";
  };
}

interface Round {
  readonly items: Value;
  /** The scope around the loop, also of a loop that calls itself. */
  readonly outer: Scope;
  readonly depth: number;
}

function goThrough(parts: LoopParts, run: Run, round: Round): void {
  const items = chosen(parts, run, round);
  if (items.length === 0) return void parts.otherwise?.(run);
  const state = { items, at: 0, last: undefined as readonly Value[] | undefined };
  const loop = loopValue(state, round, (given) => {
    if (!parts.isRecursive) fault("the loop is not recursive");
    const [inner] = given.values;
    if (inner === undefined) return fault("loop() missing 1 required argument");
    return run.deeper(() =>
      run.capture(() =>
        run.inside(round.outer, () =>
          goThrough(parts, run, { items: inner, outer: round.outer, depth: round.depth + 1 }),
        ),
      ),
    );
  });
  const { scope: outer } = run;
  for (; state.at < items.length; state.at++) {
    run.spend(1);
    run.scope = new Scope(round.outer);
    run.scope.set("loop", loop);
    parts.target(run, items[state.at]!);
    if (parts.body(run) === "break") break;
  }
  // An error ends the whole rendering, so that nobody looks at the scope then.
  run.scope = outer;
}

/** The items that the loop's own condition lets pass. */
function chosen({ target, test }: LoopParts, run: Run, { items, outer }: Round): readonly Value[] {
  const all = iterate(items);
  if (!test) return all;
  return all.filter((item) => {
    run.spend(1);
    return run.inside(new Scope(outer), () => {
      target(run, item);
      return truth(test(run));
    });
  });
}

interface LoopState {
  readonly items: readonly Value[];
  at: number;
  /** What `changed` was last told. */
  last: readonly Value[] | undefined;
}

function loopValue(state: LoopState, { depth }: Round, again: (args: Args) => Value): Attributes {
  return new Attributes("LoopContext", (name) => readLoop(name, state, depth), again);
}

function readLoop(name: string, state: LoopState, depth: number): Value | undefined {
  const { at, items } = state;
  switch (name) {
    case "index":
      return at + 1;
    case "index0":
      return at;
    case "revindex":
      return items.length - at;
    case "revindex0":
      return items.length - at - 1;
    case "first":
      return at === 0;
    case "last":
      return at === items.length - 1;
    case "length":
      return items.length;
    case "depth":
      return depth + 1;
    case "depth0":
      return depth;
    case "previtem":
      return orElse(items[at - 1], () => new Undefined("there is no previous item"));
    case "nextitem":
      return orElse(items[at + 1], () => new Undefined("there is no next item"));
    case "cycle":
      return new Callable(name, ({ values }) =>
        orElse(values[at % values.length], () => fault("no items for cycling given")),
      );
    case "changed":
      return new Callable(name, ({ values }) => changed(state, values));
    default:
      return undefined;
  }
}

function changed(state: LoopState, values: readonly Value[]): boolean {
  const same = state.last !== undefined && equal(new Tuple(state.last), new Tuple(values));
  if (!same) state.last = values;
  return !same;
}
