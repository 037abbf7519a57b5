import { create } from "@bufbuild/protobuf";
import {
  type Cancel,
  CancelMode,
  type Finish,
  FinishReason,
  FinishSchema,
  type Hello,
  type InputPart,
  type LinkRequest,
  type Notice,
  type Step,
  type Submit,
  WelcomeSchema,
} from "#gen/stator/worker/v1/link_pb";
import { readU32 } from "#lib/base/bytes";
import { assert, StatorError } from "#lib/base/errors";
import { errorDetail } from "#lib/rpc/error-detail";
import { addPart, beginGathering, type Gathered, joinParts } from "./gather.ts";
import { LINK_REVISIONS } from "./limits.ts";
import { stepBytes } from "./step.ts";
import {
  WORKER_HANDLE,
  WORKER_LINK,
  type WorkerHandleState,
  type WorkerLinkAction,
  type WorkerLinkState,
} from "./tables.ts";
import { violation } from "./violation.ts";
import { isEmpty, takeWorkerOutbox } from "./worker-outbox.ts";
import type { Introduction, WorkerEffect, WorkerEvent, WorkerRequest, WorkerState } from "./worker-state.ts";

/** What surrounds one event: the moment, the worker's introduction, and the effects so far. */
interface Turn {
  readonly state: WorkerState;
  readonly nowMs: number;
  readonly introduce: () => Introduction;
  readonly effects: WorkerEffect[];
}

/** The worker's side of a link: what an event makes of the state, and what is to be done. Changes the state in place. */
export function stepWorker(
  state: WorkerState,
  event: WorkerEvent,
  about: { readonly nowMs: number; readonly introduce: () => Introduction },
): WorkerEffect[] {
  const turn: Turn = { state, ...about, effects: [] };
  run(turn, event);
  return turn.effects;
}

/** A message as events, in the order of its parts; one longer than the limit is nothing but that. */
export function requestEvents(message: LinkRequest, maxBytes: number): WorkerEvent[] {
  if (messageBytes(message) > maxBytes) return [{ kind: "oversized" }];
  const events: WorkerEvent[] = [];
  if (message.hello) events.push({ kind: "hello", hello: message.hello });
  for (const submit of message.submits) events.push({ kind: "submit", submit });
  for (const part of message.parts) events.push({ kind: "part", part });
  for (const cancel of message.cancels) events.push({ kind: "cancel", cancel });
  if (message.ping) events.push({ kind: "ping", ping: message.ping });
  if (message.goodbye) events.push({ kind: "goodbye" });
  return events;
}

/** What the message takes without tags and numbers: more than the limit here is more than the limit on any wire. */
function messageBytes(message: LinkRequest): number {
  let bytes = 0;
  for (const submit of message.submits) {
    bytes += submit.promptTokenIds.length + submit.promptText.length + submit.generatedTokenIds.length;
    bytes += submit.engineExtras.length;
    if (submit.guidance) bytes += submit.guidance.grammar.length + submit.guidance.text.length;
  }
  for (const part of message.parts) {
    bytes += part.promptTokenIds.length + part.promptText.length;
    bytes += part.generatedTokenIds.length + part.guidanceText.length;
  }
  for (const cancel of message.cancels) bytes += cancel.handles.length;
  return bytes;
}

function run(turn: Turn, part: WorkerEvent): void {
  const { state } = turn;
  const before = state.link;
  const row = WORKER_LINK[before][part.kind];
  ACTIONS[row.action](turn, part);
  const allowed: readonly WorkerLinkState[] = row.next;
  assert(
    state.link === before || allowed.includes(state.link),
    `a link that is ${before} does not become ${state.link} by ${part.kind}`,
  );
}

