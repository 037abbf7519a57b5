import { Worker } from "node:worker_threads";
import { StatorError } from "#lib/base/errors";
import type { ReplayNews, ReplayRun, ReplaySetup, ReplayThreadData, RunRecord } from "./replay-run.ts";
import type { SharedTrace } from "./shared-trace.ts";

/** What runs are made on. */
export interface RunAllOptions {
  /** What is replayed; read by all threads. */
  readonly trace: SharedTrace;
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
  const { trace, setup, threads, stopped, onProgress } = options;
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const end = () => Atomics.store(stop, 0, 1);
  stopped.then(end, end);
  const data: ReplayThreadData = { trace, setup, stop };
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
