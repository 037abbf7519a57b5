import type { Clock } from "#lib/base/clock";
import { asStatorError } from "#lib/base/errors";
import type { CallerChannel } from "#lib/link/link";
import { CANCEL_CHECKS } from "./cancel-checks.ts";
import type { Bench, Check } from "./check.ts";
import { Failure } from "./failure.ts";
import { HELLO_CHECKS } from "./hello-checks.ts";
import { RawCaller } from "./raw-caller.ts";
import { REQUEST_CHECKS } from "./request-checks.ts";
import { VIOLATION_CHECKS } from "./violation-checks.ts";

/** What the checks use of the worker under test. */
export interface ConformOptions {
  /** Opens a link of its own at each call. */
  readonly connect: () => CallerChannel;
  /** Borrowed; waits and `tookMs` go by it. */
  readonly clock: Clock;
  /** Served model; the first of Welcome unless given. */
  readonly model?: string;
  /** A prompt that the model takes, as token ids; some small ids unless given. */
  readonly promptTokens?: Uint32Array;
  /** Whether equal greedy requests give equal tokens; false skips the checks that compare answers. */
  readonly exact?: boolean;
  /** Longest wait for one thing; 10 s unless given. */
  readonly timeoutMs?: number;
  /** Which checks to run, by name; all unless given. */
  readonly only?: (name: string) => boolean;
  /** Called as each check ends. */
  readonly onCheck?: (check: ConformCheck) => void;
}

/** What one check found. */
export interface ConformCheck {
  /** A sentence that the worker keeps. */
  readonly name: string;
  /** `skipped`: the worker does not have what is asked about. */
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why, unless it passed. */
  readonly reason: string | undefined;
  /** From its first word to its last. */
  readonly tookMs: number;
}

/**
 * Runs every promise of docs/link.md against a worker, one after the other, over links from `connect`. Any worker can be
 * asked: it is spoken to as a caller would, with raw messages. It is to be otherwise idle. Throws UNAVAILABLE when it
 * cannot be reached at all.
 */
export async function conformWorker(options: ConformOptions): Promise<ConformCheck[]> {
  await reach(options);
  const out: ConformCheck[] = [];
  for (const check of [...HELLO_CHECKS, ...REQUEST_CHECKS, ...CANCEL_CHECKS, ...VIOLATION_CHECKS]) {
    if (options.only && !options.only(check.name)) continue;
    const found = await runCheck(check, options);
    options.onCheck?.(found);
    out.push(found);
  }
  return out;
}

/** A worker that cannot be reached is not one that breaks its promises. */
async function reach({ connect, clock, model, timeoutMs = 10_000 }: ConformOptions): Promise<void> {
  const caller = new RawCaller(connect(), { clock, timeoutMs, model });
  try {
    await caller.greet();
  } catch (error) {
    const { ended } = caller;
    if (ended?.error?.reason === "UNAVAILABLE") throw ended.error;
    if (!(error instanceof Failure)) throw error;
  } finally {
    await caller.end();
  }
}

async function runCheck(check: Check, options: ConformOptions): Promise<ConformCheck> {
  const { clock, connect, model, exact = true, timeoutMs = 10_000 } = options;
  const startMs = clock.nowMs();
  const opened: RawCaller[] = [];
  const open = () => {
    const caller = new RawCaller(connect(), { clock, timeoutMs, model });
    opened.push(caller);
    return caller;
  };
  const bench: Bench = {
    open,
    async greet() {
      const caller = open();
      await caller.greet();
      return caller;
    },
    clock,
    prompt: options.promptTokens ?? Uint32Array.of(1, 5, 9, 13, 17, 21),
    exact,
  };
  let outcome: ConformCheck["outcome"] = "passed";
  let reason: string | undefined;
  try {
    reason = await check.run(bench);
    if (reason !== undefined) outcome = "skipped";
  } catch (error) {
    outcome = "failed";
    reason = error instanceof Failure ? error.message : asStatorError(error).message;
  }
  for (const caller of opened) await caller.end();
  return { name: check.name, outcome, reason, tookMs: clock.nowMs() - startMs };
}
