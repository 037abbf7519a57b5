import { type Accepted, CancelMode, type LinkResponse, type Step, type Welcome } from "#gen/stator/worker/v1/link_pb";
import { readU32 } from "#lib/base/bytes";
import { assert, StatorError } from "#lib/base/errors";
import { deliver } from "./caller-deliver.ts";
import { takeOutbox } from "./caller-outbox.ts";
import type { CallerEffect, CallerEvent, CallerState } from "./caller-state.ts";
import { forgiveOwnPause, suspicion } from "./caller-watch.ts";
import { LINK_REVISIONS } from "./limits.ts";
import { splitSubmit } from "./split.ts";
import { stepBytes } from "./step.ts";
import { CALLER_HANDLE, CALLER_LINK, type CallerLinkAction, type CallerLinkState } from "./tables.ts";
import { violation } from "./violation.ts";

type Act = (state: CallerState, part: CallerEvent, nowMs: number, effects: CallerEffect[]) => void;

/** The caller's side of a link: what an event makes of the state, and what is to be done. Changes the state in place. */
export function stepCaller(state: CallerState, event: CallerEvent, nowMs: number): CallerEffect[] {
  const effects: CallerEffect[] = [];
  const row = CALLER_LINK[state.link][event.kind];
  const before = state.link;
  const allowed: readonly CallerLinkState[] = row.next;
  ACTIONS[row.action](state, event, nowMs, effects);
  assert(
    state.link === before || allowed.includes(state.link),
    `a link that is ${before} does not become ${state.link} by ${event.kind}`,
  );
  return effects;
}

/** A message as events, in the order of its parts; one longer than the limit is nothing but that. */
export function responseEvents(message: LinkResponse, maxBytes: number): CallerEvent[] {
  if (messageBytes(message) > maxBytes) return [{ kind: "oversized" }];
  const events: CallerEvent[] = [];
  if (message.welcome) events.push({ kind: "welcome", welcome: message.welcome });
  if (message.accepted) events.push({ kind: "accepted", accepted: message.accepted });
  if (message.step) events.push({ kind: "step", step: message.step });
  if (message.notice) events.push({ kind: "notice", notice: message.notice });
  if (message.pong) events.push({ kind: "pong", pong: message.pong });
  return events;
}

/** What the message takes without tags and numbers: more than the limit here is more than the limit on any wire. */
function messageBytes(message: LinkResponse): number {
  const { accepted, step } = message;
  const acceptedBytes = accepted
    ? accepted.handles.length + accepted.cachedTokens.length + accepted.queuedAhead.length
    : 0;
  return (
    acceptedBytes + (step ? step.handles.length + step.tokens.length + (isPlain(step) ? 0 : stepBytes(step) / 2) : 0)
  );
}

function isPlain(step: Step): boolean {
  return step.logprobs.length + step.promptLogprobs.length + step.texts.length + step.embeddings.length === 0;
}

