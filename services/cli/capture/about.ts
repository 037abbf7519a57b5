import type { TimePrior } from "#lib/perf/time-model";

/** What was counted of a capture. */
export interface CaptureCounts {
  /** Lines of the trace. */
  readonly rows: number;
  /** Its bytes. */
  readonly bytes: number;
  /** Prompts whose requests had not ended. */
  readonly open: number;
  /** Prompts that the frontend lost: it had no room for them, or was read too slowly. */
  readonly lost: number;
  /** Prompts that ended when too many later ones had: they are not in the trace. */
  readonly late: number;
  /** Prompts that have no tokens, or were not asked for an answer. */
  readonly left_out: number;
  /** Prompts whose requests ended before their first token. */
  readonly without_answer: number;
  /** Decisions with too many candidates, or that were not captured. */
  readonly decisions: number;
  /** Names that were forgotten, so that what came again has another one. */
  readonly forgotten_names: number;
}

/** A rank of a worker; null where nobody knows. */
export interface AboutRank {
  /** Its instance. */
  readonly worker: string;
  /** From 0. */
  readonly rank: number;
  /** Word for its weights. */
  readonly weights: string;
  /** The rule in force for it. */
  readonly rule: string;
  /** Tokens of its blocks. */
  readonly block_size: number | null;
  /** Its engine keeps of a prompt whole multiples of so many tokens. */
  readonly reuse_tokens: number;
  /** Blocks of its cache. */
  readonly total_blocks: number | null;
  /** Requests that it runs side by side. */
  readonly max_running_requests: number | null;
  /** How long its passes take, as known at the end: parts that are not 0. */
  readonly times: Partial<TimePrior> | null;
  /** Passes that this was learned from. */
  readonly timed_passes: number;
}

/** What stands beside a captured trace. */
export interface CaptureAbout extends CaptureCounts {
  /** Of the frontend. */
  readonly version: string;
  /** When it began, ISO 8601. */
  readonly started: string;
  /** How long it went on. */
  readonly seconds: number;
  /** Why it ended. */
  readonly ended: string;
  /** Tokens of a block of the trace. */
  readonly block_size: number;
  /** How blocks were hashed, before they got their names. */
  readonly hash_scheme: string;
  /** What the names are: numbers, or salted. */
  readonly names: string;
  /** The rule that was configured. */
  readonly rule: string;
  /** Numbers of the rules. */
  readonly constants: Readonly<Record<string, number>>;
  /** Ranks of the workers, those that were there at the start or at the end. */
  readonly ranks: readonly AboutRank[];
}

/** Where what is said about a trace stands. */
export function aboutPath(trace: string): string {
  return `${trace}.about.json`;
}
