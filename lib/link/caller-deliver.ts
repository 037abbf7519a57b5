import { type EntryLogprobs, type Finish, FinishReason, type Step } from "#gen/stator/worker/v1/link_pb";
import { readF32 } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { fromErrorDetail } from "#lib/rpc/error-detail";
import type { CallerEffect, CallerRequest, CallerState, Deliveries } from "./caller-state.ts";
import type { LinkFinish, StepLogprobs } from "./link.ts";
import { isForwardPass, isLoadAlone, readEntries, readLogprobs } from "./step.ts";
import { CALLER_HANDLE } from "./tables.ts";

/** Takes a step apart: outputs, then terminal frames, then the header. Returns what was wrong with it, if anything. */
export function deliver(state: CallerState, step: Step, nowMs: number, effects: CallerEffect[]): string | undefined {
  const { counters } = state;
  counters.steps++;
  counters.mergedSteps += step.mergedSteps;
  if (isForwardPass(step)) noteWork(state, step, nowMs);
  try {
    const broken =
      deliverPrompts(state, step, nowMs, effects) ??
      deliverTokens(state, step, nowMs, effects) ??
      deliverRest(state, step, nowMs, effects);
    if (broken !== undefined) return broken;
  } catch (error) {
    // Torn arrays: the readers say which.
    if (error instanceof StatorError && error.reason === "INVALID_ARGUMENT") return error.message;
    throw error;
  }
  for (const finish of step.finishes) {
    const request = state.requests.get(finish.handle);
    const { action } = CALLER_HANDLE[request?.phase ?? "unknown"].finish;
    if (request) {
      state.requests.delete(finish.handle);
      if (request.phase !== "abandoned") state.openRequests--;
      request.phase = "unknown";
    }
    if (action === "tell" && request) effects.push({ kind: "finish", request, finish: readFinish(finish) });
    else counters.droppedFrames++;
  }
  if (isForwardPass(step) || isLoadAlone(step)) effects.push({ kind: "step", step });
  return undefined;
}

function noteWork(state: CallerState, step: Step, nowMs: number): void {
  state.workedMs = nowMs;
  state.waitingRequests = step.waitingRequests;
  if (step.durationUs === 0) return;
  state.durationsUs[state.durationCount % state.durationsUs.length] = step.durationUs / (step.mergedSteps + 1);
  state.durationCount++;
}

function deliverPrompts(state: CallerState, step: Step, nowMs: number, effects: CallerEffect[]): string | undefined {
  for (const part of step.promptLogprobs) {
    const request = outputOf(state, part.handle, nowMs);
    if (typeof request === "string") return request;
    if (!request) continue;
    const logprobs = readLogprobs(part);
    if (part.position === 0) return "the first token of a prompt has no log-probability";
    if (logprobs.chosen.length === 0) return "log-probabilities of no token";
    effects.push({ kind: "prompt logprobs", request, position: part.position, logprobs });
  }
  return undefined;
}

/** Who an output other than tokens is for; undefined when it is dropped, a sentence when it may not come. */
function outputOf(state: CallerState, handle: number, nowMs: number): CallerRequest | string | undefined {
  const request = state.requests.get(handle);
  const { action } = CALLER_HANDLE[request?.phase ?? "unknown"].output;
  if (action === "violation") return `handle ${handle} got output before it was accepted`;
  if (action === "drop" || !request) {
    state.counters.droppedFrames++;
    return undefined;
  }
  request.outputs++;
  request.progressMs = nowMs;
  return request;
}

function deliverTokens(state: CallerState, step: Step, nowMs: number, effects: CallerEffect[]): string | undefined {
  if (step.handles.length === 0) return step.tokens.length > 0 ? "tokens without handles" : undefined;
  const { handles, counts, tokens } = readEntries(step);
  const requests: CallerRequest[] = [];
  const bounds: number[] = [];
  const aside = step.logprobs.length > 0 ? byHandle(step.logprobs) : undefined;
  const logprobs: (StepLogprobs | undefined)[] | undefined = aside ? [] : undefined;
  let end = 0;
  for (let at = 0; at < handles.length; at++) {
    const start = end;
    end += counts === undefined ? 1 : (counts[at] as number);
    const handle = handles[at] as number;
    const request = state.requests.get(handle);
    const { action } = CALLER_HANDLE[request?.phase ?? "unknown"].output;
    if (action === "violation") return `handle ${handle} got tokens before it was accepted`;
    const beside = aside?.get(handle)?.shift();
    if (action === "drop" || !request) {
      state.counters.droppedFrames++;
      continue;
    }
    request.outputs += end - start;
    request.progressMs = nowMs;
    requests.push(request);
    bounds.push(start, end);
    logprobs?.push(beside && readLogprobs(beside, end - start));
  }
  state.counters.tokens += tokens.length;
  if (requests.length > 0) effects.push({ kind: "deliver", tokens, requests, bounds, logprobs } satisfies Deliveries);
  return undefined;
}

/** Entries of one handle in order: a merged step may hold several. */
function byHandle(entries: readonly EntryLogprobs[]): Map<number, EntryLogprobs[]> {
  const map = new Map<number, EntryLogprobs[]>();
  for (const entry of entries) {
    const before = map.get(entry.handle);
    if (before) before.push(entry);
    else map.set(entry.handle, [entry]);
  }
  return map;
}

function deliverRest(state: CallerState, step: Step, nowMs: number, effects: CallerEffect[]): string | undefined {
  for (const part of [...step.texts, ...step.embeddings]) {
    const request = outputOf(state, part.handle, nowMs);
    if (typeof request === "string") return request;
    if (!request) continue;
    if ("text" in part) effects.push({ kind: "text", request, text: part.text });
    else effects.push({ kind: "embedding", request, values: readF32(part.values, "EmbeddingResult.values") });
  }
  return undefined;
}

const REASONS_BY_NUMBER: Readonly<Record<FinishReason, LinkFinish["reason"]>> = {
  [FinishReason.UNSPECIFIED]: "failed",
  [FinishReason.END]: "end",
  [FinishReason.STOP_TOKEN]: "stop_token",
  [FinishReason.LENGTH]: "length",
  [FinishReason.CANCELLED]: "cancelled",
  [FinishReason.DONE]: "done",
};

function readFinish(finish: Finish): LinkFinish {
  const said = REASONS_BY_NUMBER[finish.reason] ?? "failed";
  const error = finish.error
    ? fromErrorDetail(finish.error)
    : said === "failed"
      ? new StatorError("ENGINE_FAILED", { detail: "it gave no reason" })
      : undefined;
  return {
    reason: error ? "failed" : said,
    stopToken: finish.stopTokenId,
    promptTokens: finish.promptTokens,
    cachedTokens: finish.cachedTokens,
    completionTokens: finish.completionTokens,
    error,
    ...(finish.session && { session: finish.session }),
    ...(finish.transfer && { transfer: finish.transfer }),
  };
}
