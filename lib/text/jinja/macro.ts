import { type Expression, type Run, Scope, type Statement } from "./run.ts";
import { type Args, Callable, Dict, fault, orElse, Tuple, Undefined, type Value } from "./values.ts";

/** Parameters in order; those with an initial value come last. */
export type Signature = readonly { readonly name: string; readonly initial: Expression | undefined }[];

/** A macro, or the body of a call block. */
export interface MacroParts {
  /** For errors, and what the template calls it by. */
  readonly name: string;
  /** What it can be called with. */
  readonly signature: Signature;
  /** What it writes is its value. */
  readonly body: Statement;
  /** Names that it reads. `varargs`, `kwargs` and `caller` may be given only to one that reads them. */
  readonly reads: ReadonlySet<string>;
}

/** A macro that sees the names of the place where it is made. Its value is what it writes. */
export function compileMacro({ name, signature, body, reads }: MacroParts): (run: Run) => Value {
  return (made) => {
    const outer = made.scope;
    const call = ({ values, named }: Args): Value => {
      const scope = new Scope(outer);
      return made.deeper(() =>
        made.capture(() => {
          made.inside(scope, () => {
            bind({ name, signature, body, reads }, made, { values, named });
            body(made);
          });
        }),
      );
    };
    return new Callable(name, call, true);
  };
}

/** Gives the parameters their values, in the scope of the run. */
function bind({ name, signature, reads }: MacroParts, run: Run, { values, named }: Omit<Args, "run">): void {
  const left = new Map(named);
  const { scope } = run;
  for (const [at, parameter] of signature.entries()) {
    const given = at < values.length ? values[at] : left.get(parameter.name);
    if (at < values.length && left.has(parameter.name)) {
      fault(`macro '${name}' got multiple values for argument '${parameter.name}'`);
    }
    left.delete(parameter.name);
    scope.set(
      parameter.name,
      orElse(given, () => initialOf(parameter, run)),
    );
  }
  if (reads.has("caller")) {
    scope.set(
      "caller",
      orElse(left.get("caller"), () => new Undefined("No caller defined")),
    );
    left.delete("caller");
  }
  if (reads.has("kwargs")) {
    const dict = new Dict();
    for (const [key, value] of left) dict.set(key, key, value);
    scope.set("kwargs", dict);
  } else if (left.has("caller")) fault(`macro '${name}' was invoked with two values for the special caller argument`);
  else if (left.size > 0) fault(`macro '${name}' takes no keyword argument '${[...left.keys()][0]}'`);
  if (reads.has("varargs")) scope.set("varargs", new Tuple(values.slice(signature.length)));
  else if (values.length > signature.length)
    fault(`macro '${name}' takes not more than ${signature.length} argument(s)`);
}

function initialOf({ name, initial }: Signature[number], run: Run): Value {
  return initial ? initial(run) : new Undefined(`parameter '${name}' was not provided`);
}
