/** One cell: what is done and where it may lead. The machines look their work up here and assert the successor. */
export interface Row<State extends string, Action extends string> {
  /** What the machine does for it. */
  readonly action: Action;
  /** States that it may lead to, beside staying. */
  readonly next: readonly State[];
}

type Table<State extends string, Event extends string, Action extends string> = Readonly<
  Record<State, Readonly<Record<Event, Row<State, Action>>>>
>;

function row<const Action extends string, const State extends string = never>(
  action: Action,
  ...next: State[]
): Row<State, Action> {
  return { action, next };
}

/** States of a link as the caller sees it. */
export type CallerLinkState = "connecting" | "ready" | "suspect" | "draining" | "closed";
/** What can happen to a caller's link: its owner's wishes, the two ticks of its shell, the parts of a message, the end. */
export type CallerLinkEvent =
  | "submit"
  | "cancel"
  | "abandon"
  | "ping"
  | "close"
  | "turn"
  | "tick"
  | "welcome"
  | "accepted"
  | "step"
  | "notice"
  | "pong"
  | "oversized"
  | "ended";
/** What a caller's link does. */
export type CallerLinkAction =
  | "refuse"
  | "ignore"
  | "open"
  | "end request"
  | "forget request"
  | "ask"
  | "leave"
  | "send"
  | "await welcome"
  | "watch"
  | "begin"
  | "note accepted"
  | "deliver"
  | "tell"
  | "note answer"
  | "violation"
  | "lose";

const callerAlive = {
  cancel: row("end request"),
  abandon: row("forget request"),
  ping: row("ask"),
  close: row("leave", "closed"),
  turn: row("send"),
  welcome: row("violation", "closed"),
  accepted: row("note accepted", "closed"),
  step: row("deliver", "closed"),
  pong: row("note answer"),
  oversized: row("violation", "closed"),
  ended: row("lose", "closed"),
} as const;

/** The caller's table. An empty `next` stays; otherwise the state stays or becomes one of those named. */
export const CALLER_LINK: Table<CallerLinkState, CallerLinkEvent, CallerLinkAction> = {
  connecting: {
    submit: row("refuse"),
    cancel: row("ignore"),
    abandon: row("ignore"),
    ping: row("ask"),
    close: row("leave", "closed"),
    turn: row("send"),
    tick: row("await welcome", "closed"),
    welcome: row("begin", "ready", "draining", "closed"),
    accepted: row("violation", "closed"),
    step: row("violation", "closed"),
    notice: row("violation", "closed"),
    pong: row("violation", "closed"),
    oversized: row("violation", "closed"),
    ended: row("lose", "closed"),
  },
  ready: { ...callerAlive, submit: row("open"), tick: row("watch", "suspect"), notice: row("tell", "draining") },
  suspect: { ...callerAlive, submit: row("open"), tick: row("watch", "ready", "draining"), notice: row("tell") },
  draining: { ...callerAlive, submit: row("refuse"), tick: row("watch", "suspect"), notice: row("tell", "ready") },
  closed: {
    submit: row("refuse"),
    cancel: row("ignore"),
    abandon: row("ignore"),
    ping: row("refuse"),
    close: row("ignore"),
    turn: row("ignore"),
    tick: row("ignore"),
    welcome: row("ignore"),
    accepted: row("ignore"),
    step: row("ignore"),
    notice: row("ignore"),
    pong: row("ignore"),
    oversized: row("ignore"),
    ended: row("ignore"),
  },
};

/** Where a handle is, as the caller sees it. `unknown`: never opened, or ended. */
export type CallerHandleState = "unknown" | "sent" | "accepted" | "abandoned";
/** What can happen to a caller's handle. `output` is tokens, log-probabilities of a prompt, text or an embedding. */
export type CallerHandleEvent = "accepted" | "output" | "finish" | "cancel" | "abandon" | "lost";
/** What is done for it. */
export type CallerHandleAction = "tell" | "drop" | "ignore" | "ask" | "forget" | "violation" | "tell not accepted";

/** The caller's table of one handle. `drop` counts the frame. */
export const CALLER_HANDLE: Table<CallerHandleState, CallerHandleEvent, CallerHandleAction> = {
  unknown: {
    accepted: row("drop"),
    output: row("drop"),
    finish: row("drop"),
    cancel: row("ignore"),
    abandon: row("ignore"),
    lost: row("ignore"),
  },
  sent: {
    accepted: row("tell", "accepted"),
    output: row("violation"),
    finish: row("tell", "unknown"),
    cancel: row("ask"),
    abandon: row("forget", "abandoned"),
    lost: row("tell not accepted", "unknown"),
  },
  accepted: {
    accepted: row("violation"),
    output: row("tell"),
    finish: row("tell", "unknown"),
    cancel: row("ask"),
    abandon: row("forget", "abandoned"),
    lost: row("tell", "unknown"),
  },
  abandoned: {
    accepted: row("drop"),
    output: row("drop"),
    finish: row("drop", "unknown"),
    cancel: row("ignore"),
    abandon: row("ignore"),
    lost: row("ignore", "unknown"),
  },
};

