import type {
  Accepted,
  CancelMode,
  InputPart,
  LinkRequest,
  Notice,
  Pong,
  Step,
  Submit,
  Welcome,
} from "#gen/stator/worker/v1/link_pb";
import type { StatorError } from "#lib/base/errors";
import { NumberMap } from "#lib/base/number-map";
import type { LinkLimits } from "./limits.ts";
import type { LinkFinish, RequestListener, StepLogprobs, SubmitInit } from "./link.ts";
import type { CallerHandleState, CallerLinkState } from "./tables.ts";

/** One request on a caller's link. The machine never calls the listener: effects name the request, the shell calls. */
export interface CallerRequest {
  handle: number;
  phase: CallerHandleState;
  /** Tokens and other output that came. */
  outputs: number;
  /** When it was last seen to move. */
  progressMs: number;
  readonly listener: RequestListener;
}

/** What waits for the end of the turn. */
export interface CallerOutbox {
  hello: boolean;
  submits: Submit[];
  parts: InputPart[];
  stop: number[];
  kill: number[];
  pings: bigint[];
  goodbye: boolean;
}

/** Everything a caller's link remembers. Only the machine writes it. */
export interface CallerState {
  readonly limits: LinkLimits;
  readonly caller: string;
  readonly features: readonly string[];
  /** The worker that is meant; another one is refused. */
  readonly expect: { readonly instanceId?: bigint; readonly incarnation?: bigint };
  link: CallerLinkState;
  welcome: Welcome | undefined;
  /** The worker said that it drains; a suspect link remembers it here. */
  draining: boolean;
  maxMessageBytes: number;
  readonly requests: NumberMap<CallerRequest>;
  /** Of `requests`, those that are not abandoned. */
  openRequests: number;
  nextHandle: number;
  nextNonce: bigint;
  readonly unanswered: { nonce: bigint; sentMs: number }[];
  outbox: CallerOutbox;
  /** A turn was asked for and has not come. */
  turnComing: boolean;
  readonly openedMs: number;
  tickMs: number;
  /** When a step last reported work, and how many requests it said were waiting. */
  workedMs: number;
  waitingRequests: number;
  /** Ring of the last step durations. */
  readonly durationsUs: Float64Array;
  durationCount: number;
  readonly counters: { steps: number; tokens: number; mergedSteps: number; droppedFrames: number };
}

/** What a caller's link is told. */
export type CallerEvent =
  | { readonly kind: "submit"; readonly submit: SubmitInit; readonly request: CallerRequest }
  | { readonly kind: "cancel"; readonly handle: number; readonly mode: CancelMode }
  | { readonly kind: "abandon"; readonly handle: number }
  | { readonly kind: "ping" }
  | { readonly kind: "close" }
  /** The turn of the event loop ends: what waits is sent. */
  | { readonly kind: "turn" }
  | { readonly kind: "tick" }
  | { readonly kind: "welcome"; readonly welcome: Welcome }
  | { readonly kind: "accepted"; readonly accepted: Accepted }
  | { readonly kind: "step"; readonly step: Step }
  | { readonly kind: "notice"; readonly notice: Notice }
  | { readonly kind: "pong"; readonly pong: Pong }
  /** A message longer than the limit came. */
  | { readonly kind: "oversized" }
  | { readonly kind: "ended"; readonly error: StatorError | undefined };

/** Outputs of one step: request i gets tokens[bounds[2i]] to tokens[bounds[2i + 1] - 1]. */
export interface Deliveries {
  readonly kind: "deliver";
  readonly tokens: Uint32Array;
  readonly requests: CallerRequest[];
  readonly bounds: number[];
  /** By index of request; undefined when no entry asked for them. */
  readonly logprobs: (StepLogprobs | undefined)[] | undefined;
}

/** What a caller's link wants done, in order. */
export type CallerEffect =
  | { readonly kind: "send"; readonly message: LinkRequest }
  /** Call back with `turn` when the turn of the event loop ends. */
  | { readonly kind: "turn later" }
  | { readonly kind: "end"; readonly error: StatorError | undefined }
  | { readonly kind: "refuse"; readonly error: StatorError }
  | { readonly kind: "state"; readonly state: CallerLinkState; readonly reason: StatorError | undefined }
  | { readonly kind: "welcome"; readonly welcome: Welcome }
  | {
      readonly kind: "accepted";
      readonly request: CallerRequest;
      readonly cachedTokens: number;
      readonly queuedAhead: number;
    }
  | Deliveries
  | {
      readonly kind: "prompt logprobs";
      readonly request: CallerRequest;
      readonly position: number;
      readonly logprobs: StepLogprobs;
    }
  | { readonly kind: "text"; readonly request: CallerRequest; readonly text: string }
  | { readonly kind: "embedding"; readonly request: CallerRequest; readonly values: Float32Array }
  | { readonly kind: "finish"; readonly request: CallerRequest; readonly finish: LinkFinish }
  | { readonly kind: "lost"; readonly request: CallerRequest; readonly error: StatorError; readonly accepted: boolean }
  | { readonly kind: "step"; readonly step: Step }
  | { readonly kind: "notice"; readonly notice: Notice }
  | { readonly kind: "pinged"; readonly nonce: bigint }
  | { readonly kind: "pong"; readonly nonce: bigint; readonly roundTripMs: number };

/** How many step durations the median is taken over. */
const DURATIONS = 64;

/** A link that has said nothing yet; its Hello waits for the first turn. */
export function createCallerState(options: {
  readonly limits: LinkLimits;
  readonly caller: string;
  readonly features: readonly string[];
  readonly expect: CallerState["expect"];
  readonly nowMs: number;
}): CallerState {
  return {
    limits: options.limits,
    caller: options.caller,
    features: options.features,
    expect: options.expect,
    link: "connecting",
    welcome: undefined,
    draining: false,
    maxMessageBytes: options.limits.maxMessageBytes,
    requests: new NumberMap(),
    openRequests: 0,
    nextHandle: 1,
    nextNonce: 1n,
    unanswered: [],
    outbox: { ...emptyOutbox(), hello: true },
    turnComing: false,
    openedMs: options.nowMs,
    tickMs: options.nowMs,
    workedMs: options.nowMs,
    waitingRequests: 0,
    durationsUs: new Float64Array(DURATIONS),
    durationCount: 0,
    counters: { steps: 0, tokens: 0, mergedSteps: 0, droppedFrames: 0 },
  };
}

/** An outbox with nothing in it. */
export function emptyOutbox(): CallerOutbox {
  return { hello: false, submits: [], parts: [], stop: [], kill: [], pings: [], goodbye: false };
}
