import { assert } from "#lib/base/errors";
import type { Fleet, FleetWorker } from "./fleet.ts";
import type { RouterMode } from "./options.ts";
import type { RankSeat } from "./ranks.ts";
import type { RuleConstants } from "./rules/constants.ts";
import type { Rule } from "./rules/rule.ts";
import { DECIDING, type DecidingName, RULES, type RuleName } from "./rules/table.ts";

/** Which rule is in force for the workers of one weight set. */
export interface InForce {
  /** Word for the weights. */
  readonly weights: string;
  /** Of the table. */
  readonly rule: RuleName;
  /** Why it is not the configured one, one sentence; empty when it is, and where nothing is lacking. */
  readonly why: string;
}

/** A rule that decides. */
export interface RuleInForce<Name extends DecidingName = DecidingName> {
  /** Of the table. */
  readonly name: Name;
  /** The rule. */
  readonly rule: Rule;
  /** As in InForce. */
  readonly why: string;
}

/** What decides about rules. */
export interface RuleBookOptions {
  /** How a worker is chosen for asks that name none. */
  readonly mode: RouterMode;
  /** The rule of the mode kv. */
  readonly rule: RuleName;
  /** The numbers of the rules. */
  readonly constants: RuleConstants;
  /** Makes another rule of each, for experiments such as a rule whose predictions are off; it stays itself unless given. */
  readonly alter?: ((rule: Rule) => Rule) | undefined;
}

/** Stands in where prefixes cannot be compared. */
const STAND_IN = "power-of-two";

/**
 * Says which rule decides. The mode kv goes by prefixes where those of any worker can be compared; where they cannot, the
 * better of two is in force, and why is said: a rule without what it lives on would choose by nothing.
 */
export class RuleBook {
  readonly #configured: RuleInForce<RuleName>;
  readonly #standIn: Rule;
  readonly #rules = new Map<DecidingName, Rule>();
  #inForce: readonly InForce[] = [];
  /** Which rule decides where an answer goes on: in the mode kv one of its own, else that of the mode. */
  readonly handOffs: Pick<RuleBook, "needsPrefixes"> & { ruleOf(seats: readonly RankSeat[]): RuleInForce };

  constructor(options: RuleBookOptions) {
    const { mode, rule, constants, alter = (each) => each } = options;
    const name = mode === "kv" ? rule : mode;
    for (const each of [name, STAND_IN, "hand-off"] as const) {
      this.#rules.set(each, alter(DECIDING[each].create(constants)));
    }
    this.#configured = { name, rule: this.named(name), why: "" };
    this.#standIn = this.named(STAND_IN);
    // Who names workers names one for a whole answer: where it goes on from a prompt elsewhere is for the router to say.
    const isKv = mode === "kv" || mode === "direct";
    this.handOffs = isKv ? new HandOffs({ name: "hand-off", rule: this.named("hand-off"), why: "" }) : this;
  }

  /** The configured rule. */
  get configured(): RuleName {
    return this.#configured.name;
  }

  /** For each weight set, in the order in which its first worker stands in the fleet. */
  get inForce(): readonly InForce[] {
    return this.#inForce;
  }

  /** A rule that was in force. */
  named(name: DecidingName): Rule {
    const rule = this.#rules.get(name);
    assert(rule, `the rule ${name} was in force`);
    return rule;
  }

  /** The workers that are there from now on. */
  follow(fleet: Fleet): void {
    const sets = Map.groupBy(fleet.values(), ({ weights }) => weights);
    this.#inForce = [...sets].map(([weights, workers]) => {
      const { name, why } = this.#judge(workers);
      return { weights, rule: name, why };
    });
  }

  /** The rule that decides among seats, at least one. */
  ruleOf(seats: readonly RankSeat[]): RuleInForce<RuleName> {
    if (!this.needsPrefixes || seats.some(({ fleet }) => fleet.scope)) return this.#configured;
    return this.#judge(seats.map(({ fleet }) => fleet));
  }

  /** The configured rule goes by prefixes. */
  get needsPrefixes(): boolean {
    return (RULES[this.#configured.name].needs as readonly string[]).includes("prefixes");
  }

  #judge(workers: readonly FleetWorker[]): RuleInForce<RuleName> {
    if (!this.needsPrefixes || workers.some(({ scope }) => scope)) return this.#configured;
    // Without prompts nothing is lacking.
    if (workers.every(({ noPrompts }) => noPrompts)) return { name: STAND_IN, rule: this.#standIn, why: "" };
    const reason = workers.find(({ why }) => why !== "")?.why ?? "No worker says how its blocks are named.";
    return { name: STAND_IN, rule: this.#standIn, why: `${this.#configured.name} needs prefixes. ${reason}` };
  }
}

/** One rule decides, whoever the candidates are. */
class HandOffs {
  readonly needsPrefixes = true;
  readonly #rule: RuleInForce;

  constructor(rule: RuleInForce) {
    this.#rule = rule;
  }

  ruleOf(_: readonly RankSeat[]): RuleInForce {
    return this.#rule;
  }
}
