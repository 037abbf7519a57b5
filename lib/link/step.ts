import { create } from "@bufbuild/protobuf";
import {
  type EntryLogprobs,
  type Finish,
  type PromptLogprobs,
  type Step,
  StepSchema,
} from "#gen/stator/worker/v1/link_pb";
import { readF32, readU32 } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import type { StepLogprobs } from "./link.ts";

/** The arrays of a step as views over its message. `counts` undefined means one token each. */
export interface StepEntries {
  /** One per entry; a merged step may name one twice. */
  readonly handles: Uint32Array;
  /** Tokens of each entry, at most 255. */
  readonly counts: Uint8Array | undefined;
  /** Of all entries, one behind the other. */
  readonly tokens: Uint32Array;
}

/** Views over the entries of a step. Throws INVALID_ARGUMENT when the lengths do not fit each other. Costs no copy when aligned. */
export function readEntries(step: Step): StepEntries {
  const handles = readU32(step.handles, "Step.handles");
  const tokens = readU32(step.tokens, "Step.tokens");
  if (step.counts.length === 0) {
    if (handles.length !== tokens.length) throw torn(`${handles.length} handles and ${tokens.length} tokens`);
    return { handles, counts: undefined, tokens };
  }
  if (step.counts.length !== handles.length) throw torn(`${handles.length} handles and ${step.counts.length} counts`);
  let sum = 0;
  for (const count of step.counts) sum += count;
  if (sum !== tokens.length) throw torn(`counts sum to ${sum} and there are ${tokens.length} tokens`);
  return { handles, counts: step.counts, tokens };
}

/** Views over one entry's log-probabilities, or a prompt's. Throws INVALID_ARGUMENT unless they belong to `count` tokens. */
export function readLogprobs(entry: EntryLogprobs | PromptLogprobs, count = entry.chosen.length / 4): StepLogprobs {
  const chosen = readF32(entry.chosen, "chosen");
  const topTokens = readU32(entry.topTokenIds, "top_token_ids");
  const topValues = readF32(entry.topValues, "top_values");
  if (
    chosen.length !== count ||
    topTokens.length !== topValues.length ||
    (count > 0 && topTokens.length % count !== 0)
  ) {
    throw torn(`log-probabilities of ${chosen.length} tokens for ${count}`);
  }
  return { chosen, topTokens, topValues };
}

/** True when the step reports work of the engine, and is not only a carrier of terminal frames. */
export function isForwardPass(step: Step): boolean {
  return step.durationUs > 0 || step.prefillTokens > 0 || step.decodeSequences > 0 || step.handles.length > 0;
}

/** True when the step tells how the engine is doing, and nothing else. */
export function isLoadAlone(step: Step): boolean {
  const { finishes, texts, embeddings, promptLogprobs } = step;
  return !isForwardPass(step) && [finishes, texts, embeddings, promptLogprobs].every((list) => list.length === 0);
}

/** Bytes that a step takes at least and, within a few per cent, at most. */
export function stepBytes(step: Step): number {
  let bytes = 96 + step.handles.length + step.counts.length + step.tokens.length;
  for (const finish of step.finishes) bytes += finishBytes(finish);
  for (const entry of step.logprobs) bytes += logprobsBytes(entry);
  for (const part of step.promptLogprobs) bytes += logprobsBytes(part);
  for (const entry of step.texts) bytes += 12 + entry.text.length;
  for (const entry of step.embeddings) bytes += 12 + entry.values.length;
  return bytes;
}

function finishBytes({ error, session, transfer }: Finish): number {
  const failed = error ? 64 + error.message.length : 0;
  const kept = session ? SESSION_BYTES + session.sequenceHashes.length + session.tailTokenIds.length : 0;
  return 24 + failed + kept + (transfer ? 48 : 0);
}

/** A session without its lists, generously. */
const SESSION_BYTES = 512;

function logprobsBytes({ chosen, topTokenIds, topValues }: EntryLogprobs | PromptLogprobs): number {
  return 30 + chosen.length + topTokenIds.length + topValues.length;
}

/**
 * Joins steps of one link into as few as fit into `maxBytes` each. Entries stay in order. Of the header, what is spent
 * (time, tokens, sequences, contexts) is summed and what is a level (blocks, waiting, running) is the last one's.
 */
export function mergeSteps(steps: readonly Step[], maxBytes: number): Step[] {
  const out: Step[] = [];
  let group: Step[] = [];
  let groupBytes = 0;
  for (const step of steps) {
    const bytes = stepBytes(step);
    if (group.length > 0 && groupBytes + bytes > maxBytes) {
      out.push(joinSteps(group));
      group = [];
      groupBytes = 0;
    }
    group.push(step);
    groupBytes += bytes;
  }
  if (group.length > 0) out.push(joinSteps(group));
  return out;
}

/** Cuts a step whose side lists make it longer than `maxBytes` into several; the header and the tokens stay with the first, the finishes go with the last. */
export function splitStep(step: Step, maxBytes: number): Step[] {
  if (stepBytes(step) <= maxBytes) return [step];
  const first = create(StepSchema, { ...step, finishes: [], texts: [], embeddings: [] });
  const out = [first];
  let room = maxBytes - stepBytes(first);
  const take = (bytes: number): Step => {
    if (bytes > room) {
      out.push(create(StepSchema, { rank: step.rank, step: step.step }));
      room = maxBytes - 96;
    }
    room -= bytes;
    return out[out.length - 1] as Step;
  };
  for (const entry of step.texts) take(12 + entry.text.length).texts.push(entry);
  for (const entry of step.embeddings) take(12 + entry.values.length).embeddings.push(entry);
  for (const finish of step.finishes) take(finishBytes(finish)).finishes.push(finish);
  return out;
}

function joinSteps(steps: readonly Step[]): Step {
  const last = steps[steps.length - 1] as Step;
  if (steps.length === 1) return last;
  const sum = (field: SummedField) => steps.reduce((total, step) => total + step[field], 0);
  const uneven = steps.some((step) => step.counts.length > 0);
  return create(StepSchema, {
    ...last,
    durationUs: sum("durationUs"),
    prefillTokens: sum("prefillTokens"),
    prefillContextTokens: sum("prefillContextTokens"),
    decodeSequences: sum("decodeSequences"),
    decodeContextTokens: sum("decodeContextTokens"),
    exportUs: sum("exportUs"),
    importUs: sum("importUs"),
    mergedSteps: sum("mergedSteps") + steps.length - 1,
    handles: concat(steps.map((step) => step.handles)),
    counts: uneven ? concat(steps.map(explicitCounts)) : new Uint8Array(0),
    tokens: concat(steps.map((step) => step.tokens)),
    finishes: steps.flatMap((step) => step.finishes),
    logprobs: steps.flatMap((step) => step.logprobs),
    promptLogprobs: steps.flatMap((step) => step.promptLogprobs),
    texts: steps.flatMap((step) => step.texts),
    embeddings: steps.flatMap((step) => step.embeddings),
  });
}

type SummedField =
  | "durationUs"
  | "prefillTokens"
  | "prefillContextTokens"
  | "decodeSequences"
  | "decodeContextTokens"
  | "exportUs"
  | "importUs"
  | "mergedSteps";

function explicitCounts(step: Step): Uint8Array {
  return step.counts.length > 0 ? step.counts : new Uint8Array(step.handles.length / 4).fill(1);
}

/** One array with the bytes of all. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

function torn(detail: string): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail: `A step does not fit: ${detail}` });
}