const ACTIONS: Readonly<Record<WorkerLinkAction, (turn: Turn, part: WorkerEvent) => void>> = {
  ignore: () => {},
  violation: (turn, part) =>
    violate(turn, part.kind === "oversized" ? tooLong(turn) : `${part.kind} while ${turn.state.link}`),
  greet: (turn, part) => {
    assert(part.kind === "hello", "only Hello is greeted");
    greet(turn, part.hello);
  },
  take: (turn, part) => {
    assert(part.kind === "submit", "only a submit is taken");
    take(turn, part.submit);
  },
  "turn away": (turn, part) => {
    assert(part.kind === "submit", "only a submit is turned away");
    if (!checkNew(turn, part.submit.handle)) return;
    finishHere(turn, part.submit.handle, new StatorError("DRAINING", { what: "The worker" }));
  },
  gather: (turn, part) => {
    assert(part.kind === "part", "only a part is gathered");
    gather(turn, part.part);
  },
  "end requests": (turn, part) => {
    assert(part.kind === "cancel", "only a cancel ends requests");
    cancel(turn, part.cancel);
  },
  answer: (turn, part) => {
    assert(part.kind === "ping", "only a ping is answered");
    const { pongs } = turn.state.outbox;
    if (pongs.length >= turn.state.limits.maxUnansweredPings) return violate(turn, "too many pings at a time");
    pongs.push(part.ping.nonce);
    callTurn(turn);
  },
  "let go": (turn) => {
    turn.state.link = "leaving";
  },
  lose: (turn, part) => {
    assert(part.kind === "ended", "only the end loses");
    close(turn, undefined, part.error);
  },
  accept: (turn, part) => {
    assert(part.kind === "took", "only an answer of the engine accepts");
    const request = turn.state.requests.get(part.handle);
    if (!request || WORKER_HANDLE[request.phase].took.action !== "accept") return;
    request.phase = "running";
    const { accepted } = turn.state.outbox;
    accepted.handles.push(part.handle);
    accepted.cachedTokens.push(part.cachedTokens);
    accepted.queuedAhead.push(part.queuedAhead);
    callTurn(turn);
  },
  "finish refused": (turn, part) => {
    assert(part.kind === "refused", "only an answer of the engine refuses");
    if (WORKER_HANDLE[phaseOf(turn, part.handle)].refused.action === "finish refused") {
      finishHere(turn, part.handle, part.error);
    }
  },
  "queue step": (turn, part) => {
    assert(part.kind === "step", "only a step is queued");
    queueStep(turn, part.step);
  },
  announce: (turn, part) => {
    assert(part.kind === "notice", "only a notice is announced");
    turn.state.link = part.notice.draining ? "draining" : "open";
    turn.state.outbox.notice = joinNotices(turn.state.outbox.notice, part.notice);
    callTurn(turn);
  },
  end: (turn, part) => {
    assert(part.kind === "close", "only a close ends");
    // In order: what was said so far still leaves, whatever the send buffer holds.
    if (!part.error && turn.state.link !== "waiting") sendAll(turn);
    close(turn, part.error, part.error);
  },
  send: (turn, part) => {
    assert(part.kind === "turn", "only a turn sends");
    send(turn, part.bufferedBytes);
  },
  "await hello": (turn) => {
    if (turn.nowMs - turn.state.openedMs < turn.state.limits.helloTimeoutMs) return;
    violate(turn, "no Hello came");
  },
};

/** One Notice leaves in a turn: what an earlier one said of the models is still true where the later one is silent. */
function joinNotices(before: Notice | undefined, notice: Notice): Notice {
  if (!before?.modelsChanged || notice.modelsChanged) return notice;
  return { ...notice, modelsChanged: true, models: before.models };
}

function greet(turn: Turn, hello: Hello): void {
  const { state } = turn;
  const revision = Math.min(hello.maximumRevision, LINK_REVISIONS.maximum);
  if (revision < hello.minimumRevision || revision < LINK_REVISIONS.minimum) {
    const detail = `revisions ${hello.minimumRevision} to ${hello.maximumRevision} were offered, ${LINK_REVISIONS.minimum} to ${LINK_REVISIONS.maximum} are spoken`;
    const error = new StatorError("CONTRACT_MISMATCH", { what: "The caller", detail });
    close(turn, error, error);
    return;
  }
  const about = turn.introduce();
  state.caller = hello.caller;
  state.outbox.welcome = create(WelcomeSchema, {
    ...about,
    revision,
    maxMessageBytes: state.limits.maxMessageBytes,
    features: about.features.filter((feature) => hello.features.includes(feature)),
  });
  state.link = about.draining ? "draining" : "open";
  callTurn(turn);
}

/** False, and the link ended, when the handle may not be used. */
function checkNew(turn: Turn, handle: number): boolean {
  if (handle === 0) violate(turn, "handle 0 is never used");
  else if (WORKER_HANDLE[phaseOf(turn, handle)].submit.action === "violation") {
    violate(turn, `handle ${handle} is open already`);
  } else return true;
  return false;
}

function take(turn: Turn, submit: Submit): void {
  const { state } = turn;
  const { handle } = submit;
  if (!checkNew(turn, handle)) return;
  if (state.requests.size >= state.limits.maxOpenHandles) {
    finishHere(turn, handle, new StatorError("OVERLOADED", { what: "requests of one caller" }));
    return;
  }
  const request: WorkerRequest = { phase: "gathering", gathered: undefined };
  state.requests.set(handle, request);
  if (!submit.moreInput) {
    offer(turn, request, submit);
    return;
  }
  request.gathered = beginGathering(submit);
  state.gatheredBytes += request.gathered.weightBytes;
  checkGathered(turn, handle, request.gathered);
}

function gather(turn: Turn, part: InputPart): void {
  const { state } = turn;
  const request = state.requests.get(part.handle);
  const { action } = WORKER_HANDLE[request?.phase ?? "unknown"][part.last ? "last part" : "part"];
  if (action === "violation") {
    violate(turn, `handle ${part.handle} is complete already`);
    return;
  }
  const gathered = request?.gathered;
  if (action === "ignore" || !gathered) return void state.counters.ignored++;
  const before = gathered.weightBytes;
  addPart(gathered, part);
  state.gatheredBytes += gathered.weightBytes - before;
  if (!checkGathered(turn, part.handle, gathered) || action !== "offer") return;
  letGo(turn, request);
  offer(turn, request, joinParts(gathered));
}

