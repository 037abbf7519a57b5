import { type RunnerTestCase, type RunnerTestSuite, TestRunner } from "vitest";
import { SWITCH } from "./instrument.ts";
import { note, readNotes, readPlan, type Trial } from "./plan.ts";

type Hook = (...args: unknown[]) => unknown;

/** Taken before a test can put something in its place. */
const { setTimeout, clearTimeout } = globalThis;

/** A mutant may ask this many times as often as the original, and some, before it counts as endless. */
const TICKS_MORE = 20;
const TICKS_AT_LEAST = 200_000;
/** The same for waiting. */
const WAIT_MORE = 10;
const WAIT_AT_LEAST_MS = 3_000;

/**
 * How vitest runs a test here: once as it is, noting what it reaches, or again and again in the same process, each time
 * with one mutant on, with the hooks around it as they are around a test.
 */
export default class MutantRunner extends TestRunner {
  readonly #plan = readPlan();
  readonly #reached = new Set<number>();
  #active = 0;
  #ticks = 0;
  #mostTicks = Number.POSITIVE_INFINITY;
  #beganMs = 0;

  constructor(config: ConstructorParameters<typeof TestRunner>[0]) {
    super(config);
    Object.assign(globalThis, { [SWITCH]: (id: number) => this.#ask(id) });
  }

  #ask(id: number): boolean {
    if (++this.#ticks > this.#mostTicks) throw new Error("it runs for ever");
    if (this.#active === 0) this.#reached.add(id);
    return id === this.#active;
  }

  override async onBeforeRunTask(test: RunnerTestCase): Promise<void> {
    await super.onBeforeRunTask(test);
    if (this.#plan.trials !== undefined && this.#candidates(test).length === 0) test.mode = "skip";
  }

  override onBeforeTryTask(...args: Parameters<TestRunner["onBeforeTryTask"]>): void {
    super.onBeforeTryTask(...args);
    this.#reached.clear();
    this.#ticks = 0;
    this.#beganMs = performance.now();
  }

  async runTask(test: RunnerTestCase): Promise<void> {
    await TestRunner.getTestFn(test)();
    if (this.#plan.trials === undefined) return;
    const trial = this.#plan.trials[test.id] as Trial;
    const candidates = this.#candidates(test);
    // Once more without a mutant: a test that fails then would kill anything.
    for (const id of [0, ...candidates]) {
      await hooksAfter(test);
      const lived = await this.#try(test, trial, id);
      if (id !== 0) note(this.#plan.journal, { kind: lived ? "lived" : "killed", id, test: test.id });
      else if (!lived) {
        note(this.#plan.journal, { kind: "unfit", test: test.id, name: trial.name });
        break;
      }
    }
    await hooksAfter(test);
    // vitest runs its hooks once more.
    await hooksBefore(test);
  }

  override onAfterRunTask(test: RunnerTestCase): void {
    super.onAfterRunTask(test);
    const { journal, trials } = this.#plan;
    const name = `${test.file.name} > ${test.name}`;
    if (test.result?.state === "fail") note(journal, { kind: "failed", test: test.id, name });
    if (trials !== undefined || test.result?.state !== "pass") return;
    const ms = performance.now() - this.#beganMs;
    note(journal, { kind: "test", test: test.id, name, ms, ticks: this.#ticks, reached: [...this.#reached] });
  }

  /** Mutants that the test reaches and that nobody has killed or tried with it. */
  #candidates(test: RunnerTestCase): number[] {
    const done = new Set<number>();
    for (const each of readNotes(this.#plan.journal)) {
      if (each.kind === "killed" || (each.kind === "lived" && each.test === test.id)) done.add(each.id);
      if (each.kind === "unfit" && each.test === test.id) return [];
    }
    return (this.#plan.trials?.[test.id]?.reached ?? []).filter((id) => !done.has(id));
  }

  async #try(test: RunnerTestCase, { ms, ticks }: Trial, id: number): Promise<boolean> {
    if (id !== 0) note(this.#plan.journal, { kind: "try", id, test: test.id });
    this.#active = id;
    this.#ticks = 0;
    this.#mostTicks = Math.max(ticks * TICKS_MORE, TICKS_AT_LEAST);
    const timeout = Promise.withResolvers<never>();
    const mostMs = Math.max(ms * WAIT_MORE, WAIT_AT_LEAST_MS);
    const timer = setTimeout(() => timeout.reject(new Error("it waits for ever")), mostMs);
    try {
      await Promise.race([hooksBefore(test).then(TestRunner.getTestFn(test)), timeout.promise]);
      return true;
    } catch {
      return false;
    } finally {
      clearTimeout(timer);
      this.#active = 0;
      this.#mostTicks = Number.POSITIVE_INFINITY;
    }
  }
}

/** The suites around a test, the outermost first. */
function suitesOf(test: RunnerTestCase): RunnerTestSuite[] {
  const suites: RunnerTestSuite[] = [];
  for (let suite: RunnerTestSuite | undefined = test.suite ?? test.file; suite; suite = suite.suite)
    suites.unshift(suite);
  if (suites[0] !== test.file) suites.unshift(test.file);
  return suites;
}

async function hooksBefore(test: RunnerTestCase): Promise<void> {
  for (const suite of suitesOf(test)) {
    for (const hook of TestRunner.getSuiteHooks(suite).beforeEach as Hook[]) await hook(test.context, suite);
  }
}

/** What a mutant left behind may make a hook fail; the next trial begins all the same. */
async function hooksAfter(test: RunnerTestCase): Promise<void> {
  const hooks = suitesOf(test)
    .toReversed()
    .flatMap((suite) => {
      return (TestRunner.getSuiteHooks(suite).afterEach as Hook[]).map((hook) => () => hook(test.context, suite));
    });
  // What `onTestFinished` was given: vitest keeps it on the test, without a word about it in its types.
  const kept = test as { onFinished?: Hook[] };
  const finished = (kept.onFinished ?? []).map((hook) => () => hook(test.context));
  kept.onFinished = undefined;
  for (const hook of [...hooks, ...finished]) {
    try {
      await hook();
    } catch {}
  }
}
