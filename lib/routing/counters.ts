import type { Metrics } from "#lib/host/metrics";
import type { KvKnowledge } from "#lib/kv/event";
import type { KeptDecision } from "./explain/decision-ring.ts";
import type { Candidates } from "./rules/candidates.ts";

/** What a router has counted so far. */
export class RoutingCounters {
  /** Prompts by what decided. */
  readonly choices = new Map<string, number>();
  /** Prompts by what was placed. */
  readonly legs = new Map<string, number>();
  /** Prompts that were computed where their answers are made though workers for prompts were there, by the rule that said so. */
  readonly bypasses = new Map<string, number>();
  /** Prompts for which something was unknown, by what. */
  readonly missing = new Map<string, number>();
  promptTokens = 0;
  overlapTokens = 0;
  lostTokens = 0;
  shorterChoices = 0;
  foundTokens = 0;
  expectedTokens = 0;
  forgottenSessions = 0;
  evictedEntries = 0;
  /** Of captures that have ended. */
  captureLost = 0;

  /** A prompt was placed; borrows the table. */
  placed({ decision, ask, missing, chosen, leg, bypass }: KeptDecision, candidates: Candidates): void {
    const by = decision.rule === "by cost" ? decision.name : decision.rule;
    grow(this.choices, by);
    grow(this.legs, leg);
    if (bypass?.isBypassed) grow(this.bypasses, bypass.rule);
    // Its prompt was counted where it was computed.
    if (leg === "decode") return;
    for (const { need } of missing) grow(this.missing, need);
    const own = candidates.deviceTokens[chosen]!;
    let longest = own;
    for (let other = 0; other < candidates.count; other++) longest = Math.max(longest, candidates.deviceTokens[other]!);
    this.promptTokens += ask.promptTokens;
    this.overlapTokens += own;
    this.lostTokens += longest - own;
    if (longest > own) this.shorterChoices++;
  }
}

function grow(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** Levels of a router at a scrape. */
export interface RoutingLevels {
  /** Rules that are in force, one for each weight set. */
  readonly rules: readonly string[];
  /** How well it is known what each rank holds. */
  readonly knowledge: readonly KvKnowledge["state"][];
  /** Choices that have not ended. */
  readonly openChoices: number;
  /** Of all indexes. */
  readonly indexEntries: number;
  /** Of all indexes. */
  readonly indexBytes: number;
  /** Sessions that have a worker. */
  readonly sessions: number;
  /** Decisions that are kept. */
  readonly decisions: number;
  /** Captures that run. */
  readonly captures: number;
  /** Prompts that captures lost so far. */
  readonly captureLost: number;
}

const STATES: readonly KvKnowledge["state"][] = ["none", "recovering", "live", "untrusted"];

const SUMS = {
  promptTokens: "stator_routing_prompt_tokens_total",
  overlapTokens: "stator_routing_overlap_tokens_total",
  lostTokens: "stator_routing_lost_overlap_tokens_total",
  shorterChoices: "stator_routing_shorter_overlap_choices_total",
  foundTokens: "stator_routing_found_tokens_total",
  expectedTokens: "stator_routing_expected_tokens_total",
  forgottenSessions: "stator_routing_forgotten_sessions_total",
  evictedEntries: "stator_routing_evicted_entries_total",
} as const;

/** Copies counters and levels into instruments at each scrape; returns what ends it. */
export function showRouting(metrics: Metrics, counters: RoutingCounters, levels: () => RoutingLevels): () => void {
  const shown = new Map<string, number>();
  const rules = new Set<string>();
  const grow = (name: string, value: number, labels?: Readonly<Record<string, string>>): void => {
    const key = `${name} ${Object.values(labels ?? {}).join(" ")}`;
    metrics.add(name, value - (shown.get(key) ?? 0), labels);
    shown.set(key, value);
  };
  return metrics.onScrape(() => {
    const now = levels();
    for (const [field, name] of Object.entries(SUMS) as [keyof typeof SUMS, string][]) grow(name, counters[field]);
    for (const [by, count] of counters.choices) grow("stator_routing_choices_total", count, { by });
    for (const [need, count] of counters.missing) grow("stator_routing_missing_total", count, { need });
    for (const [leg, count] of counters.legs) grow("stator_routing_legs_total", count, { leg });
    for (const [rule, count] of counters.bypasses) grow("stator_routing_bypasses_total", count, { rule });
    for (const rule of now.rules) rules.add(rule);
    for (const rule of rules) {
      metrics.set("stator_routing_in_force", now.rules.filter((each) => each === rule).length, { rule });
    }
    for (const knowledge of STATES) {
      const ranks = now.knowledge.filter((each) => each === knowledge).length;
      metrics.set("stator_routing_ranks", ranks, { knowledge });
    }
    metrics.set("stator_routing_open_choices", now.openChoices);
    metrics.set("stator_routing_index_entries", now.indexEntries);
    metrics.set("stator_routing_index_bytes", now.indexBytes);
    metrics.set("stator_routing_sessions", now.sessions);
    metrics.set("stator_routing_decisions", now.decisions);
    metrics.set("stator_routing_captures", now.captures);
    grow("stator_routing_capture_lost_total", now.captureLost);
  });
}
