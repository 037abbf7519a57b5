import { type Excuse, excuses } from "./survivors.ts";
import type { Verdicts } from "./trials.ts";

/** Of the mutants without an excuse, how many are to be found. */
const ENOUGH = 0.9;

/** The lines of a report: survivors without an excuse, excuses that excuse nothing, and figures by file. */
export interface Report {
  readonly lines: readonly string[];
  /** Whether enough mutants were found. */
  readonly ok: boolean;
}

/** Judges what became of the mutants. */
export function reportOn({ mutants, killed, reached, unfit }: Verdicts, excused: readonly Excuse[]): Report {
  const open = mutants.filter((mutant) => !killed.has(mutant.id) && !excused.some((each) => excuses(each, mutant)));
  const survivors = open.map(({ id, file, line, code, change }) => {
    return `${file}:${line}  ${change}${reached.has(id) ? "" : "  (no test comes by)"}\n    ${code}`;
  });
  const idle = excused.filter((each) => {
    return mutants.filter((mutant) => excuses(each, mutant)).every(({ id }) => killed.has(id));
  });
  const idleLines = idle.map(({ file, code, change }) => `excused for nothing: ${file}  ${change}\n    ${code}`);
  const unfitLines = unfit.map((name) => `cannot run twice in one process, so it finds nothing: ${name}`);
  const files = [...new Set(mutants.map(({ file }) => file))];
  const figures = [...files, undefined].map((file) => {
    const some = mutants.filter((mutant) => file === undefined || mutant.file === file);
    const found = some.filter(({ id }) => killed.has(id)).length;
    const missed = open.filter((mutant) => file === undefined || mutant.file === file).length;
    const named = some.length - found - missed;
    const percent = (100 * share(found, missed)).toFixed(1);
    return `${(file ?? "together").padEnd(40)} ${percent.padStart(5)} %: ${found} found, ${missed} not, ${named} excused`;
  });
  return {
    lines: [...survivors, ...idleLines, ...unfitLines, ...figures],
    ok: share(killed.size, open.length) >= ENOUGH,
  };
}

function share(found: number, missed: number): number {
  return found + missed === 0 ? 1 : found / (found + missed);
}