/** States of a link as the worker sees it. `leaving`: the caller said Goodbye. */
export type WorkerLinkState = "waiting" | "open" | "draining" | "leaving" | "closed";
/** What can happen to a worker's link: the parts of a message, the end, its owner's wishes, the two ticks of its shell. */
export type WorkerLinkEvent =
  | "hello"
  | "submit"
  | "part"
  | "cancel"
  | "ping"
  | "goodbye"
  | "oversized"
  | "ended"
  | "took"
  | "refused"
  | "step"
  | "notice"
  | "close"
  | "turn"
  | "tick";
/** What a worker's link does. */
export type WorkerLinkAction =
  | "greet"
  | "take"
  | "turn away"
  | "gather"
  | "end requests"
  | "answer"
  | "let go"
  | "lose"
  | "accept"
  | "finish refused"
  | "queue step"
  | "announce"
  | "end"
  | "send"
  | "await hello"
  | "ignore"
  | "violation";

const workerAlive = {
  hello: row("violation", "closed"),
  part: row("gather", "closed"),
  cancel: row("end requests", "closed"),
  ping: row("answer", "closed"),
  goodbye: row("let go", "leaving"),
  oversized: row("violation", "closed"),
  ended: row("lose", "closed"),
  took: row("accept"),
  refused: row("finish refused"),
  step: row("queue step", "closed"),
  notice: row("announce", "draining"),
  close: row("end", "closed"),
  turn: row("send"),
  tick: row("ignore"),
} as const;

/** The worker's table. */
export const WORKER_LINK: Table<WorkerLinkState, WorkerLinkEvent, WorkerLinkAction> = {
  waiting: {
    hello: row("greet", "open", "draining", "closed"),
    submit: row("violation", "closed"),
    part: row("violation", "closed"),
    cancel: row("violation", "closed"),
    ping: row("violation", "closed"),
    goodbye: row("violation", "closed"),
    oversized: row("violation", "closed"),
    ended: row("lose", "closed"),
    took: row("ignore"),
    refused: row("ignore"),
    step: row("ignore"),
    notice: row("ignore"),
    close: row("end", "closed"),
    turn: row("ignore"),
    tick: row("await hello", "closed"),
  },
  open: { ...workerAlive, submit: row("take", "closed") },
  draining: { ...workerAlive, submit: row("turn away", "closed"), notice: row("announce", "open") },
  leaving: {
    ...workerAlive,
    submit: row("violation", "closed"),
    goodbye: row("violation", "closed"),
    notice: row("ignore"),
  },
  closed: {
    hello: row("ignore"),
    submit: row("ignore"),
    part: row("ignore"),
    cancel: row("ignore"),
    ping: row("ignore"),
    goodbye: row("ignore"),
    oversized: row("ignore"),
    ended: row("ignore"),
    took: row("ignore"),
    refused: row("ignore"),
    step: row("ignore"),
    notice: row("ignore"),
    close: row("ignore"),
    turn: row("ignore"),
    tick: row("ignore"),
  },
};

/** Where a handle is, as the worker sees it. `gathering`: parts of its prompt are missing; `offered`: the engine is being asked. */
export type WorkerHandleState = "unknown" | "gathering" | "offered" | "running";
/** What can happen to a worker's handle. */
export type WorkerHandleEvent = "submit" | "part" | "last part" | "cancel" | "took" | "refused" | "finish";
/** What is done for it. */
export type WorkerHandleAction =
  | "offer"
  | "gather"
  | "accept"
  | "finish refused"
  | "finish cancelled"
  | "pass on"
  | "ignore"
  | "violation";

/** The worker's table of one handle. A Submit without more_input is its own last part. */
export const WORKER_HANDLE: Table<WorkerHandleState, WorkerHandleEvent, WorkerHandleAction> = {
  unknown: {
    submit: row("gather", "gathering", "offered"),
    part: row("ignore"),
    "last part": row("ignore"),
    cancel: row("ignore"),
    took: row("ignore"),
    refused: row("ignore"),
    finish: row("ignore"),
  },
  gathering: {
    submit: row("violation"),
    part: row("gather", "unknown"),
    "last part": row("offer", "offered"),
    cancel: row("finish cancelled", "unknown"),
    took: row("ignore"),
    refused: row("finish refused", "unknown"),
    finish: row("ignore"),
  },
  offered: {
    submit: row("violation"),
    part: row("violation"),
    "last part": row("violation"),
    cancel: row("ignore"),
    took: row("accept", "running"),
    refused: row("finish refused", "unknown"),
    finish: row("ignore"),
  },
  running: {
    submit: row("violation"),
    part: row("violation"),
    "last part": row("violation"),
    cancel: row("pass on"),
    took: row("ignore"),
    refused: row("ignore"),
    finish: row("pass on", "unknown"),
  },
};
