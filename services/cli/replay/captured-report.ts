import { differenceOf } from "#lib/routing/capture/redecide";
import { printCost } from "#lib/routing/decision";
import type { Explanation } from "#lib/routing/explain/explanation";
import type { CapturedRoute } from "#lib/simulation/replay/captured-route";
import { type Elsewhere, type Fidelity, fidelityOf } from "#lib/simulation/replay/report/fidelity";
import type { TraceRow } from "#lib/simulation/replay/trace-row";
import type { Paint } from "../screen.ts";
import { type Column, printTable } from "../table.ts";
import type { CapturedCluster } from "./captured-cluster.ts";
import { ms, percent } from "./figures-table.ts";
import type { RunRecord } from "./replay-run.ts";

/** A replay beside what was seen. */
export interface NamedFidelity extends Fidelity {
  /** The rule. */
  readonly name: string;
}

/** Rows of a rule that are named. */
const NAMED = 5;

/** Compares replays with what was captured of their rows: one for each, or none where nothing was. */
export function fidelitiesOf(
  records: readonly RunRecord[],
  rows: Iterable<TraceRow>,
  cluster: CapturedCluster | undefined,
): readonly NamedFidelity[] {
  const captured = new Map<number, CapturedRoute>();
  for (const { index, captured: route } of rows) if (route) captured.set(index, route);
  const placeOf = cluster?.placeOf ?? (() => undefined);
  return records.flatMap(({ run, outcomes }) => {
    const fidelity = fidelityOf(outcomes, { captured, placeOf, rule: run.routing.rule });
    return fidelity ? [{ ...fidelity, name: run.name }] : [];
  });
}

/** The replays that have rows elsewhere, to be made again with the decisions about the first of them. */
export function elsewhereRuns(records: readonly RunRecord[], fidelities: readonly NamedFidelity[]): RunRecord["run"][] {
  return records.flatMap(({ run }, at) => {
    const explained = fidelities[at]?.elsewhere.slice(0, NAMED).map(({ row }) => row) ?? [];
    return explained.length > 0 ? [{ ...run, explained, explainsLongest: false }] : [];
  });
}

/** For programs: the first rows that went elsewhere stand for all of them. */
export function fidelityJson({ elsewhere, ...fidelity }: NamedFidelity) {
  return { ...fidelity, elsewhere: elsewhere.slice(0, NAMED) };
}

const off = (share: number): string => (Number.isNaN(share) ? "" : percent(share));

const COLUMNS: readonly Column<NamedFidelity>[] = [
  ["BESIDE THE CAPTURE", ({ name }) => name],
  ["ROWS", ({ rows }) => rows],
  ["SEEN P50", ({ seenMs }) => ms(seenMs.p50)],
  ["P90", ({ seenMs }) => ms(seenMs.p90)],
  ["REPLAYED P50", ({ replayedMs }) => ms(replayedMs.p50)],
  ["P90", ({ replayedMs }) => ms(replayedMs.p90)],
  ["OFF BY P50", ({ replayedError }) => off(replayedError.p50)],
  ["P90", ({ replayedError }) => off(replayedError.p90)],
  ["FORESEEN, OFF BY P50", ({ foreseenError }) => off(foreseenError.p50)],
  ["P90", ({ foreseenError }) => off(foreseenError.p90)],
  ["SAME WORKER", ({ same, compared }) => (compared > 0 ? `${same} of ${compared}` : "")],
];

/** A table of how near the replays come, and the first rows that went elsewhere; `again` has the decisions about those. */
export function printFidelities(
  fidelities: readonly NamedFidelity[],
  again: readonly RunRecord[],
  paint: Paint,
): string {
  const elsewhere = fidelities.flatMap(({ name, elsewhere: all }) => {
    const explanations = again.find(({ run }) => run.name === name)?.explanations;
    if (!explanations) return [];
    const told = all.slice(0, NAMED).map((each) => `  ${printElsewhere(each, explanations.get(each.row))}`);
    const more = all.length > NAMED ? [`  and ${all.length - NAMED} more`] : [];
    return ["", paint.bold(`Not where they were captured with ${name}:`), ...told, ...more];
  });
  return [printTable(COLUMNS, fidelities), ...elsewhere].join("\n");
}

/** Such as: row 7: worker 1, not worker 0, because of wait (12 there, 3 here). */
function printElsewhere({ row, before, now }: Elsewhere, explanation: Explanation | undefined): string {
  const moved = `row ${row}: worker ${now}, not worker ${before}`;
  if (!explanation) return moved;
  const { candidates } = explanation;
  // Workers of a replay are numbered from 1.
  const termsOf = (place: number) => candidates.find(({ worker }) => worker === BigInt(place + 1))?.terms;
  const because = differenceOf(termsOf(before) ?? [], termsOf(now) ?? []);
  if (!because) return `${moved}: its turn, or drawn among equals`;
  return `${moved}, because of ${because.term} (${printCost(because.before)} there, ${printCost(because.now)} here)`;
}
