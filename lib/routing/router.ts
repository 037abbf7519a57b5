import type { StatorError } from "#lib/base/errors";
import type { PassRecord } from "#lib/perf/time-model";
import type { TransferSeen } from "#lib/perf/transfer-times";
import type { Decision } from "./decision.ts";
import type { Fleet } from "./fleet.ts";

/** Where a choice runs: a worker, and one of its data-parallel ranks; undefined leaves that to the worker. */
export interface Target {
  /** Its instance. */
  readonly worker: bigint;
  /** From 0, below the worker's ranks. */
  readonly rank: number | undefined;
}

/**
 * What is asked for: an answer; a prompt alone, for an answer elsewhere; an embedding; what media become; how likely a text
 * is; or what a model of tensors makes of them. A tensor ask is placed like any other, but nothing of it enters a link.
 */
export type AskKind = "generate" | "prefill" | "embed" | "encode" | "score" | "tensor";

/** What one worker does of an answer: all of it, its prompt and first token, or what follows them. */
export type Leg = "whole" | "prefill" | "decode";

/** A word of a worker that a request would rather have, or avoid. */
export interface PreferredTaint {
  /** Such as zone=a. */
  readonly taint: string;
  /** How much: costs are multiplied by exp(-tanh(weight)); below 0 it is avoided. */
  readonly weight: number;
}

/** What a request says of its worker, beside naming one. */
export interface RouteWishes {
  /** Requests of one session go to one worker, by the router's affinity; undefined: it is of none. */
  readonly session: string | undefined;
  /** Words that its worker must have. */
  readonly requiredTaints: readonly string[];
  /** Words that make a worker better or worse. */
  readonly preferredTaints: readonly PreferredTaint[];
}

/** Of a request that says nothing. */
export const NO_WISHES: RouteWishes = { session: undefined, requiredTaints: [], preferredTaints: [] };

/** A request that asks for places, once or several times: the same object in every ask of it, and compared as that. */
export interface AskingRequest {
  /** When it came, on the router's clock. */
  readonly arrivedMs: number;
}

/** As much of a request as its place may depend on. Its arrays are borrowed until the answer. */
export interface RouteAsk extends RouteWishes {
  /** Whose ask it is; absent where nobody says which asks are of one request. */
  readonly asker?: AskingRequest;
  /** For logs; the same for every ask of a request. */
  readonly requestId: string;
  /** What its worker is to do. */
  readonly kind: AskKind;
  /**
   * What is placed: an answer from its start, which the router may split into legs, or the decode leg of one whose prompt
   * was computed. Absent: the start.
   */
  readonly stage?: "start" | "hand-off";
  /** Of a hand-off: who keeps the blocks. */
  readonly prefilledBy?: bigint;
  /** Served model or adapter, by its name in the API. */
  readonly model: string;
  /** The adapter, where the model's own weights are not all of it. */
  readonly adapter: string | undefined;
  /** Token ids, one array per prompt; empty ones for an ask that has no tokens. */
  readonly prompts: readonly Uint32Array[];
  /** The prompts of an ask of text, long ones as UTF-8; none where there are token ids. */
  readonly texts: readonly (string | Uint8Array)[];
  /** Digest of the tokenizer that made them, in hex; empty when nobody stated one. */
  readonly tokenizer: string;
  /** Choices to place, ascending and at least one; choice / `choicesPerPrompt` is the place of its prompt. */
  readonly choices: readonly number[];
  /** At least 1. */
  readonly choicesPerPrompt: number;
  /** Separates prefix caches: prompts of another salt share nothing. */
  readonly salt: string;
  /** Higher is more urgent. */
  readonly priority: number;
  /** Milliseconds from the request's arrival. */
  readonly deadlineMs: number | undefined;
  /** Where it is to run: no other worker will do. */
  readonly target: Target | undefined;
  /** Word for the weights that its tokens came from: no others will do. undefined while it has no token. */
  readonly weights: string | undefined;
  /** Workers that failed it a moment ago: not asked again before all others were. */
  readonly avoid: ReadonlySet<bigint>;
  /** Nothing was asked for this request before. */
  readonly isNew: boolean;
}

/** A target, and the choices that it is for: at least one, ascending. */
export interface Place {
  /** Of those that were asked for. */
  readonly choices: readonly number[];
  /** Where they go. */
  readonly target: Target;
  /** Word for the weights that it has. */
  readonly weights: string;
  /** Why there. */
  readonly decision: Decision;
  /** What it does there. Absent: all of it. */
  readonly leg?: Leg;
  /** Of a prefill leg: where the decode leg begins at the same time, to meet it in a room. */
  readonly ahead?: Pick<Place, "target" | "weights" | "decision">;
}

/** What a router answers, once. */
export type RouteAnswer =
  /** Every choice of the ask is in one place. */
  | { readonly kind: "placed"; readonly places: readonly Place[] }
  /** Nobody can take it now. `final`: nor is it to wait for somebody; else the row of the error decides that. */
  | { readonly kind: "unplaced"; readonly error: StatorError; readonly final: boolean };

/** An answer's growth is told each time that it passes a multiple of so many tokens: the shortest blocks are as long. */
export const GROWTH_TOKENS = 16;

/** What became of a choice at its place, or `ahead` of it where its decode leg began at the same time. */
export type RouteNote = { readonly ahead?: true } & (
  | { readonly kind: "accepted"; readonly choice: number; readonly cachedTokens: number }
  | { readonly kind: "first token"; readonly choice: number }
  /** What it went on from has come from the worker of its prompt, or a part of it. */
  | { readonly kind: "transferred"; readonly choice: number; readonly transfer: TransferSeen }
  /** Its answer has so many tokens by now, those of earlier attempts among them. */
  | { readonly kind: "tokens"; readonly choice: number; readonly tokens: number }
  /**
   * Nothing more runs there: it finished, failed, moved on, or never went. `tokens`: of its answer by now, as the ledger
   * counts them; as told last where absent.
   */
  | { readonly kind: "ended"; readonly choice: number; readonly tokens?: number }
);

/** One ask, as whoever asked holds it. Ignored after `cancel` and for a choice after its `ended`. */
export interface Ticket {
  /** What became of a choice; a router counts by it. */
  note(note: RouteNote): void;
  /** Withdraws the ask: it is not answered any more, and what was placed has ended. */
  cancel(): void;
}

/** Decides where requests run. It may answer during the call, or later: from a queue, or another process. */
export interface Router {
  /** Choices that were placed and have not ended there. */
  readonly openChoices: number;
  /** Asks where the choices go. `answer` is called once, unless the ticket is cancelled before. */
  place(ask: RouteAsk, answer: (answer: RouteAnswer) => void): Ticket;
  /** Nothing more is asked for a request, and all its choices have ended. */
  done(asker: AskingRequest): void;
  /** The workers that are there from now on; those that are gone take nothing with them that is still counted. */
  follow(fleet: Fleet): void;
  /** What a worker told of one of its passes; it borrows the record. */
  observe(worker: bigint, pass: PassRecord): void;
}