const ACTIONS: Readonly<Record<CallerLinkAction, Act>> = {
  ignore: () => {},
  refuse: (state, _part, _nowMs, effects) => {
    effects.push({ kind: "refuse", error: refusal(state) });
  },
  open: (state, part, nowMs, effects) => {
    assert(part.kind === "submit", "only a submit opens");
    open(state, part, nowMs, effects);
  },
  "end request": (state, part, _nowMs, effects) => {
    assert(part.kind === "cancel", "only a cancel ends");
    const request = state.requests.get(part.handle);
    if (CALLER_HANDLE[request?.phase ?? "unknown"].cancel.action !== "ask") return;
    (part.mode === CancelMode.KILL ? state.outbox.kill : state.outbox.stop).push(part.handle);
    callTurn(state, effects);
  },
  "forget request": (state, part, _nowMs, effects) => {
    assert(part.kind === "abandon", "only an abandon forgets");
    const request = state.requests.get(part.handle);
    if (!request || CALLER_HANDLE[request.phase].abandon.action !== "forget") return;
    request.phase = "abandoned";
    state.openRequests--;
    state.outbox.kill.push(part.handle);
    callTurn(state, effects);
  },
  ask: (state, _part, nowMs, effects) => ask(state, nowMs, effects),
  leave: (state, _part, _nowMs, effects) => {
    state.outbox.goodbye = true;
    for (const message of takeOutbox(state)) effects.push({ kind: "send", message });
    close(state, { wire: undefined, reason: undefined, detail: "it was closed here" }, effects);
  },
  send: (state, _part, _nowMs, effects) => {
    state.turnComing = false;
    for (const message of takeOutbox(state)) effects.push({ kind: "send", message });
  },
  "await welcome": (state, _part, nowMs, effects) => {
    state.tickMs = nowMs;
    if (nowMs - state.openedMs < state.limits.helloTimeoutMs) return;
    const reason = new StatorError("WORKER_STALLED", { stalledMs: Math.round(nowMs - state.openedMs) });
    close(state, { wire: reason, reason, detail: "it did not answer Hello" }, effects);
  },
  watch: (state, _part, nowMs, effects) => watch(state, nowMs, effects),
  begin: (state, part, nowMs, effects) => {
    assert(part.kind === "welcome", "only a welcome begins");
    begin(state, part.welcome, nowMs, effects);
  },
  "note accepted": (state, part, nowMs, effects) => {
    assert(part.kind === "accepted", "only Accepted is noted");
    noteAccepted(state, part.accepted, nowMs, effects);
  },
  deliver: (state, part, nowMs, effects) => {
    assert(part.kind === "step", "only a step delivers");
    const broken = deliver(state, part.step, nowMs, effects);
    if (broken !== undefined) violate(state, broken, effects);
  },
  tell: (state, part, _nowMs, effects) => {
    assert(part.kind === "notice", "only a notice is told");
    state.draining = part.notice.draining;
    effects.push({ kind: "notice", notice: part.notice });
    if (state.link !== "suspect") become(state, state.draining ? "draining" : "ready", undefined, effects);
  },
  "note answer": (state, part, nowMs, effects) => {
    assert(part.kind === "pong", "only a pong answers");
    const { nonce } = part.pong;
    const at = state.unanswered.findIndex((ping) => ping.nonce === nonce);
    if (at < 0) return;
    const [ping] = state.unanswered.splice(at, 1);
    effects.push({ kind: "pong", nonce, roundTripMs: Math.max(0, nowMs - (ping?.sentMs ?? nowMs)) });
  },
  lose: (state, part, _nowMs, effects) => {
    assert(part.kind === "ended", "only the end loses");
    close(
      state,
      { wire: undefined, reason: part.error, detail: part.error?.reason ?? "the worker ended it", ended: true },
      effects,
    );
  },
  violation: (state, part, _nowMs, effects) => {
    const tooLong = `a message is longer than ${state.limits.maxMessageBytes} bytes`;
    violate(state, part.kind === "oversized" ? tooLong : `${part.kind} while ${state.link}`, effects);
  },
};

function refusal(state: CallerState): StatorError {
  if (state.link === "draining" || state.draining) return new StatorError("DRAINING", { what: "The worker" });
  return new StatorError("STREAM_LOST", { detail: `the link is ${state.link}` });
}

function open(
  state: CallerState,
  part: Extract<CallerEvent, { kind: "submit" }>,
  nowMs: number,
  effects: CallerEffect[],
): void {
  if (state.draining) return void effects.push({ kind: "refuse", error: refusal(state) });
  if (state.requests.size >= state.limits.maxOpenHandles) {
    return void effects.push({ kind: "refuse", error: new StatorError("OVERLOADED", { what: "one worker" }) });
  }
  const handle = nextHandle(state);
  try {
    const peer = { maxBytes: state.maxMessageBytes, features: state.welcome?.features ?? [] };
    const { first, parts } = splitSubmit(part.submit, handle, peer);
    state.outbox.submits.push(first);
    if (parts.length > 0) state.outbox.parts.push(...parts);
  } catch (error) {
    if (!(error instanceof StatorError)) throw error;
    return void effects.push({ kind: "refuse", error });
  }
  part.request.handle = handle;
  part.request.phase = "sent";
  part.request.progressMs = nowMs;
  state.requests.set(handle, part.request);
  state.openRequests++;
  callTurn(state, effects);
}

/** The next number that no request of this link has; 0 is never one. */
function nextHandle(state: CallerState): number {
  for (;;) {
    const handle = state.nextHandle;
    state.nextHandle = handle === 0xffff_ffff ? 1 : handle + 1;
    if (!state.requests.has(handle)) return handle;
  }
}

function ask(state: CallerState, nowMs: number, effects: CallerEffect[]): void {
  const nonce = state.nextNonce++;
  state.unanswered.push({ nonce, sentMs: nowMs });
  state.outbox.pings.push(nonce);
  effects.push({ kind: "pinged", nonce });
  callTurn(state, effects);
}

function watch(state: CallerState, nowMs: number, effects: CallerEffect[]): void {
  forgiveOwnPause(state, nowMs);
  const found = suspicion(state, nowMs);
  if (found && state.link !== "suspect") {
    const reason = new StatorError("WORKER_STALLED", { stalledMs: Math.round(found.stalledMs), why: found.why });
    become(state, "suspect", reason, effects);
  } else if (!found && state.link === "suspect") {
    become(state, state.draining ? "draining" : "ready", undefined, effects);
  }
  // Not beyond what the worker takes at a time; when it wakes it answers these, and that is enough.
  if (state.unanswered.length < state.limits.maxUnansweredPings / 2) ask(state, nowMs, effects);
}

