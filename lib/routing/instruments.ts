import type { Instruments } from "#lib/host/metrics";

/** What a router counts. Its own counters are copied at a scrape; a request touches the histograms once. */
export const ROUTING_INSTRUMENTS = {
  stator_routing_choices_total: {
    kind: "counter",
    help: "Prompts that were placed, by what decided: a rule of the table, pinned, affinity",
    labels: ["by"],
  },
  stator_routing_prompt_tokens_total: { kind: "counter", help: "Tokens of prompts that were placed" },
  stator_routing_overlap_tokens_total: {
    kind: "counter",
    help: "Of those, tokens that the chosen worker was expected to have; divided by all of them it is the hit rate",
  },
  stator_routing_lost_overlap_tokens_total: {
    kind: "counter",
    help: "Tokens that another candidate had and the chosen one had not: overlap lost by choice",
  },
  stator_routing_shorter_overlap_choices_total: {
    kind: "counter",
    help: "Prompts for which another candidate had more than the chosen one",
  },
  stator_routing_found_tokens_total: {
    kind: "counter",
    help: "Tokens of prompts that workers found in their caches, of prompts whose expected tokens are counted in the next",
  },
  stator_routing_expected_tokens_total: {
    kind: "counter",
    help: "Tokens of the same prompts that were expected to be found",
  },
  stator_routing_legs_total: {
    kind: "counter",
    help: "Prompts that were placed, by what is done there: whole, prefill, decode; a prompt with two legs counts in both",
    labels: ["leg"],
  },
  stator_routing_bypasses_total: {
    kind: "counter",
    help: "Prompts that were computed where their answers are made though workers for prompts could take them, by router.bypass",
    labels: ["rule"],
  },
  stator_routing_transfer_ratio: {
    kind: "histogram",
    help: "Time of a transfer of blocks as a multiple of the predicted time",
    buckets: [0.125, 0.25, 0.5, 0.71, 0.83, 1, 1.2, 1.41, 2, 4, 8],
  },
  stator_routing_missing_total: {
    kind: "counter",
    help: "Prompts that were placed while what the rule lives on was unknown of a candidate: prefixes, times, session",
    labels: ["need"],
  },
  stator_routing_first_token_ratio: {
    kind: "histogram",
    help: "Time from a choice to its first token as a multiple of the predicted time",
    buckets: [0.125, 0.25, 0.5, 0.71, 0.83, 1, 1.2, 1.41, 2, 4, 8],
  },
  stator_routing_in_force: {
    kind: "gauge",
    help: "Weight sets for whose workers a rule is in force",
    labels: ["rule"],
  },
  stator_routing_ranks: {
    kind: "gauge",
    help: "Ranks of workers by how well it is known what they hold: none, recovering, live, untrusted",
    labels: ["knowledge"],
  },
  stator_routing_open_choices: { kind: "gauge", help: "Choices that were placed and have not ended" },
  stator_routing_index_entries: { kind: "gauge", help: "(block, rank, tier) entries of all indexes" },
  stator_routing_index_bytes: { kind: "gauge", help: "Memory of all indexes, in bytes" },
  stator_routing_evicted_entries_total: {
    kind: "counter",
    help: "Entries that indexes forgot because router.index-bytes was full",
  },
  stator_routing_sessions: { kind: "gauge", help: "Sessions that have a worker" },
  stator_routing_forgotten_sessions_total: {
    kind: "counter",
    help: "Sessions that lost their worker because there were too many",
  },
  stator_routing_decisions: { kind: "gauge", help: "Decisions that can be explained" },
  stator_routing_captures: { kind: "gauge", help: "Captures that run" },
  stator_routing_capture_lost_total: {
    kind: "counter",
    help: "Prompts that a capture lost because it was read too slowly, or too many were open",
  },
} as const satisfies Instruments;
