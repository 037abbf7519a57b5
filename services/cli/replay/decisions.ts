import { create } from "@bufbuild/protobuf";
import { ExplanationSchema, type Explanation as Message } from "#gen/stator/router/v1/router_pb";
import { printCost, printDecision } from "#lib/routing/decision";
import type { Explanation } from "#lib/routing/explain/explanation";
import { messageOf } from "#lib/routing/explain/explanation-message";
import type { Difference } from "#lib/simulation/replay/report/differences";
import { placeOfWorker } from "#lib/simulation/replay/worker-id";
import { type ExplanationNames, printExplanation } from "../explanation.ts";
import type { Paint } from "../screen.ts";
import { ms } from "./figures-table.ts";
import type { RunRecord } from "./replay-run.ts";

/** The workers of a replay are known by their places. */
const BY_PLACE: ExplanationNames = { worker: (id) => `worker ${placeOfWorker(id)}` };

/** The decisions about two rules' requests that differ most, to be asked for. */
export interface Comparison {
  /** The greatest difference first. */
  readonly differences: readonly Difference[];
  /** Of both rules, with the decisions about these requests. */
  readonly records: readonly [RunRecord, RunRecord];
}

/** One decision as the contract has it; undefined where it was not kept. */
export function explanationOf({ explanations }: RunRecord, row: number): Message | undefined {
  const explanation = explanations.get(row);
  return explanation && create(ExplanationSchema, messageOf(explanation));
}

/** One decision with its candidates; undefined where it was not kept. */
export function printRow(record: RunRecord, row: number, paint: Paint): string | undefined {
  const explanation = explanationOf(record, row);
  const request = `Row ${row} with ${record.run.name}`;
  return explanation && printExplanation(explanation, paint, { ...BY_PLACE, request });
}

/** The requests that two rules treat most differently, with what either decided by. */
export function printComparison({ differences, records }: Comparison, paint: Paint): string {
  const [left, right] = records.map(({ run }) => run.name);
  const width = Math.max(left!.length, right!.length);
  const blocks = differences.map(({ row, arrivedMs, promptTokens, leftMs, rightMs }) => {
    const head = `Row ${row}, after ${(arrivedMs / 1_000).toFixed(1)} s, ${promptTokens} tokens: first token after ${ms(leftMs)} ms with ${left}, ${ms(rightMs)} ms with ${right}`;
    const reasons = records.map(({ run, explanations }) => {
      const explanation = explanations.get(row);
      return `  ${run.name.padEnd(width)}  ${explanation ? printReason(explanation) : "not kept"}`;
    });
    return [paint.bold(head), ...reasons].join("\n");
  });
  return [`${left} and ${right} treat these requests most differently:`, ...blocks].join("\n\n");
}

/** Such as: worker 3: ttft, 7.06 ms, 352 tokens cached, of 8 (wait 0, prefill 7); then worker 1 at 22.1. */
function printReason({ candidates, chosen, runnerUp, decision, seen }: Explanation): string {
  const own = candidates[chosen]!;
  const terms = own.terms.map(({ name, value, counts }) => `${name} ${counts ? shown(value) : `(${shown(value)})`}`);
  const other = runnerUp === undefined ? undefined : candidates[runnerUp];
  const then = other ? `; next ${BY_PLACE.worker(other.worker)} at ${shown(other.cost)}` : "";
  const found = seen.cachedTokens === undefined ? "" : `; it had ${seen.cachedTokens} tokens`;
  const parts = terms.length > 0 ? ` (${terms.join(", ")})` : "";
  return `${BY_PLACE.worker(own.worker)}: ${printDecision(decision)}${parts}${then}${found}`;
}

function shown(value: number): string {
  return Number.isFinite(value) ? printCost(value) : "left out";
}
