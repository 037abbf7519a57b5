import type { Ticket } from "#lib/routing/router";
import type { NamedPrompt } from "./content.ts";
import type { TraceRow } from "./trace-row.ts";

/** One request on its way through a replay, and what became of it. Written by the cluster alone; times are virtual ms. */
export class ReplayRequest {
  /** Of the trace. */
  readonly row: TraceRow;
  /** What it asks. */
  readonly prompt: NamedPrompt;
  /** Names what is generated for it. */
  readonly answer: bigint;
  /** When it came. */
  readonly arrivedMs: number;
  /** Where it runs, or ran last: place of the worker among all, from 0; -1 before it was placed. */
  worker = -1;
  /** Its place with the router. */
  ticket: Ticket | undefined;
  /** Its worker has brought a token of it. */
  hasToken = false;
  /** Tokens of its answer so far. */
  tokens = 0;
  /** Prompt tokens that its worker had when it first let it in; undefined before it has ended. */
  cachedTokens: number | undefined;
  /** Prompt tokens that one cache for all workers, without end, had when it came. */
  reusableTokens = 0;
  /** When its first token was there. */
  firstMs: number | undefined;
  /** When it ended. */
  endedMs: number | undefined;
  /** Why it got no answer, one sentence; empty for one that did or may. */
  refusal = "";

  constructor(row: TraceRow, prompt: NamedPrompt, about: { readonly answer: bigint; readonly arrivedMs: number }) {
    this.row = row;
    this.prompt = prompt;
    this.answer = about.answer;
    this.arrivedMs = about.arrivedMs;
  }
}
