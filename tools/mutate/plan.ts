import { appendFileSync, readFileSync } from "node:fs";

/** What one start of vitest is to do; it travels as a file whose path is in the environment. */
export interface Plan {
  /** Instrumented sources, relative to the root, with the number of their first mutant. */
  readonly firstIds: Readonly<Record<string, number>>;
  /** Test files, relative to the root. */
  readonly tests: readonly string[];
  /** By test, the mutants that are tried with it; undefined: every test runs once and says what it reaches. */
  readonly trials: Readonly<Record<string, Trial>> | undefined;
  /** Where it is written what was found. */
  readonly journal: string;
}

/** One test as it is without a mutant. */
export interface Trial {
  /** The test's file and name. */
  readonly name: string;
  readonly ms: number;
  /** Questions that it asked. */
  readonly ticks: number;
  /** Mutants that it comes by. */
  readonly reached: readonly number[];
}

/** A line of the journal. `test` is vitest's number of a test, the same in every run. */
export type Note =
  | ({ readonly kind: "test"; readonly test: string } & Trial)
  | { readonly kind: "failed"; readonly test: string; readonly name: string }
  /** A trial begins. One that has no other note behind it has never ended. */
  | { readonly kind: "try"; readonly id: number; readonly test: string }
  | { readonly kind: "killed"; readonly id: number; readonly test: string }
  | { readonly kind: "lived"; readonly id: number; readonly test: string }
  /** The test fails when it runs twice in one process, so it says nothing of mutants. */
  | { readonly kind: "unfit"; readonly test: string; readonly name: string };

/** Name of the variable with the path of the plan. */
export const PLAN_VARIABLE = "STATOR_MUTATE_PLAN";

/** The plan of this process. */
export function readPlan(): Plan {
  return JSON.parse(readFileSync(process.env[PLAN_VARIABLE] as string, "utf8")) as Plan;
}

/** Writes one line, at once: the process may be ended at any time. */
export function note(journal: string, line: Note): void {
  appendFileSync(journal, `${JSON.stringify(line)}\n`);
}

/** Everything that was noted so far. */
export function readNotes(journal: string): Note[] {
  const lines = readFileSync(journal, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Note);
}
