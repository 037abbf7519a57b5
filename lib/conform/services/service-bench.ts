import type { Clock } from "#lib/base/clock";
import { asStatorError } from "#lib/base/errors";
import { asPeerSaid } from "#lib/rpc/error-detail";
import type { ByteTransport } from "#lib/rpc/transport";
import type { Check, Found } from "../check.ts";
import { Failure } from "../failure.ts";
import { type RunBounds, runChecks } from "../run-checks.ts";

/** What a check of a service works with: a session of its own. */
export interface ServiceBench {
  /** To the process. */
  readonly transport: ByteTransport;
  /** Borrowed; waits go by it. */
  readonly clock: Clock;
  /** Part of every name that the run makes, so that two runs do not meet. */
  readonly run: string;
  /** Model that is asked; the process's first where it is undefined. */
  readonly model: string | undefined;
  /** Aborts when the check is over: what still streams then ends. */
  readonly signal: AbortSignal;
}

/** What the checks use of the process under test. */
export interface ConformServiceOptions {
  /** A session of its own, at each call. The run closes it. */
  readonly connect: () => ByteTransport;
  /** Borrowed; waits and `tookMs` go by it. */
  readonly clock: Clock;
  /** Part of every name that the run makes. */
  readonly run: string;
  /** The process's first unless given. */
  readonly model?: string;
  /** Of one check and of all; RUN_BOUNDS where they are not given. */
  readonly bounds?: Partial<RunBounds>;
  /** Which checks to run, by name; all unless given. */
  readonly only?: (name: string) => boolean;
  /** Called as each check ends. */
  readonly onFound?: (found: Found) => void;
}

/** Longest wait for one thing. */
export const TIMEOUT_MS = 10_000;

/**
 * Runs checks of a service against a process, one after the other. `touch` is a call that every such process answers in
 * some way. Throws UNAVAILABLE when the process cannot be reached at all.
 */
export async function conformService(
  checks: readonly Check<ServiceBench>[],
  touch: (transport: ByteTransport) => Promise<unknown>,
  options: ConformServiceOptions,
): Promise<Found[]> {
  const { connect, clock, run, model, bounds, only, onFound } = options;
  const missing = async () => {
    const transport = connect();
    try {
      await touch(transport);
      return undefined;
    } catch (caught) {
      const error = asStatorError(caught);
      return asPeerSaid(error) === undefined || error.reason === "DEADLINE" ? error : undefined;
    } finally {
      transport.close();
    }
  };
  const unreachable = await missing();
  if (unreachable) throw unreachable;
  return runChecks({
    checks,
    open() {
      const transport = connect();
      const abort = new AbortController();
      const bench: ServiceBench = { transport, clock, run, model, signal: abort.signal };
      return {
        bench,
        close() {
          abort.abort();
          transport.close();
        },
      };
    },
    gone: async () => (await missing())?.message,
    ...{ clock, bounds, only, onFound },
  });
}

/** Waits. */
export function pause({ clock }: Pick<ServiceBench, "clock">, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(ms, resolve, { keepAlive: true });
  });
}

/** What comes within so long, or a Failure that names it. */
export function inTime<Value>(
  { clock }: Pick<ServiceBench, "clock">,
  what: string,
  value: Promise<Value>,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    const late = () => reject(new Failure(`${what} did not come in ${TIMEOUT_MS} ms`));
    const timer = clock.after(TIMEOUT_MS, late, { keepAlive: true });
    value.then(resolve, reject).finally(() => timer.cancel());
  });
}
