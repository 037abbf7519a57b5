import type { Clock } from "#lib/base/clock";
import { asStatorError } from "#lib/base/errors";
import type { Check, Found, Outcome } from "./check.ts";
import { Failure, Unclaimed, Unseen } from "./failure.ts";

/** How long a process may take. */
export interface RunBounds {
  /** Of one check, in milliseconds; one that is not over by then has failed, and the next begins. */
  readonly checkMs: number;
  /** Of all, in milliseconds; a check whose turn comes later fails unasked. */
  readonly totalMs: number;
}

/** A check takes milliseconds, with a slow engine seconds. */
export const RUN_BOUNDS: RunBounds = { checkMs: 30_000, totalMs: 300_000 };

/** How long what a check has opened may take to close. */
const CLOSE_MS = 1_000;

/** What one check works with, open. */
export interface Opened<Bench> {
  /** For the check. */
  readonly bench: Bench;
  /** Lets go of what the check has opened. */
  close(): Promise<void> | void;
}

/** What a run of checks is made with. */
export interface Run<Bench> {
  /** In the order in which they are asked. */
  readonly checks: readonly Check<Bench>[];
  /** Opens what one check works with. What it throws, the check has found. */
  open(): Opened<Bench> | Promise<Opened<Bench>>;
  /** Whether the process still answers: asked after a check has failed. Why not, in a sentence; undefined when it does. */
  gone(): Promise<string | undefined>;
  /** Borrowed; bounds and times go by it. */
  readonly clock: Clock;
  /** RUN_BOUNDS where they are not given. */
  readonly bounds?: Partial<RunBounds>;
  /** Which checks to run, by name; all unless given. */
  readonly only?: (name: string) => boolean;
  /** Called as each check ends. */
  readonly onFound?: (found: Found) => void;
}

/**
 * Runs checks one after the other. Whatever the process does, each of them ends: one that hangs, floods or dies fails the
 * check that met it, by name. When it is gone the rest fails unasked.
 */
export async function runChecks<Bench>(run: Run<Bench>): Promise<Found[]> {
  const { clock, only, onFound } = run;
  const { checkMs, totalMs } = { ...RUN_BOUNDS, ...run.bounds };
  const untilMs = clock.nowMs() + totalMs;
  const founds: Found[] = [];
  let gone: string | undefined;
  for (const check of run.checks) {
    if (only && !only(check.name)) continue;
    const startMs = clock.nowMs();
    const leftMs = untilMs - startMs;
    let ended: Ended;
    if (gone !== undefined) ended = { outcome: "failed", reason: gone };
    else if (leftMs <= 0) ended = { outcome: "failed", reason: `not asked: the ${totalMs} ms of the run were over` };
    else ended = await runCheck(run, check, Math.min(checkMs, leftMs));
    const { name, sentence, of } = check;
    const found: Found = { name, sentence, of, ...ended, tookMs: clock.nowMs() - startMs };
    founds.push(found);
    onFound?.(found);
    if (ended.outcome === "failed" && gone === undefined && leftMs > 0) gone = await diedIn(run, check.name);
  }
  return founds;
}

type Ended = Pick<Found, "outcome" | "reason">;

async function runCheck<Bench>(run: Run<Bench>, check: Check<Bench>, boundMs: number): Promise<Ended> {
  let opened: Opened<Bench> | undefined;
  const ask = async () => {
    opened = await run.open();
    await check.run(opened.bench);
  };
  try {
    const late = new Failure(`it hangs: the check was not over after ${boundMs} ms`);
    await within(run.clock, ask(), { ms: boundMs, late });
    return { outcome: "passed", reason: undefined };
  } catch (error) {
    return endedBy(error);
  } finally {
    // What hangs in a check hangs in its end as well: the next one does not wait for it.
    if (opened) {
      const closing = Promise.resolve(opened.close());
      await within(run.clock, closing, { ms: CLOSE_MS, late: undefined }).catch(() => {});
    }
  }
}

/** What is thrown at a check, as how it ended. */
function endedBy(error: unknown): Ended {
  const say = (outcome: Outcome, { message }: Error): Ended => ({ outcome, reason: message });
  if (error instanceof Unclaimed) return say("unclaimed", error);
  if (error instanceof Unseen) return say("unseen", error);
  return say("failed", error instanceof Failure ? error : asStatorError(error));
}

async function diedIn<Bench>({ gone, clock }: Run<Bench>, name: string): Promise<string | undefined> {
  const late = new Failure("it does not answer");
  const why = await within(clock, gone(), { ms: CLOSE_MS * 5, late }).catch((error: Error) => error.message);
  return why === undefined ? undefined : `not asked: the process is gone since the check "${name}" (${why})`;
}

/** What a promise resolves with, or after so long the error `late`; without one it resolves with nothing then. */
function within<Value>(
  clock: Clock,
  promise: Promise<Value>,
  { ms, late }: { readonly ms: number; readonly late: Error | undefined },
): Promise<Value | undefined> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(ms, () => (late ? reject(late) : resolve(undefined)), { keepAlive: true });
    promise.then(resolve, reject).finally(() => timer.cancel());
  });
}
