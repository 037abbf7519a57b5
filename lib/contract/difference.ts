import type { Facts } from "#lib/base/errors";
import { audienceOfRule } from "./buf-rules.ts";
import { type KindName, kindOf } from "./kinds/kinds.ts";
import { AUDIENCE_OF, type Audience, type Effect, type Effects, PARTIES, worse, worstOf } from "./verdict.ts";

/** Who reads a message: servers, where callers send it; callers, where servers answer with it. Neither: nobody knows. */
export interface Reach {
  /** It is in what some method takes. */
  readonly isRequest: boolean;
  /** It is in what some method answers. */
  readonly isResponse: boolean;
}

/** One difference between two contracts. */
export interface Difference {
  /** Its row in the table of kinds. */
  readonly kind: KindName;
  /** Full name of the element, such as a.v1.Message.field; that of the newer contract where it has one. */
  readonly element: string;
  /** File that declares it, of the newer contract where it is still there. */
  readonly file: string;
  /** The package it is in. */
  readonly package: string;
  /** What is different, as a sentence. */
  readonly what: string;
  /** What it does to whom. */
  readonly effects: Effects;
  /** What to do, as a sentence; empty where nothing is to be done. */
  readonly todo: string;
  /** Rules of buf that refuse a difference like this. */
  readonly rules: readonly string[];
}

/** What a difference is made from. */
export interface Found {
  /** Its row in the table of kinds. */
  readonly kind: KindName;
  /** As of Difference. */
  readonly element: string;
  /** As of Difference. */
  readonly file: string;
  /** As of Difference. */
  readonly package: string;
  /** What the texts of the kind have in braces. */
  readonly facts: Facts;
  /** Who reads the message that it is in; both sides when absent. */
  readonly reach?: Reach;
  /** Rules of buf that refuse it; those of the kind when absent. */
  readonly rules?: readonly string[];
}

/** Says a difference in words. */
export function describe({ kind, element, file, package: packageName, facts, reach, rules }: Found): Difference {
  const row = kindOf(kind);
  const effect = ([verdict, why]: Effect): Effect => [verdict, fill(why, facts)];
  const forward = effect(row.forward);
  const backward = effect(row.backward);
  const { isRequest, isResponse } = row.of === "calls" ? CALLS : (reach ?? EITHER);
  // Servers read requests and callers read answers: what old readers suffer, old servers suffer in the one, and old callers
  // of new servers in the other.
  const both = worse(forward, backward);
  const isUnknown = row.of === "data" && isRequest === isResponse;
  const oldServers = isUnknown ? both : isRequest ? forward : backward;
  const newServers = isUnknown ? both : isRequest ? backward : forward;
  return {
    ...{ kind, element, file, package: packageName },
    what: fill(row.what, facts),
    effects: { oldServers, newServers, json: effect(row.json), stubs: effect(row.stubs) },
    todo: fill(row.todo, facts),
    rules: rules ?? row.rules,
  };
}

const CALLS: Reach = { isRequest: true, isResponse: false };
const EITHER: Reach = { isRequest: true, isResponse: true };

function fill(text: string, facts: Facts): string {
  return text.replaceAll(/\{(\w+)\}/g, (_, name: string) => String(facts[name] ?? ""));
}

/** How a difference counts: it breaks somebody, it is refused because buf refuses it, it asks for care, or it is nothing to mind. */
export type Weight = "breaks" | "refused" | "careful" | "safe";

/** How a difference counts for these audiences. */
export function weigh({ effects, rules }: Difference, audiences: readonly Audience[]): Weight {
  const parties = PARTIES.filter((party) => audiences.includes(AUDIENCE_OF[party]));
  if (parties.some((party) => effects[party][0] === "breaks")) return "breaks";
  const isRefused = rules.some((rule) => audiences.includes(audienceOfRule(rule) ?? audiences[0]!));
  if (isRefused) return "refused";
  return worstOf(effects) === "safe" || parties.every((party) => effects[party][0] === "safe") ? "safe" : "careful";
}

/** Whether a check with these audiences says no to it. */
export function isBreaking(difference: Difference, audiences: readonly Audience[]): boolean {
  return ["breaks", "refused"].includes(weigh(difference, audiences));
}
