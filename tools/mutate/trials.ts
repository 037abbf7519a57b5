import { spawn } from "node:child_process";
import { once } from "node:events";
import { statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Mutant } from "./instrument.ts";
import { type Note, note, PLAN_VARIABLE, type Plan, readNotes, type Trial } from "./plan.ts";

/** What became of the mutants. */
export interface Verdicts {
  readonly mutants: readonly Mutant[];
  readonly killed: ReadonlySet<number>;
  /** Mutants that a test came by. */
  readonly reached: ReadonlySet<number>;
  /** Tests that fail when they run twice in one process. */
  readonly unfit: readonly string[];
}

/** What is tried with what. */
export interface TrialOptions {
  /** A folder for plan and journal. */
  readonly folder: string;
  readonly firstIds: Readonly<Record<string, number>>;
  readonly mutants: readonly Mutant[];
  readonly tests: readonly string[];
  /** Hears how far it is. */
  readonly say: (line: string) => void;
  /** A session that notes nothing for so long is held by a mutant. */
  readonly silentMs?: number;
}

/** Tests take part from the fastest to the slowest: most mutants are found before a slow one begins. */
const ROUNDS_MS = [5, 50, 400, Number.POSITIVE_INFINITY];
const SILENT_MS = 60_000;
/** How often it is said how far it is. */
const PROGRESS_MS = 30_000;
/** Random tests draw a tenth of what they do in `npm test`: they run once for every mutant that is left. */
const TEST_SCALE = "0.1";

const SESSION = fileURLToPath(new URL("./session.ts", import.meta.url));

/** Tries every mutant with the tests that come by it until one fails. Throws when a test fails without a mutant. */
export async function tryMutants(options: TrialOptions): Promise<Verdicts> {
  const { folder, firstIds, mutants, tests, say } = options;
  const journal = path.join(folder, "journal");
  writeFileSync(journal, "");
  const isThrough = await runSession({ firstIds, tests, trials: undefined, journal }, options);
  if (!isThrough) throw new Error("The tests stand still without a mutant");
  const all = trialsOf(readNotes(journal), new Set(mutants.map(({ id }) => id)));
  const reached = new Set(Object.values(all).flatMap((trial) => trial.reached));
  say(`${Object.keys(all).length} tests come by ${reached.size} mutants.`);
  const tell = (by: string) => say(`${killedOf(readNotes(journal)).size} of ${reached.size} found by ${by}.`);
  const progress = setInterval(() => tell("now"), PROGRESS_MS);
  try {
    for (const [at, mostMs] of ROUNDS_MS.entries()) {
      const trials = Object.entries(all).filter(([, { ms }]) => ms <= mostMs && ms > (ROUNDS_MS[at - 1] ?? -1));
      if (trials.length === 0) continue;
      await runRound({ firstIds, tests, trials: Object.fromEntries(trials), journal }, options);
      tell(Number.isFinite(mostMs) ? `tests of up to ${mostMs} ms` : "all tests");
    }
  } finally {
    clearInterval(progress);
  }
  const unfit = readNotes(journal).filter((each) => each.kind === "unfit");
  return { mutants, reached, killed: killedOf(readNotes(journal)), unfit: unfit.map(({ name }) => name) };
}

/** By test, what it reaches of the mutants. */
function trialsOf(notes: readonly Note[], mutants: ReadonlySet<number>): Record<string, Trial> {
  const failed = notes.filter((each) => each.kind === "failed").map(({ name }) => name);
  if (failed.length > 0) throw new Error(`Without a mutant these fail:\n${failed.join("\n")}`);
  const tests = notes.filter((each) => each.kind === "test");
  return Object.fromEntries(
    tests.map(({ test, name, ms, ticks, reached }) => {
      return [test, { name, ms, ticks, reached: reached.filter((id) => mutants.has(id)) }];
    }),
  );
}

function killedOf(notes: readonly Note[]): Set<number> {
  return new Set(notes.filter((each) => each.kind === "killed").map(({ id }) => id));
}

/** A session that a mutant holds is ended, the mutant counts as found, and another session goes on behind it. */
async function runRound(plan: Plan, options: TrialOptions): Promise<void> {
  while (!(await runSession(plan, options))) {
    const open = new Map<string, Extract<Note, { kind: "try" }>>();
    for (const each of readNotes(plan.journal)) {
      if (each.kind === "try") open.set(`${each.id} ${each.test}`, each);
      else if ("id" in each) open.delete(`${each.id} ${each.test}`);
    }
    if (open.size === 0) throw new Error("vitest stood still without a mutant");
    for (const each of open.values()) note(plan.journal, { ...each, kind: "killed" });
  }
}

/** Runs vitest once. False when it had to be ended because it stood still, or when it ended by a signal. */
async function runSession(plan: Plan, { folder, silentMs = SILENT_MS }: TrialOptions): Promise<boolean> {
  const file = path.join(folder, "plan");
  writeFileSync(file, JSON.stringify(plan));
  const env = { TEST_SCALE, ...process.env, [PLAN_VARIABLE]: file };
  const child = spawn(process.execPath, [SESSION], { env, stdio: "ignore", detached: true });
  // With its workers, which are of its group.
  const end = (): void => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
  };
  process.once("exit", end);
  let size = -1;
  const watch = setInterval(() => {
    const before = size;
    size = statSync(plan.journal).size;
    if (size === before) end();
  }, silentMs);
  await once(child, "close");
  clearInterval(watch);
  process.off("exit", end);
  return child.exitCode !== null;
}
