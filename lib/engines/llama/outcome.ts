import { StatorError } from "#lib/base/errors";
import { END, type StepResult } from "#lib/native/context";
import { ENTRY_END, type OutcomeLogprobs, type StepOutcome, type StepPlan } from "../schedule/plan.ts";
import type { Sequence } from "../schedule/sequence.ts";

/** What each code of the addon means to the scheduler, by code; it finds the limit of an answer by itself. */
const ENDS = new Uint8Array(7);
ENDS[END.none] = ENTRY_END.none;
ENDS[END.eog] = ENTRY_END.endToken;
ENDS[END.stop] = ENTRY_END.stopToken;
ENDS[END.length] = ENTRY_END.none;
ENDS[END.grammar] = ENTRY_END.complete;
ENDS[END.skipped] = ENTRY_END.skipped;
ENDS[END.error] = ENTRY_END.failed;

/** Why the addon did not open a sequence, by the sequence. */
export type Refusals = WeakMap<Sequence, StatorError>;

/** The addon's result as an outcome. `result.status` must not be `error`. */
export function toOutcome(plan: StepPlan, result: StepResult, refusals: Refusals): StepOutcome {
  const entries = plan.entries.length;
  const counts = new Uint8Array(entries);
  const ends = new Uint8Array(entries);
  const tokens = new Uint32Array(entries);
  let drawn = 0;
  for (let entry = 0; entry < entries; entry++) {
    ends[entry] = ENDS[result.ends[entry]!]!;
    const token = result.tokens[entry]!;
    if (token < 0) continue;
    counts[entry] = 1;
    tokens[drawn++] = token;
  }
  return {
    step: plan.step,
    status: result.status === "error" ? "aborted" : result.status,
    durationUs: result.durationUs,
    counts,
    tokens: tokens.subarray(0, drawn),
    ends,
    logprobs: result.logprobs ? readLogprobs(plan, result, result.logprobs) : [],
    promptLogprobs: result.scores ? readScores(plan, result.scores) : [],
    errors: result.errors.length === 0 ? [] : readErrors(plan, result, refusals),
  };
}

function readLogprobs(plan: StepPlan, result: StepResult, chosen: Float32Array): OutcomeLogprobs[] {
  const { top } = result;
  const found: OutcomeLogprobs[] = [];
  let from = 0;
  for (const [entry, { sequence }] of plan.entries.entries()) {
    let to = from;
    while (top && top.entries[to] === entry) to++;
    if (sequence.request.topLogprobs !== undefined && result.tokens[entry]! >= 0) {
      found.push({
        entry,
        chosen: chosen.subarray(entry, entry + 1),
        topTokens: top ? Uint32Array.from(top.ids.subarray(from, to)) : new Uint32Array(),
        topValues: top ? top.values.subarray(from, to) : new Float32Array(),
      });
    }
    from = to;
  }
  return found;
}

/** Rows of one entry come in order, though those of others may stand between them. */
function readScores(plan: StepPlan, scores: NonNullable<StepResult["scores"]>): OutcomeLogprobs[] {
  const rows = new Map<number, { chosen: number[]; topTokens: number[]; topValues: number[] }>();
  let from = 0;
  for (const [row, entry] of scores.entries.entries()) {
    const known = rows.get(entry) ?? { chosen: [], topTokens: [], topValues: [] };
    rows.set(entry, known);
    const to = from + (plan.entries[entry]!.sequence.request.topLogprobs ?? 0);
    known.chosen.push(scores.logprobs[row]!);
    known.topTokens.push(...scores.topIds.subarray(from, to));
    known.topValues.push(...scores.topValues.subarray(from, to));
    from = to;
  }
  return [...rows].map(([entry, { chosen, topTokens, topValues }]) => ({
    entry,
    chosen: Float32Array.from(chosen),
    topTokens: Uint32Array.from(topTokens),
    topValues: Float32Array.from(topValues),
  }));
}

function readErrors(plan: StepPlan, result: StepResult, refusals: Refusals): StepOutcome["errors"] {
  const messages = new Map(result.errors.map(({ slot, message }) => [slot, message.replace(/\.$/, "")]));
  const errors: { entry: number; error: StatorError }[] = [];
  for (const [entry, { sequence }] of plan.entries.entries()) {
    if (result.ends[entry] !== END.error) continue;
    const refusal = refusals.get(sequence);
    if (refusal) {
      errors.push({ entry, error: refusal });
      continue;
    }
    const detail = messages.get(result.slots[entry]!) ?? "it gave no reason";
    // A request with a grammar fails by it: nothing else of a checked request can be refused so late.
    const reason = sequence.grammar === undefined ? "ENGINE_FAILED" : "INVALID_GRAMMAR";
    errors.push({ entry, error: new StatorError(reason, { detail }) });
  }
  return errors;
}
