import { choice, decimal, flag, integer, MILLIS, type Options, type Values } from "#lib/base/option";
import { MIN_BUDGET_BYTES } from "./index/run-index.ts";
import { BYPASS_NAMES } from "./legs/bypass.ts";
import { type Disaggregation, USUAL_DISAGGREGATION } from "./legs/disaggregation.ts";
import type { RuleConstants } from "./rules/constants.ts";
import { RULE_NAMES } from "./rules/table.ts";

/** Ways to choose. `kv` goes by a rule that knows prefixes; the others are rules of their own that look at loads alone. */
export const ROUTER_MODES = ["kv", "round-robin", "random", "power-of-two", "least-request", "direct"] as const;

/** One of the ways. */
export type RouterMode = (typeof ROUTER_MODES)[number];

/** `soft` leaves a worker that is full; `hard` stays as long as the worker can take anything. */
export const AFFINITIES = ["off", "soft", "hard"] as const;

/** How a session holds on to its worker. */
export type Affinity = (typeof AFFINITIES)[number];

const WEIGHT = { least: 0, most: 1 } as const;
const FACTOR = { least: 0, most: 1_000_000 } as const;

/** What is decided of routing. */
export const ROUTING_OPTIONS = {
  "router.mode": choice({
    initial: "kv",
    choices: ROUTER_MODES,
    placeholder: "NAME",
    doc: "How a worker is chosen for a request that names none. kv goes by router.rule; where the workers' prefixes cannot be compared power-of-two is in force, and is said so.",
    alike: "--router-mode",
  }),
  "router.rule": choice({
    initial: "ttft",
    choices: RULE_NAMES,
    placeholder: "NAME",
    doc: "The rule of the mode kv (gen/docs/rules.md).",
    alike: "--router-selection-policy",
  }),
  "router.kv-events": flag({
    initial: true,
    doc: "Follow what workers say of their caches. Without it a worker is taken to hold what was sent there, for router.ttl-ms.",
    alike: "--router-kv-events",
  }),
  "router.ttl-ms": integer({
    initial: 120_000,
    ...MILLIS,
    doc: "How long a prompt is taken to be where it was sent, while the worker says nothing of its cache.",
    alike: "--router-ttl-secs",
  }),
  "router.predicted-ttl-ms": integer({
    initial: 5_000,
    ...MILLIS,
    least: 0,
    doc: "How long a prompt is expected where it was sent, until the worker says that it has it; 0 expects nothing.",
    alike: "--router-predicted-ttl-secs",
  }),
  "router.index-bytes": integer({
    initial: 268_435_456,
    least: MIN_BUDGET_BYTES,
    most: 17_179_869_184,
    unit: "bytes",
    doc: "Memory for what workers hold, of one model's weights; a block takes about 60. Of more, what was not asked for lately is forgotten.",
  }),
  "router.session-affinity": choice({
    initial: "soft",
    choices: AFFINITIES,
    doc: "What becomes of requests that name a session: they follow its last worker unless all its places are taken (soft), or as long as it can take anything (hard).",
    alike: "--router-session-affinity-mode",
  }),
  "router.session-ttl-ms": integer({
    initial: 3_600_000,
    ...MILLIS,
    doc: "How long after its last request a session holds on to its worker.",
    alike: "--router-session-affinity-ttl-secs",
  }),
  "router.itl-target-ms": decimal({
    initial: undefined,
    unit: "ms",
    least: 0.001,
    most: 86_400_000,
    doc: "Time for a token of an answer that the rule ttft keeps: by how much a prompt makes others late is added to its cost. Only shown when absent.",
  }),
  "router.temperature": decimal({
    initial: 0,
    ...FACTOR,
    doc: "Of the rules dynamo, dynamo-2025 and lmetric: 0 takes the least cost, more lets others have their share.",
    alike: "--router-temperature",
  }),
  "router.kv-overlap-score-credit": decimal({
    initial: 1,
    ...FACTOR,
    doc: "Of dynamo and lmetric: blocks of prefill that a block saves which the engine has.",
    alike: "--router-kv-overlap-score-credit",
  }),
  "router.kv-overlap-score-credit-decay": decimal({
    initial: 0,
    ...FACTOR,
    doc: "Of dynamo and lmetric: how fast the credit shrinks at workers with more to compute than the least busy.",
    alike: "--router-kv-overlap-score-credit-decay",
  }),
  "router.prefill-load-scale": decimal({
    initial: 1,
    ...FACTOR,
    doc: "Of dynamo and dynamo-2025: what a block of prefill counts for beside a block in use.",
    alike: "--router-prefill-load-scale",
  }),
  "router.host-cache-hit-weight": decimal({
    initial: 0.75,
    ...WEIGHT,
    doc: "Of ttft, dynamo and lmetric: what a block in the host's memory counts for, beside one that the engine has.",
    alike: "--router-host-cache-hit-weight",
  }),
  "router.disk-cache-hit-weight": decimal({
    initial: 0.25,
    ...WEIGHT,
    doc: "Of the same rules: what a block on the worker's disk counts for.",
    alike: "--router-disk-cache-hit-weight",
  }),
  "router.shared-cache-multiplier": decimal({
    initial: 0.5,
    ...WEIGHT,
    doc: "Of the same rules: what a block in a store outside counts for.",
    alike: "--shared-cache-multiplier",
  }),
  "router.decode-active-request-weight": decimal({
    initial: 0,
    ...FACTOR,
    doc: "Of dynamo: what each open request counts for, in blocks.",
    alike: "--router-decode-active-request-weight",
  }),
  "router.balance-abs-threshold": integer({
    initial: 64,
    least: 0,
    most: 1_000_000,
    doc: "Of smg-event and smg-tree: open requests by which the busiest may exceed the idlest. Like --balance-abs-threshold of SMG.",
  }),
  "router.balance-rel-threshold": decimal({
    initial: 1.5,
    ...FACTOR,
    doc: "Of the same rules: it must also have more than so many times as many. Like --balance-rel-threshold of SMG.",
  }),
  "router.cache-threshold": decimal({
    initial: 0.3,
    ...WEIGHT,
    doc: "Of smg-tree: share of a prompt that must match to be followed. Like --cache-threshold of SMG.",
  }),
  "router.hand-off": choice({
    initial: "prefill-first",
    choices: ["prefill-first", "bootstrap"],
    placeholder: "WHEN",
    doc: "When the worker for an answer is told of it whose prompt another one computes: when the prompt is computed, or at once, to take blocks as they come.",
  }),
  "router.bypass": choice({
    initial: USUAL_DISAGGREGATION.bypass,
    choices: BYPASS_NAMES,
    placeholder: "NAME",
    doc: "When a prompt is computed where its answer is made although workers for prompts are there (docs/routing.md).",
    alike: "--conditional-disagg-policy",
  }),
  "router.enforce-disaggregation": flag({
    initial: USUAL_DISAGGREGATION.enforce,
    doc: "Never compute prompts at workers for answers: without a worker for prompts a request is refused.",
    alike: "--enforce-disagg",
  }),
  "router.bypass-tokens": integer({
    initial: USUAL_DISAGGREGATION.constants.shortTokens,
    least: 0,
    most: 1_000_000_000,
    doc: "Of the bypass isl-bounding: a prompt with as many tokens to compute is computed apart.",
  }),
  "router.bypass-share": decimal({
    initial: USUAL_DISAGGREGATION.constants.shortShare,
    ...FACTOR,
    doc: "Of the bypass isl-bounding: so is one of whose tokens this share is to be computed.",
  }),
  "router.bypass-passes": decimal({
    initial: USUAL_DISAGGREGATION.constants.busyPasses,
    ...FACTOR,
    doc: "Of the bypass prefill-load: a worker for prompts is busy with more than so many passes of them.",
    alike: "--router-queue-threshold",
  }),
  "router.bypass-decode-busy": decimal({
    initial: USUAL_DISAGGREGATION.constants.busyShare,
    ...WEIGHT,
    doc: "Of isl-bounding, prefill-load and isl-or-load: nothing is bypassed where more than this share of the blocks for answers is in use.",
    alike: "--conditional-disagg-decode-busy-threshold",
  }),
  "router.transfer-bytes-per-second": integer({
    initial: USUAL_DISAGGREGATION.transferBytesPerSecond,
    least: 1_000,
    most: 1_000_000_000_000_000,
    unit: "bytes",
    doc: "What blocks are taken to come at from one worker to another, until some came.",
  }),
} as const satisfies Options;

