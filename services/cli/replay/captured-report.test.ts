import { expect, test } from "vitest";
import type { CapturedRoute } from "#lib/simulation/replay/captured-route";
import { PROFILES } from "#lib/simulation/replay/profile";
import { type Outcome, replay } from "#lib/simulation/replay/replay";
import { GapBook } from "#lib/simulation/replay/report/gap-book";
import { OutcomeBook } from "#lib/simulation/replay/report/outcome-columns";
import type { TraceRow } from "#lib/simulation/replay/trace-row";
import { createPaint } from "../screen.ts";
import type { CapturedCluster } from "./captured-cluster.ts";
import { fidelitiesOf, fidelityJson, printFidelities, runsElsewhere, withReasons } from "./captured-report.ts";
import type { ReplayRun, RunRecord } from "./replay-run.ts";

const RUN: ReplayRun = {
  ...{ name: "ttft", routing: { rule: "ttft" }, seed: 1n, explained: [], explainsLongest: false },
};
const cluster = { placeOf: ({ worker }: CapturedRoute) => Number(worker) } as unknown as CapturedCluster;
const paint = createPaint(false);

/** The same prompt again and again, far apart: each goes where the first one went, for what is cached there. */
function rowsOf(count: number): TraceRow[] {
  return Array.from({ length: count }, (_, index) => ({
    ...{ index, atMs: index * 60_000, inputTokens: 1_024, outputTokens: 1, names: BigUint64Array.of(1n, 2n) },
    ...{ session: undefined, delayMs: undefined, priority: 0, isDelta: false },
  }));
}

function live(rows: readonly TraceRow[], run: ReplayRun): RunRecord {
  const book = new OutcomeBook();
  const shape = { traceBlockTokens: 512, blockTokens: 512, blocks: 100, workers: 2, profile: PROFILES["bench-8k"] };
  const explains = ({ row }: Outcome) => run.explained.includes(row);
  const explanations = new Map<number, NonNullable<Outcome["explanation"]>>();
  for (const outcome of replay({ ...shape, ...run, rows, explains, speed: 1 })) {
    book.add(outcome);
    if (outcome.explanation) explanations.set(outcome.row, outcome.explanation);
  }
  const times = { isComplete: true, wallMs: 0, cpuMs: 0 };
  return {
    ...{
      run,
      outcomes: book.columns,
      gapMs: new GapBook().distribution,
      refusals: [],
      explanations,
      longest: undefined,
    },
    ...times,
  };
}

test("rows that went elsewhere are named with the term that differs, the first five of them", () => {
  const plain = rowsOf(9);
  const first = live(plain, RUN).outcomes.worker[0]!;
  const other = 1 - first;
  // All of them went to the other worker then, but for the second.
  const captured: CapturedRoute = {
    ...{ worker: BigInt(other), rank: 0, rule: "ttft", predictedMs: 64, seenMs: 128 },
    ...{ predictedTokens: 0, seenTokens: 0 },
  };
  const rows = plain.map((row) => ({
    ...row,
    captured: row.index === 1 ? { ...captured, worker: BigInt(first) } : captured,
  }));
  const records = [live(rows, RUN)];
  const found = fidelitiesOf(records, rows, cluster);
  expect(found[0]).toMatchObject({ name: "ttft", rows: 9, compared: 9, same: 1 });
  expect(found[0]!.elsewhere.map(({ row }) => row)).toEqual([0, 2, 3, 4, 5, 6, 7, 8]);

  const runs = runsElsewhere(records, found);
  expect(runs).toMatchObject([{ name: "ttft", explained: [0, 2, 3, 4, 5] }]);
  const told = withReasons(
    found,
    runs.map((run) => live(rows, run)),
  );
  // Two idle workers with nothing are equal; from then on one has all of the prompt but its last token.
  expect(told[0]!.named.map(({ row, because }) => [row, because?.term])).toEqual([
    [0, "draw"],
    ...[2, 3, 4, 5].map((row) => [row, "prefill"]),
  ]);
  const text = printFidelities(told, paint);
  expect(text).toMatch(/^BESIDE THE CAPTURE +ROWS .*SAME WORKER\nttft +9 .* 1 of 9\n/);
  expect(text).toContain("\nNot where they were captured with ttft:\n");
  expect(text).toMatch(
    new RegExp(
      `^ {2}row 2: worker ${first}, not worker ${other}, because of prefill \\(128 there, 0?\\.?\\d+ here\\)$`,
      "m",
    ),
  );
  expect(text).toMatch(/\n {2}and 3 more$/);
  expect(fidelityJson(told[0]!).elsewhere).toBe(told[0]!.named);

  // Without the decisions they are named all the same.
  expect(printFidelities(withReasons(found, []), paint)).toMatch(/^ {2}row 0: worker \d, not worker \d$/m);
});

test("nothing is made again where nothing went elsewhere, and nothing is told where nothing was captured", () => {
  const plain = rowsOf(3);
  const records = [live(plain, RUN)];
  expect(fidelitiesOf(records, plain, cluster)).toEqual([]);
  const worker = BigInt(records[0]!.outcomes.worker[0]!);
  const captured: CapturedRoute = {
    ...{ worker, rank: 0, rule: "ttft", predictedMs: undefined, seenMs: undefined },
    ...{ predictedTokens: undefined, seenTokens: undefined },
  };
  const rows = plain.map((row) => ({ ...row, captured }));
  const found = fidelitiesOf(records, rows, cluster);
  expect(found[0]).toMatchObject({ rows: 3, compared: 3, same: 3, named: [] });
  expect(runsElsewhere(records, found)).toEqual([]);
  expect(printFidelities(found, paint)).toMatch(/^BESIDE THE CAPTURE .*\nttft +3( +-){8} +3 of 3$/);
  // Without the file beside the trace nobody knows which worker is which.
  expect(fidelitiesOf(records, rows, undefined)[0]).toMatchObject({ rows: 3, compared: 0 });
});
