import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, expect, it } from "vitest";
import { instrument } from "./instrument.ts";
import { reportOn } from "./report.ts";
import { tryMutants } from "./trials.ts";

const FILE = "test/fixtures/mutate/pocket.ts";
const folder = mkdtempSync(path.join(os.tmpdir(), "stator-mutate-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("finds what the tests notice, endless loops among it, and names what they do not", async () => {
  const { mutants } = instrument(FILE, readFileSync(path.join(import.meta.dirname, "../..", FILE), "utf8"), 1);
  const tests = ["test/fixtures/mutate/pocket-tests.ts"];
  const verdicts = await tryMutants({ folder, firstIds: { [FILE]: 1 }, mutants, tests, say: () => {} });
  expect(verdicts.unfit).toEqual(["test/fixtures/mutate/pocket-tests.ts > cannot run twice"]);
  const lived = mutants.filter(({ id }) => !verdicts.killed.has(id));
  expect(lived.map(({ code, change }) => `${code}  ${change}`)).toEqual([
    "while (left > 1) left = Math.floor(left / 2);  2 → 3",
    "return 7;  7 → 8",
    "return 7;  7 → 6",
  ]);
  const excuse = { file: FILE, code: "return 7;", reason: "nobody asks" };
  const { lines, ok } = reportOn(verdicts, [
    { ...excuse, change: "7 → 8" },
    { ...excuse, change: "8 → 9" },
  ]);
  expect(lines.filter((line) => !line.includes("\n    "))).toEqual([
    "cannot run twice in one process, so it finds nothing: test/fixtures/mutate/pocket-tests.ts > cannot run twice",
    `${FILE.padEnd(40)}  83.3 %: 10 found, 2 not, 1 excused`,
    `${"together".padEnd(40)}  83.3 %: 10 found, 2 not, 1 excused`,
  ]);
  expect(lines.some((line) => line.startsWith(`excused for nothing: ${FILE}  8 → 9`))).toBe(true);
  expect(ok).toBe(false);
});
