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

/** What a step computes. */
export interface StepLoad {
  /** Prompt tokens. */
  readonly prefillTokens: number;
  /** Sequences that decode. */
  readonly decodeSequences: number;
  /** Tokens of all contexts in the step. */
  readonly activeTokens: number;
  /** Tokens that the pool holds. */
  readonly totalTokens: number;
}

/** Milliseconds to prefill so many tokens; 0 for none. */
export function polynomialPrefillMs(tokens: number): number {
  return tokens === 0 ? 0 : 4.209989e-7 * tokens ** 2 + 1.518344e-2 * tokens + 16.50142;
}

/** Milliseconds of a decode step at a utilisation of the KV pool, 0 to 1; at least 1. */
export function polynomialDecodeMs(utilisation: number): number {
  return Math.max(1, -25.74 * utilisation ** 2 + 54.01 * utilisation + 5.74);
}

/** Milliseconds of a step. */
export function stepDurationMs(timing: MockTiming, load: StepLoad): number {
  if (timing.kind === "instant") return 0;
  const { prefillTokens, decodeSequences, activeTokens, totalTokens } = load;
  if (timing.kind === "linear") {
    return timing.stepMs + timing.prefillTokenMs * prefillTokens + timing.decodeSequenceMs * decodeSequences;
  }
  if (timing.speedup === 0) return 0;
  const prefillMs = polynomialPrefillMs(prefillTokens) / timing.speedup;
  if (decodeSequences === 0 || timing.decodeSpeedup === 0) return prefillMs;
  const utilisation = totalTokens === 0 ? 1 : Math.min(1, activeTokens / totalTokens);
  const decodeMs = polynomialDecodeMs(utilisation) / (timing.speedup * timing.decodeSpeedup);
  return prefillMs + Math.max(1, decodeMs);
}