/** False, and the request refused, when it is longer than one may be, or all that are gathered are. */
function checkGathered(turn: Turn, handle: number, { inputBytes }: Gathered): boolean {
  const { maxInputBytes, maxGatheredBytes } = turn.state.limits;
  if (inputBytes > maxInputBytes) {
    const detail = `The parts of a request are longer than ${maxInputBytes} bytes`;
    finishHere(turn, handle, new StatorError("INVALID_ARGUMENT", { detail }));
  } else if (turn.state.gatheredBytes > maxGatheredBytes) {
    finishHere(turn, handle, new StatorError("OVERLOADED", { what: "long requests of one caller" }));
  } else return true;
  return false;
}

/** Nothing is gathered of it any more. */
function letGo({ state }: Turn, request: WorkerRequest | undefined): void {
  if (!request?.gathered) return;
  state.gatheredBytes -= request.gathered.weightBytes;
  request.gathered = undefined;
}

function offer(turn: Turn, request: WorkerRequest, submit: Submit): void {
  request.phase = "offered";
  turn.effects.push({ kind: "offer", handle: submit.handle, submit });
}

function cancel(turn: Turn, { handles, mode }: Cancel): void {
  const { state } = turn;
  let asked: Uint32Array;
  try {
    asked = readU32(handles);
  } catch {
    violate(turn, "Cancel has a torn array");
    return;
  }
  const running: number[] = [];
  for (const handle of asked) {
    const { action } = WORKER_HANDLE[phaseOf(turn, handle)].cancel;
    if (action === "pass on") running.push(handle);
    else if (action === "finish cancelled") finishHere(turn, handle, undefined);
    else state.counters.ignored++;
  }
  if (running.length === 0) return;
  const known = mode === CancelMode.KILL ? CancelMode.KILL : CancelMode.STOP;
  turn.effects.push({ kind: "cancel", handles: Uint32Array.from(running), mode: known });
}

/** The terminal frame of a request that the engine never had; without an error it was cancelled. */
function finishHere(turn: Turn, handle: number, error: StatorError | undefined): void {
  const { state } = turn;
  letGo(turn, state.requests.get(handle));
  state.requests.delete(handle);
  state.counters.refused++;
  const ended: Finish = error
    ? create(FinishSchema, { handle, error: errorDetail(error) })
    : create(FinishSchema, { handle, reason: FinishReason.CANCELLED });
  state.outbox.finishes.push(ended);
  callTurn(turn);
}

function queueStep(turn: Turn, step: Step): void {
  const { state } = turn;
  state.counters.steps++;
  if (step.finishes.some((finish) => phaseOf(turn, finish.handle) !== "running")) {
    const known = step.finishes.filter((finish) => phaseOf(turn, finish.handle) === "running");
    state.counters.ignored += step.finishes.length - known.length;
    step.finishes = known;
  }
  for (const finish of step.finishes) state.requests.delete(finish.handle);
  state.outbox.steps.push(step);
  state.outbox.stepBytes += stepBytes(step);
  if (state.outbox.stepBytes > state.limits.maxPendingBytes) {
    const error = new StatorError("LIMIT", { what: "What a caller left unread", limit: state.limits.maxPendingBytes });
    close(turn, error, error);
    return;
  }
  callTurn(turn);
}

function send(turn: Turn, bufferedBytes: number): void {
  const { state } = turn;
  state.turnComing = false;
  if (isEmpty(state.outbox)) return;
  if (bufferedBytes > state.limits.mergeAboveBytes) {
    state.congested = true;
    state.turnComing = true;
    turn.effects.push({ kind: "turn on room" });
    return;
  }
  sendAll(turn);
}

function sendAll(turn: Turn): void {
  if (isEmpty(turn.state.outbox)) return;
  for (const message of takeWorkerOutbox(turn.state)) turn.effects.push({ kind: "send", message });
  turn.state.congested = false;
}

function phaseOf(turn: Turn, handle: number): WorkerHandleState {
  return turn.state.requests.get(handle)?.phase ?? "unknown";
}

function tooLong({ state }: Turn): string {
  return `a message is longer than ${state.limits.maxMessageBytes} bytes`;
}

function violate(turn: Turn, detail: string): void {
  if (turn.state.link === "closed") return;
  const error = violation(detail);
  close(turn, error, error);
}

/** `wire` goes to the caller, `reason` to the worker. */
function close(turn: Turn, wire: StatorError | undefined, reason: StatorError | undefined): void {
  turn.state.link = "closed";
  turn.state.requests.clear();
  turn.state.gatheredBytes = 0;
  turn.effects.push({ kind: "end", error: wire }, { kind: "gone", error: reason });
}

function callTurn({ state, effects }: Turn): void {
  if (state.turnComing) return;
  state.turnComing = true;
  effects.push({ kind: "turn later" });
}
