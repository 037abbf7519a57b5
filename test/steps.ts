import { existsSync } from "node:fs";
import path from "node:path";
import { generateAll, staleFiles, writeGenerated } from "../tools/gen/generate.ts";
import { checkCompatibility, checkContractFormat, lintContracts } from "../tools/lock/contracts.ts";
import { type Outcome, root, runNode, runTool } from "../tools/run-tool.ts";
import { summarize } from "./summary.ts";

/** One part of `npm test`. */
interface Step {
  /** What it does, for its heading. */
  readonly title: string;
  /** Runs it to its end; it shows its own output while it runs or returns it. */
  readonly run: () => Outcome | Promise<Outcome>;
}

const STEPS: Readonly<Record<string, Step>> = {
  native: { title: "native: build the addon", run: buildNative },
  gen: { title: "gen: generated files are fresh", run: checkGenerated },
  contracts: { title: "contracts: lint, format, compatibility", run: checkContracts },
  lint: { title: "lint: biome and oxlint", run: lint },
  types: { title: "types: tsc", run: () => runTool("tsc", ["--noEmit", "-p", "."]) },
  "native-tests": { title: "native-tests: the addon by itself", run: () => runIfThere("native/test.mjs") },
  tests: { title: "tests: vitest, projects unit, process and engine", run: runVitest },
};

const FIXES: Readonly<Record<string, Step>> = {
  biome: { title: "biome", run: () => runTool("biome", ["check", "--write"]) },
  oxlint: { title: "oxlint", run: () => runTool("oxlint", ["--type-aware", "--fix"]) },
  contracts: { title: "contracts", run: () => runTool("buf", ["format", "--write"]) },
  gen: { title: "gen", run: regenerate },
};

const CHECKS = ["gen", "contracts", "lint", "types"];

/** Runs the steps that the command line of `test/run.mjs` names and stops at the first that fails. Returns the exit code. */
export async function runSteps(args: readonly string[]): Promise<number> {
  if (args.includes("--long")) process.env.TEST_SCALE ??= "20";
  const names = args.filter((arg) => arg !== "--long");
  if (names[0] === "--list") {
    process.stdout.write(
      `${Object.values(STEPS)
        .map((step) => step.title)
        .join("\n")}\n`,
    );
    return 0;
  }
  const steps = chooseSteps(names);
  if (steps === undefined) {
    process.stderr.write(`Unknown step in "${names.join(" ")}". Steps: ${Object.keys(STEPS).join(", ")}.\n`);
    return 2;
  }
  return await runAll(steps);
}

function chooseSteps(names: readonly string[]): Step[] | undefined {
  if (names.length === 0 || names[0] === "all") return Object.values(STEPS);
  if (names[0] === "fix") return Object.values(FIXES);
  const wanted = names[0] === "check" ? CHECKS : names;
  const steps = wanted.map((name) => STEPS[name]);
  return steps.every((step) => step !== undefined) ? (steps as Step[]) : undefined;
}

async function runAll(steps: readonly Step[]): Promise<number> {
  const began = performance.now();
  for (const step of steps) {
    process.stdout.write(`\n── ${step.title}\n`);
    const stepBegan = performance.now();
    const { ok, output } = await step.run();
    if (output !== "") process.stdout.write(`${output.trimEnd()}\n`);
    process.stdout.write(`── ${ok ? "ok" : "FAILED"}, ${seconds(stepBegan)}\n`);
    if (!ok) {
      process.stdout.write(`\nFailed: ${step.title}. The steps after it did not run.\n`);
      return 1;
    }
  }
  process.stdout.write(`\nAll ${steps.length} steps passed in ${seconds(began)}.\n`);
  return 0;
}

function seconds(sinceMs: number): string {
  return `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;
}

function buildNative(): Outcome {
  if (!existsSync(path.join(root, "native/build.mjs"))) return { ok: true, output: "nothing to build" };
  const { ok } = runNode(["native/build.mjs"]);
  if (ok) return { ok, output: "" };
  if (process.env.CI === "true") return { ok, output: "CI=true: the addon must build" };
  return { ok: true, output: "The addon was not built; tests that need it are skipped and say so." };
}

async function checkGenerated(): Promise<Outcome> {
  const stale = staleFiles(await generateAll());
  return { ok: stale.length === 0, output: stale.length === 0 ? "" : `${stale.join("\n")}\nnpm run gen mends this.` };
}

async function regenerate(): Promise<Outcome> {
  const changed = writeGenerated(await generateAll());
  return { ok: true, output: changed.map((name) => `changed: ${name}`).join("\n") };
}

function checkContracts(): Outcome {
  return firstFailure([lintContracts, checkContractFormat, checkCompatibility]);
}

function lint(): Outcome {
  return firstFailure([
    () => runTool("biome", ["check", "--error-on-warnings"]),
    () => runTool("oxlint", ["--type-aware", "--deny-warnings"]),
  ]);
}

function firstFailure(checks: readonly (() => Outcome)[]): Outcome {
  for (const check of checks) {
    const outcome = check();
    if (!outcome.ok) return outcome;
  }
  return { ok: true, output: "" };
}

function runIfThere(script: string): Outcome {
  if (!existsSync(path.join(root, script))) return { ok: true, output: `no ${script}` };
  return runNode([script]);
}

function runVitest(): Outcome {
  const report = path.join(root, ".cache/vitest.json");
  const { ok } = runTool("vitest", ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`]);
  return { ok, output: summarize(report) };
}
