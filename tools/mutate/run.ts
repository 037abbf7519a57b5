// npm run mutate -- [--list] ROOM|FILE…: changes the sources of a room in one place at a time and runs the tests of the room
// that come by that place. Prints the mutants that no test found; ends with 1 when more than a tenth was not found.
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { findMisfits } from "./misfits.ts";
import { reportOn } from "./report.ts";
import { findSources, findTests, numberMutants } from "./room.ts";
import { readExcuses } from "./survivors.ts";
import { tryMutants } from "./trials.ts";

const { values, positionals } = parseArgs({ allowPositionals: true, options: { list: { type: "boolean" } } });

async function main(folder: string): Promise<number> {
  const sources = findSources(positionals);
  if (sources.length === 0) {
    console.error(`No source in "${positionals.join(" ")}". A room is a folder, such as lib/link, or a file of it.`);
    return 2;
  }
  const { firstIds, mutants: all } = numberMutants(sources);
  const misfits = findMisfits(folder, firstIds);
  const mutants = all.filter(({ id }) => !misfits.has(id));
  if (values.list) {
    for (const { file, line, change } of mutants) console.log(`${file}:${line}  ${change}`);
    return 0;
  }
  const tests = findTests(sources);
  console.log(`${mutants.length} mutants in ${sources.length} files, ${tests.length} files of tests.`);
  const verdicts = await tryMutants({ folder, firstIds, mutants, tests, say: (line) => console.log(line) });
  const { lines, ok } = reportOn(verdicts, readExcuses(sources));
  for (const line of lines) console.log(line);
  return ok ? 0 : 1;
}

// What is done at the end of a process is done then as well.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
const folder = mkdtempSync(path.join(os.tmpdir(), "stator-mutate-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
process.exitCode = await main(folder);
