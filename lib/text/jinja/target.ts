import { iterate } from "./operators.ts";
import type { Run } from "./run.ts";
import type { Tokens } from "./tokens.ts";
import { fault, Namespace, type Value } from "./values.ts";

/** Gives a value to names. */
export type Target = (run: Run, value: Value) => void;

/** Where names stand to be given values. */
export interface TargetRules {
  /** A name that ends them. */
  readonly endsAt?: string;
  /** An attribute of a namespace may stand there too. */
  readonly withNamespace?: boolean;
}

const RESERVED = new Set(["true", "false", "none", "True", "False", "None"]);

/** A name, several with commas, or an attribute of a namespace. */
export function parseTarget(tokens: Tokens, rules: TargetRules): Target {
  const targets: Target[] = [];
  let isTuple = false;
  for (;;) {
    if (targets.length > 0) tokens.expect("operator", ",");
    if (tokens.is("block_end") || tokens.isOperator(")", "=") || (rules.endsAt && tokens.isName(rules.endsAt))) break;
    targets.push(parseOne(tokens, rules));
    if (!tokens.isOperator(",")) break;
    isTuple = true;
  }
  if (targets.length === 0) tokens.fail("expected a name");
  return isTuple ? unpack(targets) : targets[0]!;
}

function parseOne(tokens: Tokens, rules: TargetRules): Target {
  if (tokens.skip("operator", "(")) {
    const inner = tokens.nested(() => parseTarget(tokens, {}));
    tokens.expect("operator", ")");
    return inner;
  }
  const { value: name, line } = tokens.expect("name");
  if (RESERVED.has(name)) tokens.fail(`nothing can be assigned to ${name}`, line);
  if (!rules.withNamespace || !tokens.skip("operator", ".")) return (run, value) => run.scope.set(name, value);
  const attribute = tokens.expect("name").value;
  return (run, value) => {
    const space = run.scope.get(name);
    if (!(space instanceof Namespace)) fault("cannot assign attribute on non-namespace object");
    space.values.set(attribute, value);
  };
}

function unpack(targets: readonly Target[]): Target {
  return (run, value) => {
    const items = iterate(value);
    if (items.length < targets.length)
      fault(`not enough values to unpack (expected ${targets.length}, got ${items.length})`);
    if (items.length > targets.length) fault(`too many values to unpack (expected ${targets.length})`);
    targets.forEach((target, at) => {
      target(run, items[at]!);
    });
  };
}
