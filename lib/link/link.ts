import type {
  CancelMode,
  KvSession,
  LinkRequest,
  LinkResponse,
  Notice,
  Step,
  Submit,
  TransferReport,
  Welcome,
} from "#gen/stator/worker/v1/link_pb";
import type { StatorError } from "#lib/base/errors";

/** One direction pair of messages between caller and worker, whatever carries it: grpc-js, Connect or a direct call. */
export interface LinkChannel<Out, In> {
  /** False when the send buffer is above its limit; the message is taken all the same and must not change afterwards. */
  send(message: Out): boolean;
  /** Bytes that wait to be written. */
  readonly bufferedBytes: number;
  /** Sets who receives; once. No call comes from inside `receive` or `send`. `onEnd` comes exactly once, with an error unless the peer ended in order. */
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

/** What happens to one request on a link. Exactly one `onFinish` or `onLost` ends it, unless it was abandoned. */
export interface RequestListener {
  /**
   * The worker took it: it may have run from now on. `cachedTokens` of its prompt were found, `queuedAhead` requests
   * wait before it.
   */
  onAccepted(cachedTokens: number, queuedAhead: number): void;
  /** `tokens[start]` to `tokens[end - 1]`, in order. The array belongs to the message of the step: copy what outlives the call. */
  onTokens(tokens: Uint32Array, start: number, end: number, logprobs: StepLogprobs | undefined): void;
  /** Log-probabilities of consecutive tokens of the prompt from `position` on, before any token; for those who ask for them. */
  onPromptLogprobs?(position: number, logprobs: StepLogprobs): void;
  /** The next piece of the answer, from a worker that gives text in place of tokens. */
  onText(text: string): void;
  /** Borrowed from the message. */
  onEmbedding(values: Float32Array): void;
  /** The terminal frame: nothing of this request follows. */
  onFinish(finish: LinkFinish): void;
  /** The link ended before the terminal frame. `accepted` false = certainly not executed. */
  onLost(error: StatorError, accepted: boolean): void;
}

/** Log-probabilities for the tokens of one delivery or of a part of a prompt; borrowed as the tokens are. `chosen` has one per token, `top*` the same number for each token. */
export interface StepLogprobs {
  /** Natural logarithm of the probability of each token. */
  readonly chosen: Float32Array;
  /** Ids of the most likely tokens, most likely first: [tokens, n], n the same for all and maybe 0. */
  readonly topTokens: Uint32Array;
  /** Their log-probabilities, in the same order. */
  readonly topValues: Float32Array;
}

/** The terminal frame of a request. */
export interface LinkFinish {
  /** Why it ended. `done`: an embedding is complete; `failed`: `error` says why. */
  readonly reason: "end" | "stop_token" | "length" | "cancelled" | "done" | "failed";
  /** The token that ended the answer, when one did; it was not delivered. */
  readonly stopToken: number | undefined;
  /** Of the whole prompt, in tokens. */
  readonly promptTokens: number;
  /** Of these, found in the worker's prefix cache. */
  readonly cachedTokens: number;
  /** Of the answer, over this attempt and those before. */
  readonly completionTokens: number;
  /** Set exactly when the reason is failed. */
  readonly error: StatorError | undefined;
  /** Where the blocks of a prompt are kept, of a prefill that an answer can go on from. */
  readonly session?: KvSession | undefined;
  /** How blocks came from elsewhere, of a request that had a session or a room. */
  readonly transfer?: TransferReport | undefined;
}

/** What a caller watches of a whole link. */
export interface LinkListener {
  /** After each change. Open requests hear `onLost` right after "closed" was told. */
  onState(state: LinkState, reason: StatorError | undefined): void;
  /** The worker said who it is; comes before "ready" or "draining". Borrowed. */
  onWelcome(welcome: Welcome): void;
  /** For each message that reports a forward pass, after its tokens were delivered, and for each that reports the load alone. */
  onStep(step: Step): void;
  /** Something about the worker changed. Borrowed. */
  onNotice(notice: Notice): void;
}

/** What a caller's link counted since it was opened. */
export interface CallerCounters {
  /** Step messages that came. */
  readonly steps: number;
  /** Tokens that came, those of dropped frames among them. */
  readonly tokens: number;
  /** Steps that the worker merged into later ones because this caller was slow to read. */
  readonly mergedSteps: number;
  /** Frames for handles that were abandoned, had ended, or were never opened. */
  readonly droppedFrames: number;
}

/** A new request as its caller states it; the link fills in the handle and splits what is too long. */
export type SubmitInit = Omit<Submit, "$typeName" | "$unknown" | "handle" | "moreInput">;

/** A caller's link to one worker. */
export interface CallerLink {
  /** Where the link is now. */
  readonly state: LinkState;
  /** What the worker said of itself; undefined before it answered Hello. */
  readonly welcome: Welcome | undefined;
  /** Requests that were neither ended nor abandoned. */
  readonly openRequests: number;
  /** A live view: it goes on counting. */
  readonly counters: CallerCounters;
  /** Opens a request and returns its handle. Throws, certainly not executed: STREAM_LOST while connecting or closed, DRAINING, OVERLOADED at the limit of handles, WORKER_OUTDATED and INVALID_ARGUMENT as `splitSubmit` does. */
  submit(submit: SubmitInit, listener: RequestListener): number;
  /**
   * Asks for the end of a request; it still finishes. The first of a turn of the event loop leaves at once, further ones
   * at the turn's end; unknown handles are ignored.
   */
  cancel(handle: number, mode: CancelMode): void;
  /** Forgets a request at once: its listener hears nothing more, later frames are dropped and counted, and the worker is told to kill it. */
  abandon(handle: number): void;
  /** Milliseconds from Ping to Pong. Rejects with STREAM_LOST when the link ends first. */
  ping(): Promise<number>;
  /** Sends Goodbye and ends; open requests are lost. */
  close(): void;
}

/** What the worker's side of a link is joined to. */
export interface WorkerSink {
  /** A complete request. Throw a StatorError to refuse: it ends with a terminal frame and was not accepted. Sinks must not call the link from inside. */
  onSubmit(request: Submit): { cachedTokens: number; queuedAhead: number };
  /** Open handles that are to end, each with a Finish in a later step. */
  onCancel(handles: Uint32Array, mode: CancelMode): void;
  /** The link ended, for whatever reason; once. What it opened is to be killed, and no Finish is awaited. */
  onEnd(error: StatorError | undefined): void;
}

/** What a worker's link counted since it was opened. */
export interface WorkerCounters {
  /** Steps given to the link. */
  readonly steps: number;
  /** Steps that left inside another one's message. */
  readonly mergedSteps: number;
  /** Requests that ended without having been accepted. */
  readonly refused: number;
  /** Cancels of unknown handles, parts of unknown handles, second terminal frames. */
  readonly ignored: number;
}

/** A worker's side of one link. */
export interface WorkerLink {
  /** Who called, from Hello; empty before it came. */
  readonly caller: string;
  /** Requests that have no terminal frame yet. */
  readonly openRequests: number;
  /** A live view: it goes on counting. */
  readonly counters: WorkerCounters;
  /** Sends a step; merged with later ones while the send buffer is above its limit. Takes the message. Its finishes end their handles. */
  step(step: Step): void;
  /** Tells the caller; `draining` also refuses new requests from now on. */
  notice(notice: Omit<Notice, "$typeName" | "$unknown">): void;
  /** Ends the link after what was said; with an error at once. */
  close(error?: StatorError): void;
}