function begin(state: CallerState, welcome: Welcome, nowMs: number, effects: CallerEffect[]): void {
  const misfit = misfitOf(state, welcome);
  if (misfit !== undefined) {
    const reason = new StatorError("CONTRACT_MISMATCH", { what: "The worker", detail: misfit });
    close(state, { wire: reason, reason, detail: misfit }, effects);
    return;
  }
  state.welcome = welcome;
  state.draining = welcome.draining;
  if (welcome.maxMessageBytes > 0) state.maxMessageBytes = Math.min(state.maxMessageBytes, welcome.maxMessageBytes);
  state.tickMs = nowMs;
  state.workedMs = nowMs;
  effects.push({ kind: "welcome", welcome });
  become(state, welcome.draining ? "draining" : "ready", undefined, effects);
}

function misfitOf(state: CallerState, welcome: Welcome): string | undefined {
  const { revision, instanceId, incarnation } = welcome;
  if (revision < LINK_REVISIONS.minimum || revision > LINK_REVISIONS.maximum) {
    return `it speaks revision ${revision}, not ${LINK_REVISIONS.minimum} to ${LINK_REVISIONS.maximum}`;
  }
  const { expect } = state;
  if (expect.instanceId !== undefined && expect.instanceId !== instanceId) {
    return `instance ${instanceId} answered in place of ${expect.instanceId}`;
  }
  if (expect.incarnation !== undefined && expect.incarnation !== incarnation) {
    return `incarnation ${incarnation} answered in place of ${expect.incarnation}`;
  }
  return undefined;
}

function noteAccepted(state: CallerState, accepted: Accepted, nowMs: number, effects: CallerEffect[]): void {
  let arrays: { handles: Uint32Array; cached: Uint32Array; ahead: Uint32Array };
  try {
    const { handles, cachedTokens, queuedAhead } = accepted;
    arrays = { handles: readU32(handles), cached: readU32(cachedTokens), ahead: readU32(queuedAhead) };
  } catch {
    violate(state, "Accepted has a torn array", effects);
    return;
  }
  const { handles, cached, ahead } = arrays;
  if (handles.length !== cached.length || handles.length !== ahead.length) {
    violate(state, "Accepted has arrays of different lengths", effects);
    return;
  }
  for (let at = 0; at < handles.length; at++) {
    const request = state.requests.get(handles[at] as number);
    const { action } = CALLER_HANDLE[request?.phase ?? "unknown"].accepted;
    if (action === "violation") {
      violate(state, `handle ${handles[at]} was accepted twice`, effects);
      return;
    }
    if (action === "drop" || !request) {
      state.counters.droppedFrames++;
      continue;
    }
    request.phase = "accepted";
    request.progressMs = nowMs;
    effects.push({ kind: "accepted", request, cachedTokens: cached[at] as number, queuedAhead: ahead[at] as number });
  }
}

function become(
  state: CallerState,
  link: CallerLinkState,
  reason: StatorError | undefined,
  effects: CallerEffect[],
): void {
  if (state.link === link) return;
  state.link = link;
  effects.push({ kind: "state", state: link, reason });
}

function violate(state: CallerState, detail: string, effects: CallerEffect[]): void {
  if (state.link === "closed") return;
  const reason = violation(detail);
  close(state, { wire: reason, reason, detail }, effects);
}

/** Ends the link and every request on it. `wire` goes to the peer; `ended`: the peer ended already. */
function close(
  state: CallerState,
  end: { wire: StatorError | undefined; reason: StatorError | undefined; detail: string; ended?: boolean },
  effects: CallerEffect[],
): void {
  effects.push({ kind: "end", error: end.wire });
  become(state, "closed", end.reason, effects);
  const error = new StatorError("STREAM_LOST", { detail: end.detail }, { cause: end.reason });
  // In the order in which they were submitted: the table keeps none.
  const requests = [...state.requests.values()].sort((left, right) => left.handle - right.handle);
  state.requests.clear();
  state.openRequests = 0;
  state.unanswered.length = 0;
  for (const request of requests) {
    const { action } = CALLER_HANDLE[request.phase].lost;
    request.phase = "unknown";
    if (action !== "ignore") effects.push({ kind: "lost", request, error, accepted: action === "tell" });
  }
}

function callTurn(state: CallerState, effects: CallerEffect[]): void {
  if (state.turnComing) return;
  state.turnComing = true;
  effects.push({ kind: "turn later" });
}
