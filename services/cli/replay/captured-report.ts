import { type Difference, differenceBetween } from "#lib/routing/capture/redecide";
import { printCost } from "#lib/routing/decision";
import type { Explanation } from "#lib/routing/explain/explanation";
import type { CapturedRoute } from "#lib/simulation/replay/captured-route";
import { type Elsewhere, type Fidelity, fidelityOf } from "#lib/simulation/replay/report/fidelity";
import type { TraceRow } from "#lib/simulation/replay/trace-row";
import { placeOfWorker } from "#lib/simulation/replay/worker-id";
import type { Paint } from "../screen.ts";
import { type Column, printTable } from "../table.ts";
import type { CapturedCluster } from "./captured-cluster.ts";
import { ms, percent } from "./figures-table.ts";
import type { ReplayRun, RunRecord } from "./replay-run.ts";

/** A row that went elsewhere, and why. */
export interface NamedRow extends Elsewhere {
  /** The term of the costs that differs most between the two workers, as the replay saw them; undefined where that is not kept. */
  readonly because: Difference | undefined;
}

/** A replay beside what was seen. */
export interface NamedFidelity extends Fidelity {
  /** The rule. */
  readonly name: string;
  /** The first rows that went elsewhere. */
  readonly named: readonly NamedRow[];
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
    if (!fidelity) return [];
    const named = fidelity.elsewhere.slice(0, NAMED).map((each) => ({ ...each, because: undefined }));
    return [{ ...fidelity, name: run.name, named }];
  });
}

/** The replays that have rows elsewhere, to be made again with the decisions about the first of those. */
export function runsElsewhere(records: readonly RunRecord[], fidelities: readonly NamedFidelity[]): ReplayRun[] {
  return records.flatMap(({ run }) => {
    const explained = fidelities.find(({ name }) => name === run.name)?.named.map(({ row }) => row) ?? [];
    return explained.length > 0 ? [{ ...run, explained, explainsLongest: false }] : [];
  });
}

/** The same with why rows went elsewhere, by what {@link runsElsewhere} gave. */
export function withReasons(
  fidelities: readonly NamedFidelity[],
  again: readonly RunRecord[],
): readonly NamedFidelity[] {
  return fidelities.map((fidelity) => {
    const explanations = again.find(({ run }) => run.name === fidelity.name)?.explanations;
    const named = fidelity.named.map((each) => ({ ...each, because: reasonOf(each, explanations?.get(each.row)) }));
    return { ...fidelity, named };
  });
}

function reasonOf({ before, now }: Elsewhere, explanation: Explanation | undefined): Difference | undefined {
  const candidateAt = (place: number) => explanation?.candidates.find(({ worker }) => placeOfWorker(worker) === place);
  const [then, chosen] = [candidateAt(before), candidateAt(now)];
  return then && chosen && differenceBetween(then, chosen);
}

/** For programs: the rows that are named stand for all that went elsewhere. */
export function fidelityJson({ elsewhere: _, named, ...fidelity }: NamedFidelity) {
  return { ...fidelity, elsewhere: named };
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

/** A table of how near the replays come, and the first rows that went elsewhere. */
export function printFidelities(fidelities: readonly NamedFidelity[], paint: Paint): string {
  const elsewhere = fidelities.flatMap(({ name, elsewhere: all, named }) => {
    if (named.length === 0) return [];
    const more = all.length - named.length;
    return [
      "",
      paint.bold(`Not where they were captured with ${name}:`),
      ...named.map((each) => `  ${printNamed(each)}`),
      ...(more > 0 ? [`  and ${more} more`] : []),
    ];
  });
  return [printTable(COLUMNS, fidelities), ...elsewhere].join("\n");
}

/** Such as: row 7: worker 1, not worker 0, because of wait (12 there, 3 here). */
function printNamed({ row, before, now, because }: NamedRow): string {
  const moved = `row ${row}: worker ${now}, not worker ${before}`;
  if (!because) return moved;
  const [there, here] = [because.before, because.now].map(printCost);
  // What was nearly equal is told to the digit that differs.
  const values = there === here ? [because.before, because.now] : [there, here];
  return `${moved}, because of ${because.term} (${values[0]} there, ${values[1]} here)`;
}
