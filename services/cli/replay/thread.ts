import process from "node:process";
import { parentPort, workerData } from "node:worker_threads";
import { asStatorError, assert } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import type { Explanation } from "#lib/routing/explain/explanation";
import { type Outcome, replay } from "#lib/simulation/replay/replay";
import { GapBook } from "#lib/simulation/replay/report/gap-book";
import { buffersOf, OutcomeBook } from "#lib/simulation/replay/report/outcome-columns";
import type { ReplayNews, ReplayRun, ReplayThreadData, RunRecord } from "./replay-run.ts";
import { rowsOf } from "./shared-trace.ts";

/** Requests between two looks at whether it is to stop, and between two reports of how far it is. */
const LOOK_EVERY = 64;
/** Sentences of refusals that are kept: all others are like them. */
const REFUSALS_KEPT = 3;

const port = parentPort;
assert(port, "this file is the start of a thread");
const data = workerData as ReplayThreadData;

port.on("message", (run: ReplayRun) => {
  try {
    const record = live(run);
    const news: ReplayNews = { kind: "done", record };
    port.postMessage(news, buffersOf(record.outcomes));
  } catch (error) {
    const { reason, facts } = asStatorError(error);
    port.postMessage({ kind: "failed", reason, facts } satisfies ReplayNews);
  }
});

function live(run: ReplayRun): RunRecord {
  const startMs = systemClock.nowMs();
  const before = process.threadCpuUsage();
  const book = new OutcomeBook();
  const gaps = new GapBook();
  const refusals = new Set<string>();
  const found = new Wanted(run);
  let isComplete = true;
  for (const outcome of replay({
    ...data.setup,
    ...run,
    gaps,
    rows: rowsOf(data.trace),
    explains: (each) => found.wants(each),
  })) {
    book.add(outcome);
    found.take(outcome);
    if (outcome.refusal !== "" && refusals.size < REFUSALS_KEPT) refusals.add(outcome.refusal);
    if (book.count % LOOK_EVERY !== 0) continue;
    port?.postMessage({ kind: "progress", ended: book.count } satisfies ReplayNews);
    if (Atomics.load(data.stop, 0) === 0) continue;
    isComplete = book.count === data.trace.count;
    break;
  }
  const { user, system } = process.threadCpuUsage(before);
  return {
    ...{ run, isComplete, outcomes: book.columns, gapMs: gaps.distribution, refusals: [...refusals] },
    ...{ explanations: found.explanations, longest: found.longest },
    wallMs: systemClock.nowMs() - startMs,
    cpuMs: (user + system) / 1_000,
  };
}

/** Decisions that a run is asked for. */
class Wanted {
  readonly explanations = new Map<number, Explanation>();
  longest: number | undefined;
  #longestMs = -1;
  readonly #rows: ReadonlySet<number>;
  readonly #wantsLongest: boolean;

  constructor({ explained, explainsLongest }: ReplayRun) {
    this.#rows = new Set(explained);
    this.#wantsLongest = explainsLongest;
  }

  wants(outcome: Outcome): boolean {
    return this.#rows.has(outcome.row) || this.#isLongest(outcome);
  }

  take(outcome: Outcome): void {
    const { row, explanation } = outcome;
    if (!explanation) return;
    if (this.#isLongest(outcome)) {
      if (this.longest !== undefined && !this.#rows.has(this.longest)) this.explanations.delete(this.longest);
      this.longest = row;
      this.#longestMs = waitOf(outcome);
    }
    this.explanations.set(row, explanation);
  }

  #isLongest(outcome: Outcome): boolean {
    return this.#wantsLongest && waitOf(outcome) > this.#longestMs;
  }
}

function waitOf({ firstMs, arrivedMs }: Outcome): number {
  return firstMs === undefined ? -1 : firstMs - arrivedMs;
}
