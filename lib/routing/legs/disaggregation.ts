import type { BypassConstants, BypassName } from "./bypass.ts";

/** How answers are split into a leg for the prompt and one for what follows it. */
export interface Disaggregation {
  /** When a prompt is computed where its answer is made although workers for prompts are there. */
  readonly bypass: BypassName;
  /** Numbers of the bypass rules. */
  readonly constants: BypassConstants;
  /** Prompts are never computed by workers for answers: without one for prompts a request is refused. */
  readonly enforce: boolean;
  /** Both legs begin at once and meet; else the second begins when the first has ended. */
  readonly bootstrap: boolean;
  /** Bytes that blocks come at in a second, until it was seen. */
  readonly transferBytesPerSecond: number;
}

/** What a router goes by unless told otherwise. */
export const USUAL_DISAGGREGATION: Disaggregation = {
  bypass: "priced",
  constants: { shortTokens: 2_048, shortShare: 0.7, busyPasses: 16, busyShare: 0.9 },
  enforce: false,
  bootstrap: false,
  transferBytesPerSecond: 2_000_000_000,
};

/** Milliseconds that any transfer takes, until it was seen. */
export const TRANSFER_LATENCY_MS = 2;
