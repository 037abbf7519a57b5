import { aibrixPrefix } from "./aibrix-prefix.ts";
import { direct } from "./direct.ts";
import { dynamo } from "./dynamo.ts";
import { dynamo2025 } from "./dynamo-2025.ts";
import { handOff } from "./hand-off.ts";
import { leastRequest } from "./least-request.ts";
import { llmD } from "./llm-d.ts";
import { lmetric } from "./lmetric.ts";
import { powerOfTwo } from "./power-of-two.ts";
import { random } from "./random.ts";
import { roundRobin } from "./round-robin.ts";
import type { RuleRow } from "./rule.ts";
import { session } from "./session.ts";
import { smgEvent } from "./smg-event.ts";
import { smgLeastLoad } from "./smg-least-load.ts";
import { smgTree } from "./smg-tree.ts";
import { ttft } from "./ttft.ts";

/** The rules by name. A new rule is one file and one row here; its option, its page and its tests go by this table. */
export const RULES = {
  ttft,
  dynamo,
  "dynamo-2025": dynamo2025,
  lmetric,
  "smg-event": smgEvent,
  "smg-tree": smgTree,
  "smg-least-load": smgLeastLoad,
  "aibrix-prefix": aibrixPrefix,
  "llm-d": llmD,
  session,
  "least-request": leastRequest,
  "power-of-two": powerOfTwo,
  random,
  "round-robin": roundRobin,
  direct,
} as const satisfies Readonly<Record<string, RuleRow>>;

/** Name of a rule. */
export type RuleName = keyof typeof RULES;

/** What can have decided: the rules, and that of decode legs, which no option names. */
export const DECIDING = { ...RULES, "hand-off": handOff } as const satisfies Readonly<Record<string, RuleRow>>;

/** Name of what can have decided. */
export type DecidingName = keyof typeof DECIDING;

/** The names, in the order of the table. */
export const RULE_NAMES = Object.keys(RULES) as readonly RuleName[];
