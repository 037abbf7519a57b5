import { Worker } from "node:worker_threads";
import { StatorError } from "#lib/base/errors";
import type { TraceRow } from "#lib/simulation/replay/trace-row";
import type { ReplayNews, ReplayRun, ReplaySetup, ReplayThreadData, RunRecord } from "./replay-run.ts";

/** What runs are made on. */
export interface RunAllOptions {
  /** Of the trace; borrowed, and read by all threads. */
  readonly rows: readonly TraceRow[];
  /** What all runs have in common. */
  readonly setup: ReplaySetup;
  /** Runs side by side, at least 1. */
  readonly threads: number;
  /** Once it resolves runs end where they are, and others do not begin. */
  readonly stopped: Promise<unknown>;
  /** Called now and then: requests of all runs that have ended. */
  readonly onProgress: (ended: number) => void;
}

/** Replays a trace several times, side by side in threads; the records are in the order of the runs, and those of runs that did not begin are missing. Throws what a run throws. */
export async function runAll(runs: readonly ReplayRun[], options: RunAllOptions): Promise<readonly RunRecord[]> {
  const { setup, threads, stopped, onProgress } = options;
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const end = () => Atomics.store(stop, 0, 1);
  stopped.then(end, end);
  const data: ReplayThreadData = { rows: shareNames(options.rows), setup, stop };
  const records: (RunRecord | undefined)[] = [];
  const ended = new Float64Array(runs.length);
  const waiting = [...runs.entries()];
  const workers: Worker[] = [];
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL("./thread.ts", import.meta.url), { name: "replay", workerData: data });
    workers.push(worker);
    for (let next = waiting.shift(); next && Atomics.load(stop, 0) === 0; next = waiting.shift()) {
      const [at, run] = next;
      records[at] = await runOne(worker, run, (count) => {
        ended[at] = count;
        onProgress(ended.reduce((sum, each) => sum + each, 0));
      });
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(threads, runs.length) }, work));
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  return records.filter((record) => record !== undefined);
}

function runOne(worker: Worker, run: ReplayRun, onProgress: (ended: number) => void): Promise<RunRecord> {
  return new Promise((resolve, reject) => {
    worker.removeAllListeners();
    worker.on("error", reject);
    worker.on("exit", () => reject(new StatorError("INTERNAL", { detail: `the replay of ${run.name} ended` })));
    worker.on("message", (news: ReplayNews) => {
      if (news.kind === "progress") onProgress(news.ended);
      else if (news.kind === "done") resolve(news.record);
      else reject(new StatorError(news.reason, news.facts));
    });
    worker.postMessage(run);
  });
}

/** The same rows, with all their names in memory that threads share: it is not copied for each of them. */
function shareNames(rows: readonly TraceRow[]): readonly TraceRow[] {
  const count = rows.reduce((sum, { names }) => sum + names.length, 0);
  const shared = new BigUint64Array(new SharedArrayBuffer(8 * count));
  let at = 0;
  return rows.map((row) => {
    const names = shared.subarray(at, at + row.names.length);
    names.set(row.names);
    at += row.names.length;
    return { ...row, names };
  });
}
