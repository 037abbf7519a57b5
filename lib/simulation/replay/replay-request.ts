import type { Leg, Ticket } from "#lib/routing/router";
import type { NamedPrompt } from "./content.ts";
import type { KeptBlocks } from "./moving/blocks.ts";
import type { TraceRow } from "./trace-row.ts";

/** The blocks of a prompt that was computed for an answer which goes on elsewhere. */
export interface Session {
  /** Place of the worker that keeps them. */
  readonly place: number;
  /** Those. */
  readonly blocks: KeptBlocks;
  /** When its first token was there. */
  readonly sinceMs: number;
}

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
  /** What its worker does of it. */
  leg: Leg = "whole";
  /** Place of the worker that waits to go on with it while its prompt is computed; undefined where none does. */
  ahead: number | undefined;
  /** What comes of it is told of the place that was ahead. */
  isAhead = false;
  /** Its prompt is computed, and its blocks wait for whoever goes on; undefined before, and once they were moved. */
  session: Session | undefined;
  /** Place of the worker that computed its prompt last; -1 before. */
  prefilledBy = -1;
  /** Tokens whose KV was moved for it. */
  movedTokens = 0;
  /** From the end of its prompt to where its answer went on, in ms; undefined where it did not go on elsewhere. */
  handOffMs: number | undefined;
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
  /** When its second one was there. */
  secondMs: number | undefined;
  /** When the last one so far was there. */
  lastMs: number | undefined;
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
