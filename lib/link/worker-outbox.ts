import { create } from "@bufbuild/protobuf";
import {
  AcceptedSchema,
  type LinkResponse,
  LinkResponseSchema,
  PongSchema,
  type Step,
  StepSchema,
} from "#gen/stator/worker/v1/link_pb";
import { writeU32 } from "#lib/base/bytes";
import { mergeSteps, splitStep, stepBytes } from "./step.ts";
import { emptyWorkerOutbox, type WorkerOutbox, type WorkerState } from "./worker-state.ts";

/** Handles that one Accepted names at most. */
const HANDLES_PER_ACCEPTED = 8_192;

/** True when nothing waits. */
export function isEmpty(box: WorkerOutbox): boolean {
  return (
    box.steps.length === 0 &&
    box.accepted.handles.length === 0 &&
    box.finishes.length === 0 &&
    box.pongs.length === 0 &&
    !box.welcome &&
    !box.notice
  );
}

/**
 * Takes what waits as messages within the limit: one for a usual turn. Steps that had to wait for room leave merged;
 * several steps of one turn that did not wait leave one after the other, each with its own header.
 */
export function takeWorkerOutbox(state: WorkerState): LinkResponse[] {
  const box = state.outbox;
  state.outbox = emptyWorkerOutbox();
  const steps = stepsToSend(state, box);
  const messages: LinkResponse[] = [];
  const { handles, cachedTokens, queuedAhead } = box.accepted;
  for (let at = 0; at < handles.length; at += HANDLES_PER_ACCEPTED) {
    const end = at + HANDLES_PER_ACCEPTED;
    const accepted = create(AcceptedSchema, {
      handles: writeU32(handles.slice(at, end)),
      cachedTokens: writeU32(cachedTokens.slice(at, end)),
      queuedAhead: writeU32(queuedAhead.slice(at, end)),
    });
    messages.push(create(LinkResponseSchema, { accepted }));
  }
  // A usual step travels with what was accepted; a long one goes behind it.
  const last = messages[messages.length - 1];
  const first = steps[0];
  if (last && first && stepBytes(first) + handles.length * 12 <= state.limits.maxMessageBytes) {
    last.step = first;
    steps.shift();
  }
  for (const step of steps) messages.push(create(LinkResponseSchema, { step }));
  if (messages.length === 0) messages.push(create(LinkResponseSchema));
  const head = messages[0] as LinkResponse;
  if (box.welcome) head.welcome = box.welcome;
  const tail = messages[messages.length - 1] as LinkResponse;
  if (box.notice) tail.notice = box.notice;
  for (const [at, nonce] of box.pongs.entries()) {
    const pong = create(PongSchema, { nonce });
    if (at === 0) tail.pong = pong;
    else messages.push(create(LinkResponseSchema, { pong }));
  }
  return messages;
}

function stepsToSend(state: WorkerState, box: WorkerOutbox): Step[] {
  const { maxMessageBytes } = state.limits;
  // A welcome, an Accepted that is full and a notice fit beside it.
  const room = maxMessageBytes - 4_096;
  const steps = [...box.steps];
  const last = steps[steps.length - 1];
  if (box.finishes.length > 0) {
    if (last) last.finishes.push(...box.finishes);
    else steps.push(create(StepSchema, { finishes: box.finishes }));
  }
  if (!state.congested || steps.length < 2) return steps.flatMap((step) => splitStep(step, room));
  const merged = mergeSteps(steps, room);
  state.counters.mergedSteps += steps.length - merged.length;
  return merged.flatMap((step) => splitStep(step, room));
}