/** The option of each number of the rules. */
export const RULE_CONSTANTS = {
  temperature: "router.temperature",
  overlapCredit: "router.kv-overlap-score-credit",
  overlapCreditDecay: "router.kv-overlap-score-credit-decay",
  prefillLoadScale: "router.prefill-load-scale",
  hostWeight: "router.host-cache-hit-weight",
  diskWeight: "router.disk-cache-hit-weight",
  externalWeight: "router.shared-cache-multiplier",
  activeRequestWeight: "router.decode-active-request-weight",
  balanceAbsolute: "router.balance-abs-threshold",
  balanceRelative: "router.balance-rel-threshold",
  cacheThreshold: "router.cache-threshold",
  itlTargetMs: "router.itl-target-ms",
} as const satisfies Readonly<Record<keyof RuleConstants, keyof typeof ROUTING_OPTIONS>>;

/** The options of how answers are split, without the rule by which prompts stay whole. */
export const SPLIT_OPTIONS = [
  ...(["router.hand-off", "router.enforce-disaggregation", "router.transfer-bytes-per-second"] as const),
  ...(["router.bypass-tokens", "router.bypass-share", "router.bypass-passes", "router.bypass-decode-busy"] as const),
] as const;

/** The numbers of the rules. */
export function readRuleConstants(values: Values<typeof ROUTING_OPTIONS>): RuleConstants {
  const numbers = Object.entries(RULE_CONSTANTS).map(([name, key]) => [name, values[key]]);
  // The table has each of them, and the types of the options are theirs.
  return Object.fromEntries(numbers) as RuleConstants;
}

/** How answers are split. */
export function readDisaggregation(values: Values<typeof ROUTING_OPTIONS>): Disaggregation {
  return {
    bypass: values["router.bypass"],
    constants: {
      shortTokens: values["router.bypass-tokens"],
      shortShare: values["router.bypass-share"],
      busyPasses: values["router.bypass-passes"],
      busyShare: values["router.bypass-decode-busy"],
    },
    enforce: values["router.enforce-disaggregation"],
    bootstrap: values["router.hand-off"] === "bootstrap",
    transferBytesPerSecond: values["router.transfer-bytes-per-second"],
  };
}

/** Every option as it is when nobody says anything. */
export function routingDefaults(): Values<typeof ROUTING_OPTIONS> {
  const initials = Object.entries(ROUTING_OPTIONS).map(([key, { initial }]) => [key, initial]);
  return Object.fromEntries(initials) as Values<typeof ROUTING_OPTIONS>;
}
