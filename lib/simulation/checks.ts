import type { RequestRecord } from "#gen/stator/frontend/v1/frontend_pb";
import type { Reason } from "#lib/base/errors";
import type { Client } from "./client.ts";
import type { Oracle } from "./oracle.ts";

/** What a client is held against. */
export interface Truth {
  /** Of the weights that are in the world. */
  readonly oracles: readonly Oracle[];
  /** Its records in the ledger of its frontend; undefined when that was killed. */
  readonly records: readonly RequestRecord[] | undefined;
  /** Nothing went wrong in this world. */
  readonly isCalm: boolean;
  /** Its frontend was closed while it waited. */
  readonly wasClosed: boolean;
  /** Its frontend stood still at some time. */
  readonly wasStill: boolean;
}

/** What one client heard, against what is true: one sentence for each thing that must not be. */
export function checkClient(client: Client, truth: Truth): string[] {
  const wrong = [
    ...client.choices.flatMap((_, choice) => checkChoice(client, choice, truth.oracles)),
    ...checkRecord(client, truth),
    ...checkError(client, truth),
  ];
  return [...client.complaints, ...wrong.map((what) => `${client.ask.requestId}: ${what}`)];
}

/** An answer, as far as it came, is that of one model, from the first token on and without a gap. */
function checkChoice({ ask, choices, usage }: Client, index: number, oracles: readonly Oracle[]): string[] {
  const { tokens, end, counted, embeddings, scored } = choices[index]!;
  if (ask.kind === "embed") {
    return end && embeddings !== 1 ? [`choice ${index} has ${embeddings} embeddings`] : [];
  }
  const prompt = ask.input.prompts[Math.floor(index / ask.choicesPerPrompt)]!;
  if (ask.promptLogprobs && tokens.length > 0 && scored !== prompt.length) {
    return [`choice ${index} has scores up to ${scored} of ${prompt.length}`];
  }
  if (!end && !usage && tokens.length === 0) return [];
  const likely = oracles
    .map((oracle) => oracle.answer(ask, index))
    .filter((answer) => tokens.every((token, at) => answer.tokens[at] === token));
  if (likely.length === 0) return [`choice ${index} says what no model does: ${tokens.join(" ")}`];
  if (!end) return usage === undefined ? [] : [`choice ${index} has no end`];
  if (end.reason === "cancelled") return counted === undefined ? [`choice ${index} ended without a wish`] : [];
  const isWhole = likely.some(
    ({ tokens: whole, reason, stopToken }) =>
      whole.length === tokens.length && reason === end.reason && stopToken === end.stopToken,
  );
  return isWhole ? [] : [`choice ${index} ended by ${end.reason} after ${tokens.length} tokens`];
}

/** One record, which says what the client heard. */
function checkRecord({ ask, choices, usage, error, isCancelled }: Client, truth: Truth): string[] {
  const { records, isCalm } = truth;
  if (!records) return [];
  const [record, ...others] = records;
  if (!record || others.length > 0) return [`it has ${records.length} records`];
  const outcome = usage ? "finished" : error ? "failed" : isCancelled ? "cancelled" : "none";
  const said = {
    outcome,
    reason: error?.reason ?? "",
    promptTokens: ask.input.prompts.reduce((sum, { length }) => sum + length, 0),
    completionTokens: choices.reduce((sum, { tokens, counted }) => sum + (counted ?? tokens.length), 0),
  };
  const wrong: string[] = [];
  for (const [name, value] of Object.entries(said)) {
    const found = record[name as keyof typeof said];
    if (found !== value) wrong.push(`its record says ${name} ${found} and not ${value}`);
  }
  if (isCalm && record.migrations > 0) wrong.push("it moved when nothing was wrong");
  if (record.cachedTokens > record.promptTokens) wrong.push("more of its prompt was cached than there is");
  if (!usage) return wrong;
  for (const name of ["promptTokens", "cachedTokens", "completionTokens"] as const) {
    if (usage[name] !== record[name]) wrong.push(`its usage says ${name} ${usage[name]}, its record ${record[name]}`);
  }
  return wrong;
}

/** Before anything ran. */
const AT_FIRST: readonly Reason[] = [
  "OVERLOADED",
  "NO_WORKERS",
  "MODEL_LOADING",
  "MODEL_NOT_FOUND",
  "WORKER_NOT_FOUND",
];
/** While faults keep it from its end. */
const BY_FAULTS: readonly Reason[] = ["ATTEMPTS_EXHAUSTED", "POISONED", "STREAM_LOST", ...AT_FIRST];

/** An error that such a client may be told. */
function checkError({ ask, flaws, error, choices, placements, startedMs, endedMs }: Client, truth: Truth): string[] {
  const { deadlineMs, target } = ask;
  const tookMs = (endedMs ?? Number.POSITIVE_INFINITY) - startedMs;
  if (deadlineMs !== undefined && !truth.wasStill && tookMs > deadlineMs + 1) {
    return [`it took ${tookMs} ms with a deadline of ${deadlineMs} ms`];
  }
  if (flaws.breaks && !error && choices.some(({ end, tokens }) => end && tokens.length > 0)) {
    return ["it broke and was answered all the same"];
  }
  if (!error) return [];
  const { reason } = error;
  if (reason === "DRAINING") return truth.wasClosed ? [] : ["it was told that its frontend closes"];
  if (reason === "INTERNAL") return flaws.breaks ? [] : ["it was told of a bug that was not its own"];
  if (reason === "DEADLINE") {
    // The worker has whole milliseconds, of which the way took some.
    return deadlineMs !== undefined && tookMs >= deadlineMs - 1 ? [] : [`it was too late after ${tookMs} ms`];
  }
  const may = truth.isCalm ? AT_FIRST.slice(0, 1) : BY_FAULTS;
  if (!may.includes(reason)) return [`it was told ${reason}: ${error.message}`];
  const isPinned = target !== undefined;
  if ((reason === "STREAM_LOST" || reason === "WORKER_NOT_FOUND") && !isPinned) return [`it was told ${reason}`];
  const hasRun = placements.length > 0 || choices.some(({ tokens }) => tokens.length > 0);
  // Its prompt ran as it should, and then there was nobody for its answer.
  if (reason === "NO_WORKERS" && placements.some(({ leg }) => leg === "prefill")) return [];
  return hasRun && AT_FIRST.includes(reason) ? [`it was told ${reason} after it had run`] : [];
}
