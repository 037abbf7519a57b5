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
  /** Chosen by the machine when it opens the request; 0 before. */
  handle: number;
  /** Where it is in the table of one handle; `unknown` before it is opened and after its end. */
  phase: CallerHandleState;
  /** Tokens and other output that came. */
  outputs: number;
  /** When it was last seen to move. */
  progressMs: number;
  /** The owner's. The machine keeps it and the shell calls it. */
  readonly listener: RequestListener;
}

/** What waits for the end of the turn. */
export interface CallerOutbox {
  /** Goes first, and once. */
  hello: boolean;
  /** New requests, in order; the first frame of each. */
  submits: Submit[];
  /** Further frames of long prompts, in order, behind all submits. */
  parts: InputPart[];
  /** Handles to cancel at the end of a step. */
  stop: number[];
  /** Handles to cancel at once; those of abandoned requests among them. */
  kill: number[];
  /** Nonces; each in a message of its own but the first. */
  pings: bigint[];
  /** Goes last, and once. */
  goodbye: boolean;
}

/** Everything a caller's link remembers. Only the machine writes it. */
export interface CallerState {
  /** Of this side, in milliseconds and bytes; constant. */
  readonly limits: LinkLimits;
  /** Who calls, as Hello says it. */
  readonly caller: string;
  /** Optional features, as Hello says them. */
  readonly features: readonly string[];
  /** The worker that is meant; another one is refused. */
  readonly expect: { readonly instanceId?: bigint; readonly incarnation?: bigint };
  /** Where the link is in its table. */
  link: CallerLinkState;
  /** The worker's answer to Hello; undefined before it came. */
  welcome: Welcome | undefined;
  /** The worker said that it drains; a suspect link remembers it here. */
  draining: boolean;
  /** Longest message that is sent: the smaller of both sides' bounds. */
  maxMessageBytes: number;
  /** By handle: sent, accepted and abandoned ones, until their Finish. */
  readonly requests: NumberMap<CallerRequest>;
  /** Of `requests`, those that are not abandoned. */
  openRequests: number;
  /** Tried first for the next request; from 1 to 4,294,967,295 and around. */
  nextHandle: number;
  /** Of the next Ping; never used twice on a link. */
  nextNonce: bigint;
  /** Pings on the way, the oldest first, and when each was asked for. */
  readonly unanswered: { nonce: bigint; sentMs: number }[];
  /** Emptied at the end of the turn. */
  outbox: CallerOutbox;
  /** A turn was asked for and has not come. */
  turnComing: boolean;
  /** When the link was opened: from there Welcome has its time. */
  readonly openedMs: number;
  /** When the shell looked last; a long gap is a pause of this process. */
  tickMs: number;
  /** When a step last reported work, and how many requests it said were waiting. */
  workedMs: number;
  /** Requests that waited in the worker by its last step. */
  waitingRequests: number;
  /** Ring of the last step durations. */
  readonly durationsUs: Float64Array;
  /** Durations that were ever noted; the newest is at (this - 1) modulo the ring's length. */
  durationCount: number;
  /** Since the link was opened. */
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
  /** All of the step, a view over its message. */
  readonly tokens: Uint32Array;
  /** Who gets tokens, in the order of the entries; one may come twice. */
  readonly requests: CallerRequest[];
  /** Two for each request: start and end of its tokens. */
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
