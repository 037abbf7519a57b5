import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { attribute, item } from "./access.ts";
import { FILTERS } from "./filters.ts";
import { templateGlobals } from "./globals.ts";
import type { Text, TextBuilder } from "./marked.ts";
import { Run, Scope, type TemplateLimits } from "./run.ts";
import { parseTemplate } from "./statement.ts";
import { TESTS } from "./tests.ts";
import { Fault, type Value } from "./values.ts";

/** A template of Jinja that was read, with Python's meaning, as transformers renders chat templates with jinja2. */
export interface JinjaTemplate {
  /** Names, attributes and texts that stand in it; what is not among them it cannot ask for. */
  readonly mentions: ReadonlySet<string>;
  /** Names that a rendering's variables may not have. */
  readonly reserved: ReadonlySet<string>;
  /** Throws INVALID_TEMPLATE with what the template says, or with the line and what went wrong there. */
  render(variables: ReadonlyMap<string, Value>): Text;
  /** The same in the pieces in which it was written: a long prompt is not put together before somebody needs it so. */
  write(variables: ReadonlyMap<string, Value>): TextBuilder;
}

const NAMES = { filters: FILTERS, tests: TESTS, attribute, item };

/** Characters of a template; real ones have less than a tenth. */
const MOST_SOURCE = 1_048_576;

/** Reads a template. Throws INVALID_TEMPLATE with the line for what Python or we do not understand. */
export function compileJinja(
  source: string,
  { clock, limits }: { readonly clock: Clock; readonly limits: TemplateLimits },
): JinjaTemplate {
  if (source.length > MOST_SOURCE) throw invalid(`it has more than ${MOST_SOURCE} characters`);
  const { body, mentions } = guarded(
    () => parseTemplate(source),
    () => "it does not parse: ",
  );
  const globals = templateGlobals(clock, (message) => {
    throw invalid(message);
  });
  const outermost = new Scope();
  for (const [name, value] of globals) outermost.set(name, value);
  const write = (variables: ReadonlyMap<string, Value>): TextBuilder => {
    const scope = new Scope(outermost);
    for (const [name, value] of variables) scope.set(name, value);
    const run = new Run(scope, { names: NAMES, limits, clock });
    return guarded(
      () => {
        body(run);
        return run.out;
      },
      () => `line ${run.line}: `,
    );
  };
  return { mentions, reserved: new Set(globals.keys()), write, render: (variables) => write(variables).take() };
}

function guarded<Result>(call: () => Result, place: () => string): Result {
  try {
    return call();
  } catch (caught) {
    if (caught instanceof Fault) throw invalid(place() + caught.message, caught);
    // The stack is full, or a string would be longer than any can be.
    if (caught instanceof RangeError) throw invalid(`${place()}it is nested too deep or makes too much`, caught);
    throw caught;
  }
}

const MOST_DETAIL = 300;

function invalid(detail: string, cause?: unknown): StatorError {
  const [line = ""] = detail.split("\n", 1);
  return new StatorError("INVALID_TEMPLATE", { detail: line.slice(0, MOST_DETAIL) }, { cause, param: "messages" });
}
