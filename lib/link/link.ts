import type {
  Accepted,
  CancelMode,
  LinkRequest,
  LinkResponse,
  Notice,
  Step,
  Submit,
  Welcome,
} from "#gen/stator/worker/v1/link_pb";
import type { StatorError } from "#lib/base/errors";

/** One direction pair of messages between caller and worker, whatever carries it: grpc-js, Connect or a direct call. */
export interface LinkChannel<Out, In> {
  /** False when the send buffer is above its limit; the message is taken all the same. */
  send(message: Out): boolean;
  /** Bytes that wait to be written. */
  readonly bufferedBytes: number;
  /** Sets who receives; once. `onEnd` comes exactly once, with an error unless the peer ended in order. */
  receive(handlers: {
    onMessage(message: In): void;
    onEnd(error: StatorError | undefined): void;
    onDrain?(): void;
  }): void;
  /** Ends in order after what was sent; with an error it ends at once. */
  end(error?: StatorError): void;
}

/** The channel as the caller holds it. */
export type CallerChannel = LinkChannel<LinkRequest, LinkResponse>;
/** The channel as the worker holds it. */
export type WorkerChannel = LinkChannel<LinkResponse, LinkRequest>;

/** Where a link is in its life, as the caller sees it. The table is in docs/link.md. */
export type LinkState = "connecting" | "ready" | "suspect" | "draining" | "closed";

/** What happens to one request on a link. Exactly one `onFinish` or `onLost` ends it. */
export interface RequestListener {
  onAccepted(cachedTokens: number, queuedAhead: number): void;
  /** Tokens in order; the array is borrowed from the message of the step: copy what outlives the call. */
  onTokens(tokens: Uint32Array, logprobs: StepLogprobs | undefined): void;
  onText(text: string): void;
  onEmbedding(values: Float32Array): void;
  onFinish(finish: LinkFinish): void;
  /** The link ended before the terminal frame. `accepted` false = certainly not executed. */
  onLost(error: StatorError, accepted: boolean): void;
}

/** Log-probabilities for the tokens of one delivery; borrowed as the tokens are. */
export interface StepLogprobs {
  readonly chosen: Float32Array;
  readonly topTokens: Uint32Array;
  readonly topValues: Float32Array;
}

/** The terminal frame of a request. */
export interface LinkFinish {
  readonly reason: "end" | "stop_token" | "length" | "cancelled" | "done" | "failed";
  readonly stopToken: number | undefined;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly error: StatorError | undefined;
}

/** What a caller watches of a whole link. */
export interface LinkListener {
  onState(state: LinkState, reason: StatorError | undefined): void;
  onWelcome(welcome: Welcome): void;
  onStep(step: Step): void;
  onNotice(notice: Notice): void;
}

/** A caller's link to one worker. */
export interface CallerLink {
  readonly state: LinkState;
  readonly welcome: Welcome | undefined;
  readonly openRequests: number;
  /** Opens a request; the handle is filled in by the link. Throws STREAM_LOST when closed, DRAINING when draining. Returns the handle. */
  submit(submit: Omit<Submit, "$typeName" | "$unknown" | "handle" | "moreInput">, listener: RequestListener): number;
  /** Asks for the end of requests; each still finishes. Joined with others of the same turn of the event loop. */
  cancel(handle: number, mode: CancelMode): void;
  /** Forgets a request at once: its listener hears nothing more, later frames are dropped and counted, and the worker is told to kill it. */
  abandon(handle: number): void;
  /** Milliseconds from Ping to Pong. */
  ping(): Promise<number>;
  /** Sends Goodbye and ends; open requests are lost. */
  close(): Promise<void>;
}

/** What the worker's side of a link is joined to. */
export interface WorkerSink {
  /** A complete request. Throw a StatorError to refuse: it ends with a terminal frame and was not accepted. */
  onSubmit(request: Submit): { cachedTokens: number; queuedAhead: number };
  onCancel(handles: Uint32Array, mode: CancelMode): void;
  /** The link ended; what it opened is to be killed. */
  onEnd(error: StatorError | undefined): void;
}

/** A worker's side of one link. */
export interface WorkerLink {
  readonly caller: string;
  /** Sends a step; merged with later ones while the send buffer is above its limit. Takes the message. */
  step(step: Step): void;
  notice(notice: Omit<Notice, "$typeName" | "$unknown">): void;
  accepted(accepted: Omit<Accepted, "$typeName" | "$unknown">): void;
  close(error?: StatorError): void;
}
