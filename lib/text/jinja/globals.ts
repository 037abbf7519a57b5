import type { Clock } from "#lib/base/clock";
import { bind, text } from "./args.ts";
import { keyName } from "./key-name.ts";
import { plain } from "./marked.ts";
import { index } from "./numbers.ts";
import { iterate } from "./operators.ts";
import { str } from "./print.ts";
import { strftime } from "./strftime.ts";
import {
  type Args,
  Attributes,
  Callable,
  Dict,
  fault,
  isText,
  Namespace,
  orElse,
  Range,
  type Value,
} from "./values.ts";

/** The sandbox of Python makes no longer range. */
const MOST_RANGE = 100_000;

/** What every template may call. `raise` is told what a template says when it refuses its messages, and throws. */
export function templateGlobals(clock: Clock, raise: (message: string) => never): ReadonlyMap<string, Value> {
  const functions: Readonly<Record<string, (args: Args) => Value>> = {
    raise_exception: ({ values }) => raise(plain(str(orElse(values[0], () => "")))),
    strftime_now: ({ values }) => strftime(new Date(clock.unixMs()), plain(text(values[0], "the format"))),
    range: rangeOf,
    dict: dictOf,
    namespace: namespaceOf,
    cycler: cyclerOf,
    joiner: joinerOf,
  };
  return new Map(Object.entries(functions).map(([name, call]) => [name, new Callable(name, call)]));
}

function rangeOf({ run, values }: Args): Range {
  const [first, second, third] = values.map((value) => index(value, "a bound of a range"));
  if (first === undefined) return fault("range expected at least 1 argument, got 0");
  const step = third ?? 1;
  if (step === 0) return fault("range() arg 3 must not be zero");
  const range = second === undefined ? new Range(0, first, 1) : new Range(first, second, step);
  if (range.length > MOST_RANGE)
    return fault(`Range too big. The sandbox blocks ranges larger than MAX_RANGE (${MOST_RANGE}).`);
  run.spend(1);
  return range;
}

function addPairs(values: readonly Value[], put: (key: Value, value: Value) => void): void {
  const [given] = values;
  if (given === undefined) return;
  if (given instanceof Dict) for (const [key, value] of given.items()) put(key, value);
  else {
    for (const pair of iterate(given)) {
      const [key, value] = iterate(pair);
      if (key === undefined || value === undefined) fault("a pair of a key and a value is expected");
      put(key, value);
    }
  }
}

function dictOf({ values, named }: Args): Dict {
  const dict = new Dict();
  addPairs(values, (key, value) => dict.set(keyName(key), key, value));
  for (const [name, value] of named ?? []) dict.set(name, name, value);
  return dict;
}

function namespaceOf({ values, named }: Args): Namespace {
  const space = new Namespace();
  addPairs(values, (key, value) => {
    if (!isText(key)) fault("names of a namespace are strings");
    space.values.set(plain(key), value);
  });
  for (const [name, value] of named ?? []) space.values.set(name, value);
  return space;
}

function cyclerOf({ values }: Args): Attributes {
  if (values.length === 0) fault("at least one item has to be provided");
  let at = 0;
  const read: Readonly<Record<string, () => Value>> = {
    current: () => values[at]!,
    next: () =>
      new Callable("next", () => {
        const now = values[at]!;
        at = (at + 1) % values.length;
        return now;
      }),
    reset: () =>
      new Callable("reset", () => {
        at = 0;
        return null;
      }),
  };
  return new Attributes("Cycler", (name) => (Object.hasOwn(read, name) ? read[name]!() : undefined));
}

function joinerOf(args: Args): Callable {
  const { sep = ", " } = bind("joiner", args, ["sep"]);
  let isFirst = true;
  return new Callable("joiner", () => {
    if (!isFirst) return sep;
    isFirst = false;
    return "";
  });
}
