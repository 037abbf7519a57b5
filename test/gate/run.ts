// npm run gate [-- [--small] [--only WORD] [mock | demo | plain | FILE:VOCABULARY]…]: asks the same of one worker that nobody
// disturbs and of workers in processes of their own that split each answer, by every way that blocks can take here, while
// blocks are evicted and workers go. Prints one row a way, and ends with 1 when an answer differs where it must not, or does
// not where it must. Models of llama are compared to the bit in exact mode, and without it as far as noise allows.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { printTable } from "../bench/report.ts";
import { Gate, type GateSubject } from "../support/gate/gate.ts";
import type { GateRow } from "../support/gate/gate-row.ts";
import {
  inexactSubject,
  type LlamaModel,
  llamaSubject,
  serialRun,
  smallModels,
} from "../support/gate/llama-subject.ts";
import { noiseProblems } from "../support/gate/noise.ts";
import { hereRungs, mockSubject } from "../support/gate/subjects.ts";
import { type GateWay, gateWays } from "../support/gate/ways.ts";

const HEAD = [
  "way",
  "answers",
  "differ",
  "handed on",
  "blocks",
  "fewer came",
  "moved",
  "asked again",
  "evicted",
  "s",
  "",
];
/** Choices that are asked for; of ways in which blocks are damaged; of each in the small form. */
const MOCK_COUNTS = { same: 10_000, damaged: 1_000 } as const;
const LLAMA_COUNTS = { same: 2_000, damaged: 400 } as const;
const INEXACT_COUNT = 400;
const SMALL_COUNT = 100;

const { values, positionals } = parseArgs({
  allowPositionals: true,
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
    ...[row.migrations, row.askedAgain, row.evicted].map(String),
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

/** Without exact mode: one after the other to the bit, and side by side within the noise of one worker. */
async function runInexact(model: LlamaModel, count: number): Promise<void> {
  const subject = await inexactSubject(model, count);
  const problems: string[] = [];
  const { differing, device, isPinned } = await serialRun(model, subject.asks);
  const memory = isPinned ? "pinned" : "pageable";
  process.stdout.write(`without exact mode, on ${device}, blocks through ${memory} memory\n`);
  process.stdout.write(`one after the other: ${differing.length} of ${subject.asks.length} answers differ\n`);
  if (differing.length > 0) problems.push(`one after the other ${differing.length} differ`);
  const gate = new Gate(subject);
  try {
    const [alone, ...others] = gateWays(hereRungs()).filter(
      ({ expects, disturbance }) => expects === "same" && !disturbance,
    );
    const control = await gate.score(alone!);
    for (const way of others) {
      const found = await gate.score(way);
      const wrong = noiseProblems(found, control).map((each) => `${way.name}: ${each}`);
      problems.push(...wrong);
      const rates = `${found.others} of ${found.places} tokens are others, ${control.others} by noise alone`;
      process.stdout.write(`${way.name}: ${rates}; noise ${control.noise.toFixed(6)}\n`);
    }
  } finally {
    await gate.close();
  }
  process.stdout.write(problems.length === 0 ? "ok\n" : `FAILED: ${problems.join("; ")}\n`);
  if (problems.length > 0) process.exitCode = 1;
}

function modelOf(word: string, folder: string): LlamaModel {
  const [demo, plain] = smallModels(folder);
  if (word === "demo" || word === "plain") return word === "demo" ? demo : plain;
  const [, path = "", vocabulary = ""] = /^(.+\.gguf):(\d+)$/.exec(word) ?? [];
  if (path === "") throw new Error(`${word} is neither mock, demo, plain nor FILE.gguf:VOCABULARY`);
  return { name: path, path, vocabularySize: Number(vocabulary) };
}

async function runWord(word: string, folder: string): Promise<void> {
  process.stdout.write(`\n${word}\n`);
  const sized = word === "mock" ? MOCK_COUNTS : LLAMA_COUNTS;
  const counts = values.small ? { same: SMALL_COUNT, damaged: SMALL_COUNT } : sized;
  const disturbances = values.small ? 1 : 20;
  if (word === "mock") return await runAll({ ...(await mockSubject(counts.same)), disturbances }, counts);
  const model = modelOf(word, folder);
  await runAll({ ...(await llamaSubject(model, counts.same)), disturbances }, counts);
  if (values.only === "") await runInexact(model, values.small ? SMALL_COUNT : INEXACT_COUNT);
}

const folder = mkdtempSync(join(tmpdir(), "stator-gate-models-"));
const words = positionals.length > 0 ? positionals : ["mock", "demo", "plain"];
try {
  for (const word of words) await runWord(word, folder);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
