// npm run gate [-- [--small] [--only WORD] [mock | llama | model FILE]…]: asks the same of one worker that nobody disturbs and
// of workers in processes of their own that split each answer, by every way that blocks can take here, while blocks are
// evicted and workers go. Prints one row a way, and ends with 1 when an answer differs where it must not, or does not where
// it must.
import { parseArgs } from "node:util";
import { printTable } from "../bench/report.ts";
import { Gate, type GateSubject } from "../support/gate/gate.ts";
import type { GateRow } from "../support/gate/gate-row.ts";
import { hereRungs, mockSubject } from "../support/gate/subjects.ts";
import { type GateWay, gateWays } from "../support/gate/ways.ts";

const HEAD = ["way", "answers", "differ", "handed on", "blocks", "fewer came", "moved", "evicted", "s", ""];
/** Choices of the mock; of ways in which blocks are damaged; of each in the small form. */
const MOCK_COUNTS = { same: 10_000, damaged: 1_000 } as const;
const SMALL_COUNT = 200;

const { values } = parseArgs({
  options: { small: { type: "boolean", default: false }, only: { type: "string", default: "" } },
});

/** Tells on one line how far a way is. */
function createProgress(name: () => string): GateSubject["onProgress"] {
  if (!process.stderr.isTTY) return () => {};
  return (done, of) => void process.stderr.write(`\r\x1b[K${name()} ${done} of ${of}${done === of ? "\r\x1b[K" : ""}`);
}

function cellsOf(row: GateRow): string[] {
  const counts = (map: ReadonlyMap<string, number>) =>
    [...map].flatMap(([word, count]) => (count > 0 ? [`${word} ${count}`] : [])).join(", ");
  return [
    row.name,
    ...[row.answers, row.differing, row.handOffs].map(String),
    counts(row.blocks),
    counts(row.reasons),
    ...[row.migrations, row.evicted].map(String),
    row.seconds.toFixed(1),
    row.problems.length === 0 ? "ok" : `FAILED: ${row.problems.join("; ")}`,
  ];
}

async function runAll(subject: Omit<GateSubject, "onProgress">, counts: Record<"same" | "damaged", number>) {
  let current: GateWay | undefined;
  const gate = new Gate({ ...subject, onProgress: createProgress(() => current?.name ?? "") });
  const rows: string[][] = [HEAD];
  try {
    for (const way of gateWays(hereRungs()).filter(({ name }) => name.includes(values.only))) {
      current = way;
      const row = await gate.run(way, way.expects === "same" ? counts.same : counts.damaged);
      process.stderr.write(`${cellsOf(row).join("  ")}\n`);
      rows.push(cellsOf(row));
      if (row.problems.length > 0) process.exitCode = 1;
    }
  } finally {
    await gate.close();
  }
  process.stdout.write(printTable(rows));
}

const counts = values.small ? { same: SMALL_COUNT, damaged: SMALL_COUNT } : MOCK_COUNTS;
process.stderr.write("answers of one worker that nobody disturbs …\n");
await runAll({ ...(await mockSubject(counts.same)), disturbances: values.small ? 2 : 20 }, counts);
