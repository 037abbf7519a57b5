import type {
  Cancel,
  CancelMode,
  Finish,
  Hello,
  InputPart,
  LinkResponse,
  Notice,
  Ping,
  Step,
  Submit,
  Welcome,
} from "#gen/stator/worker/v1/link_pb";
import type { StatorError } from "#lib/base/errors";
import { NumberMap } from "#lib/base/number-map";
import type { Gathered } from "./gather.ts";
import type { LinkLimits } from "./limits.ts";
import type { WorkerHandleState, WorkerLinkState } from "./tables.ts";

/** One request on a worker's link. */
export interface WorkerRequest {
  /** Where it is in the table of one handle. */
  phase: WorkerHandleState;
  /** What came of it, while parts are missing. */
  gathered: Gathered | undefined;
}

/** What waits for the end of the turn, or for room in the send buffer. */
export interface WorkerOutbox {
  /** Goes first, and once. */
  welcome: Welcome | undefined;
  /** Requests that the engine took in this turn: three lists of equal length. */
  accepted: { handles: number[]; cachedTokens: number[]; queuedAhead: number[] };
  /** Terminal frames of requests that the engine never had. */
  finishes: Finish[];
  /** In order; those that had to wait for room leave merged. */
  steps: Step[];
  /** What the steps weigh together: the bound of what may be left unread counts it. */
  stepBytes: number;
  /** Of the turn: the last one, with the models of the last that named them. */
  notice: Notice | undefined;
  /** Nonces to give back, in the order of their Pings. */
  pongs: bigint[];
}

/** What a worker says of itself in Welcome. */
export type Introduction = Pick<
  Welcome,
  | "instanceId"
  | "incarnation"
  | "models"
  | "maxRunningRequests"
  | "maxWaitingRequests"
  | "totalKvBlocks"
  | "ranks"
  | "features"
  | "draining"
>;

/** Everything a worker's link remembers. Only the machine writes it. */
export interface WorkerState {
  /** Of this side, in milliseconds and bytes; constant. */
  readonly limits: LinkLimits;
  /** Where the link is in its table. */
  link: WorkerLinkState;
  /** Who called, from Hello; empty before. */
  caller: string;
  /** By handle, until their terminal frame. */
  readonly requests: NumberMap<WorkerRequest>;
  /** What the requests whose parts are missing weigh together: the bound of what is gathered counts it. */
  gatheredBytes: number;
  /** Emptied at the end of the turn, or when the send buffer has room. */
  outbox: WorkerOutbox;
  /** A turn was asked for and has not come. */
  turnComing: boolean;
  /** The send buffer was too full at the last turn: steps that wait will leave as one. */
  congested: boolean;
  /** When the link was opened: from there Hello has its time. */
  readonly openedMs: number;
  /** Since the link was opened. */
  readonly counters: { steps: number; mergedSteps: number; refused: number; ignored: number };
}

/** What a worker's link is told. */
export type WorkerEvent =
  | { readonly kind: "hello"; readonly hello: Hello }
  | { readonly kind: "submit"; readonly submit: Submit }
  | { readonly kind: "part"; readonly part: InputPart }
  | { readonly kind: "cancel"; readonly cancel: Cancel }
  | { readonly kind: "ping"; readonly ping: Ping }
  | { readonly kind: "goodbye" }
  /** A message longer than the limit came. */
  | { readonly kind: "oversized" }
  | { readonly kind: "ended"; readonly error: StatorError | undefined }
  /** The engine took an offered request. */
  | { readonly kind: "took"; readonly handle: number; readonly cachedTokens: number; readonly queuedAhead: number }
  | { readonly kind: "refused"; readonly handle: number; readonly error: StatorError }
  | { readonly kind: "step"; readonly step: Step }
  | { readonly kind: "notice"; readonly notice: Notice }
  | { readonly kind: "close"; readonly error: StatorError | undefined }
  | { readonly kind: "turn"; readonly bufferedBytes: number }
  | { readonly kind: "tick" };

/** What a worker's link wants done, in order. */
export type WorkerEffect =
  | { readonly kind: "send"; readonly message: LinkResponse }
  /** Call back with `turn` when the turn of the event loop ends. */
  | { readonly kind: "turn later" }
  /** Call back with `turn` when the send buffer has room. */
  | { readonly kind: "turn on room" }
  | { readonly kind: "end"; readonly error: StatorError | undefined }
  /** Ask the engine; answer with `took` or `refused` before anything else. */
  | { readonly kind: "offer"; readonly handle: number; readonly submit: Submit }
  | { readonly kind: "cancel"; readonly handles: Uint32Array; readonly mode: CancelMode }
  /** The link is over; nothing is called after this. */
  | { readonly kind: "gone"; readonly error: StatorError | undefined };

/** A link that has heard nothing yet. */
export function createWorkerState(limits: LinkLimits, nowMs: number): WorkerState {
  return {
    limits,
    link: "waiting",
    caller: "",
    requests: new NumberMap(),
    gatheredBytes: 0,
    outbox: emptyWorkerOutbox(),
    turnComing: false,
    congested: false,
    openedMs: nowMs,
    counters: { steps: 0, mergedSteps: 0, refused: 0, ignored: 0 },
  };
}

/** An outbox with nothing in it. */
export function emptyWorkerOutbox(): WorkerOutbox {
  return {
    welcome: undefined,
    accepted: { handles: [], cachedTokens: [], queuedAhead: [] },
    finishes: [],
    steps: [],
    stepBytes: 0,
    notice: undefined,
    pongs: [],
  };
}
