import type { TimePrior } from "#lib/perf/time-model";
import { NO_TIME } from "#lib/perf/time-prior";

/**
 * How long a step of the mock takes.
 * `polynomial`: the reference system's fit of a real GPU, divided by the speedups; a speedup of 0 takes no time.
 * `linear`: a sum of parts. `instant`: no time at all.
 */
export type MockTiming =
  | { readonly kind: "polynomial"; readonly speedup: number; readonly decodeSpeedup: number }
  | {
      readonly kind: "linear";
      readonly stepMs: number;
      readonly prefillTokenMs: number;
      readonly decodeSequenceMs: number;
    }
  | { readonly kind: "instant" };

/** The reference's fit: parts of a step that grow with its prompt tokens. */
const PREFILL = { prefillMs: 16.50142, prefillTokenMs: 1.518344e-2, prefillSquareMs: 4.209989e-7 } as const;
/** Parts that grow with the share of the pool that is in use. */
const DECODE = { decodeMs: 5.74, decodeFillMs: 54.01, decodeFillSquareMs: -25.74 } as const;
/** However fast the mock is, a step in which it decodes takes so long. */
const LEAST_DECODE_MS = 1;

function dividedBy<Parts extends Partial<TimePrior>>(parts: Parts, speedup: number): Parts {
  const divided = Object.entries(parts).map(([name, ms]) => [name, speedup === 0 ? 0 : ms / speedup]);
  return Object.fromEntries(divided) as Parts;
}

/** How long steps take by a timing, of at most so many tokens each: what the mock keeps to, and what its card says. */
export function timesOf(timing: MockTiming, passTokens: number): TimePrior {
  const base = { ...NO_TIME, passTokens };
  if (timing.kind === "instant") return base;
  if (timing.kind === "linear") {
    const { stepMs, prefillTokenMs, decodeSequenceMs } = timing;
    return { ...base, passMs: stepMs, prefillTokenMs, decodeSequenceMs };
  }
  const decodeSpeedup = timing.speedup * timing.decodeSpeedup;
  const decodeLeastMs = decodeSpeedup === 0 ? 0 : LEAST_DECODE_MS;
  return { ...base, ...dividedBy(PREFILL, timing.speedup), ...dividedBy(DECODE, decodeSpeedup), decodeLeastMs };
}
