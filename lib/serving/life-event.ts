import type { RequestRecord } from "#gen/stator/frontend/v1/frontend_pb";
import type { KvSession } from "#gen/stator/worker/v1/link_pb";
import type { StatorError } from "#lib/base/errors";
import type { LinkFinish, StepLogprobs } from "#lib/link/link";
import type { Leg, RouteAnswer, RouteNote, Target } from "#lib/routing/router";
import type { Placement } from "./answer.ts";
import type { ChoiceEnd } from "./dispatcher.ts";

/** Where the two legs of a choice meet that began at the same time: whoever carries the request draws one number for it. */
export interface RoomName {
  /** Of the prefill leg. */
  readonly attempt: number;
  /** That computes the prompt. */
  readonly worker: bigint;
}

/** What a request is told. `choice` and `attempt` name whom a frame belongs to. */
export type LifeEvent =
  | { readonly kind: "start" }
  /** Answer to `place`, for the choices that it was asked for. */
  | RouteAnswer
  /** The worker, or the link to it, did not take the choice: certainly not executed. */
  | { readonly kind: "refused"; readonly choice: number; readonly attempt: number; readonly error: StatorError }
  | { readonly kind: "accepted"; readonly choice: number; readonly attempt: number; readonly cachedTokens: number }
  | { readonly kind: "text"; readonly choice: number; readonly attempt: number; readonly text: string }
  | { readonly kind: "embedding"; readonly choice: number; readonly attempt: number; readonly values: Float32Array }
  /** The first of what a model of tensors answers came. */
  | { readonly kind: "answered"; readonly choice: number; readonly attempt: number }
  | { readonly kind: "finished"; readonly choice: number; readonly attempt: number; readonly finish: LinkFinish }
  | {
      readonly kind: "lost";
      readonly choice: number;
      readonly attempt: number;
      readonly error: StatorError;
      readonly accepted: boolean;
      /** The worker is gone; else it ended the link, or was told to. */
      readonly died: boolean;
    }
  /** A worker is not to be waited for any longer. */
  | { readonly kind: "suspect"; readonly worker: bigint; readonly error: StatorError }
  /** Whoever asked has enough of a choice: its first `tokens` tokens, or pieces of text, are the answer. */
  | { readonly kind: "finish choice"; readonly choice: number; readonly tokens: number }
  | { readonly kind: "cancel" }
  /** Whoever runs it cannot go on. */
  | { readonly kind: "fail"; readonly error: StatorError }
  | { readonly kind: "deadline" };

/** What a request wants done, in order. */
export type LifeEffect =
  /** Ask a router after `delayMs`, with `routeAsk` as of then. One is under way at a time. */
  | { readonly kind: "place"; readonly delayMs: number }
  /** What became of a choice, for the router that placed it. */
  | { readonly kind: "note"; readonly note: RouteNote }
  /** A worker took it, or the first choice of several: before any token of the attempt, unless a later one was told. */
  | { readonly kind: "tell placed"; readonly placement: Placement }
  /** `generated` stays as it is: keep it or copy it. */
  | {
      readonly kind: "submit";
      readonly target: Target;
      readonly choice: number;
      readonly attempt: number;
      readonly prompt: Uint32Array | string;
      readonly generated: Uint32Array;
      readonly deadlineMs: number | undefined;
      /** What it does there. */
      readonly leg: Leg;
      /** Where the blocks of its prompt are kept; undefined: it computes all of them. */
      readonly session: KvSession | undefined;
      /** Where it meets its other leg; undefined where that is not under way. */
      readonly room: RoomName | undefined;
    }
  /** Ask the worker to end it; nothing more is awaited from it. */
  | { readonly kind: "cancel"; readonly choice: number; readonly attempt: number; readonly mode: "stop" | "kill" }
  /** Forget it: the worker is not trusted to answer. */
  | { readonly kind: "abandon"; readonly choice: number; readonly attempt: number }
  /** Nobody goes on from what a worker keeps. */
  | { readonly kind: "release"; readonly worker: bigint; readonly session: KvSession }
  /** Tokens that were held back until the other leg of the choice had ended; a view that stays right. */
  | {
      readonly kind: "tokens";
      readonly choice: number;
      readonly tokens: Uint32Array;
      readonly logprobs: StepLogprobs | undefined;
    }
  | { readonly kind: "text"; readonly choice: number; readonly text: string }
  | { readonly kind: "embedding"; readonly choice: number; readonly values: Float32Array }
  | { readonly kind: "end"; readonly choice: number; readonly end: ChoiceEnd }
  | { readonly kind: "error"; readonly error: StatorError }
  /** The last effect. */
  | { readonly kind: "done"; readonly record: RequestRecord };
