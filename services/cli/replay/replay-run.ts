import type { Facts, Reason } from "#lib/base/errors";
import type { Explanation } from "#lib/routing/explain/explanation";
import type { WorkerRole } from "#lib/simulation/replay/member";
import type { ReplayOptions } from "#lib/simulation/replay/replay";
import type { ReplayRouting } from "#lib/simulation/replay/replay-router";
import type { Distribution } from "#lib/simulation/replay/report/distribution";
import type { OutcomeColumns } from "#lib/simulation/replay/report/outcome-columns";
import type { SharedTrace } from "./shared-trace.ts";

/** What all replays of a command have in common. It crosses to threads. */
export type ReplaySetup = Omit<ReplayOptions, "rows" | "roles" | "routing" | "seed" | "explains" | "gaps">;

/** One replay of the trace. It crosses to a thread. */
export interface ReplayRun {
  /** How it is called in what is printed. */
  readonly name: string;
  /** Workers that it has; as in the setup where absent. */
  readonly workers?: number;
  /** What part of requests each does, by its place; all of it where absent. */
  readonly roles?: readonly WorkerRole[];
  /** How it routes. */
  readonly routing: ReplayRouting;
  /** Of its draws. */
  readonly seed: bigint;
  /** Rows whose decisions are wanted. */
  readonly explained: readonly number[];
  /** Whether the decision is wanted about the request that waited longest for its first token. */
  readonly explainsLongest: boolean;
}

/** What became of one replay. */
export interface RunRecord {
  /** What was replayed. */
  readonly run: ReplayRun;
  /** What became of its requests, in the order in which they ended. */
  readonly outcomes: OutcomeColumns;
  /** Times between two tokens, over all tokens but the first ones of answers. */
  readonly gapMs: Distribution;
  /** Why requests were refused, each sentence once; the first few. */
  readonly refusals: readonly string[];
  /** By row; where they were wanted and are kept. */
  readonly explanations: ReadonlyMap<number, Explanation>;
  /** Row of the request that waited longest, where its decision was wanted. */
  readonly longest: number | undefined;
  /** It came to the end of the trace. */
  readonly isComplete: boolean;
  /** What it took, in real ms. */
  readonly wallMs: number;
  /** What its thread computed, in ms. */
  readonly cpuMs: number;
}

/** What a thread begins with. */
export interface ReplayThreadData {
  /** What is replayed. */
  readonly trace: SharedTrace;
  /** What all runs have in common. */
  readonly setup: ReplaySetup;
  /** Not 0: it is to stop. */
  readonly stop: Int32Array;
}

/** What a thread tells. */
export type ReplayNews =
  /** Requests that have ended so far. */
  | { readonly kind: "progress"; readonly ended: number }
  /** The run has ended, or was stopped. */
  | { readonly kind: "done"; readonly record: RunRecord }
  /** The run failed. */
  | { readonly kind: "failed"; readonly reason: Reason; readonly facts: Facts };
