import type { Clock } from "#lib/base/clock";
import type { StatorError } from "#lib/base/errors";
import type { CallerChannel } from "#lib/link/link";
import { CANCEL_CHECKS } from "./cancel-checks.ts";
import type { Check, Found } from "./check.ts";
import { Failure } from "./failure.ts";
import { HELLO_CHECKS } from "./hello-checks.ts";
import type { LinkBench } from "./link-bench.ts";
import { RawCaller } from "./raw-caller.ts";
import { REQUEST_CHECKS } from "./request-checks.ts";
import { type RunBounds, runChecks } from "./run-checks.ts";
import { VIOLATION_CHECKS } from "./violation-checks.ts";

/** Every promise of docs/link.md, in the order in which they are asked. */
export const LINK_CHECKS: readonly Check<LinkBench>[] = [
  ...HELLO_CHECKS,
  ...REQUEST_CHECKS,
  ...CANCEL_CHECKS,
  ...VIOLATION_CHECKS,
];

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
  /** Whether equal greedy requests give equal tokens; false leaves out the checks that compare answers. */
  readonly exact?: boolean;
  /** Longest wait for one thing; 10 s unless given. */
  readonly timeoutMs?: number;
  /** Of one check and of all; RUN_BOUNDS where they are not given. */
  readonly bounds?: Partial<RunBounds>;
  /** Which checks to run, by name; all unless given. */
  readonly only?: (name: string) => boolean;
  /** Called as each check ends. */
  readonly onFound?: (found: Found) => void;
}

/**
 * Runs every promise of docs/link.md against a worker, one after the other, over links from `connect`. Any worker can be
 * asked: it is spoken to as a caller would, with raw messages. It is to be otherwise idle. Throws UNAVAILABLE when it
 * cannot be reached at all.
 */
export async function conformWorker(options: ConformOptions): Promise<Found[]> {
  const unreachable = await reach(options);
  if (unreachable) throw unreachable;
  const { clock, bounds, only, onFound } = options;
  return runChecks({
    checks: LINK_CHECKS,
    open: () => openBench(options),
    gone: async () => (await reach(options))?.message,
    ...{ clock, bounds, only, onFound },
  });
}

/** Why no link can be opened at all; undefined when one can. A worker that breaks its promises can be reached. */
async function reach({ connect, clock, model, timeoutMs = 10_000 }: ConformOptions): Promise<StatorError | undefined> {
  const caller = new RawCaller(connect(), { clock, timeoutMs, model });
  try {
    await caller.greet();
  } catch (error) {
    const { ended } = caller;
    if (ended?.error?.reason === "UNAVAILABLE") return ended.error;
    if (!(error instanceof Failure)) throw error;
  } finally {
    await caller.end();
  }
  return undefined;
}

function openBench(options: ConformOptions): { bench: LinkBench; close(): Promise<void> } {
  const { clock, connect, model, exact = true, timeoutMs = 10_000 } = options;
  const opened: RawCaller[] = [];
  const open = () => {
    const caller = new RawCaller(connect(), { clock, timeoutMs, model });
    opened.push(caller);
    return caller;
  };
  const greet = async () => {
    const caller = open();
    await caller.greet();
    return caller;
  };
  const prompt = options.promptTokens ?? Uint32Array.of(1, 5, 9, 13, 17, 21);
  return {
    bench: { open, greet, clock, prompt, exact },
    async close() {
      await Promise.all(opened.map((caller) => caller.end()));
    },
  };
}
