import { createHash, randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import type { Language } from "#lib/stubs/recipe";
import { planStubs, type StubPlan } from "#lib/stubs/stub-plan";
import { readContracts } from "#services/cli/stubs/contracts";
import { runTool } from "#services/cli/stubs/run-tool";
import { openTools, toolCacheFolder } from "#services/cli/stubs/tool-cache";
import { VERSION } from "#services/cli/version";
import { root } from "../../tools/run-tool.ts";
import type { RunnerPlace } from "./compiled-runners.ts";
import type { CorpusRunner } from "./corpus-runner.ts";
import { CORPUS_RUNNERS, type RunnerRow } from "./corpus-runners.ts";
import { makeStubs, stubEnvironment } from "./stub-packages.ts";

/** Bounds on a build command: Rust compiles its libraries in minutes. */
const STEP = { places: {}, timeoutMs: 900_000, maxBytes: 16_777_216 } as const;
/** A runner that was made so long ago goes when another one of its language is made. */
const KEPT_MS = 7 * 86_400_000;

/**
 * The runner of a language. It is built with its package of stubs when that was not done before from the same contracts, pins
 * and sources, and kept beside the tools: a second run starts at once. Throws when stubs or runner cannot be made.
 */
export async function openRunner(language: Language): Promise<CorpusRunner> {
  const row = CORPUS_RUNNERS[language];
  const sources = path.join(root, "test/contract", language);
  const plan = planStubs({ language, foreign: true }, await readContracts(), VERSION);
  const cache = { folder: toolCacheFolder(), progress: () => {} };
  const tools = await openTools(language, plan.recipe.tools({ arch: process.arch })!, process.arch, cache);
  const folder = path.join(cache.folder, `corpus-${language}-${keyOf({ plan, row, sources, tools })}`);
  if (!existsSync(folder)) await makeRunner(language, row, { folder, sources });
  const place = placeIn(folder, sources);
  const env = { ...stubEnvironment(language, { folder: place.stubs, tools }), ...row.env?.(place) };
  return { argv: row.run(place), env };
}

interface Ingredients {
  readonly plan: StubPlan;
  readonly row: RunnerRow;
  readonly sources: string;
  /** Folder of the tools, whose name says what is in it. */
  readonly tools: string;
}

function keyOf({ plan, row, sources, tools }: Ingredients): string {
  const { recipe, project, image, files } = plan;
  const machine = { arch: process.arch };
  const commands = row.build(placeIn("", ""));
  const generators = recipe.generators(project.name, machine);
  const key = createHash("sha256")
    .update(JSON.stringify({ generators, files, commands, machine, tools }))
    .update(image);
  for (const name of readdirSync(sources, { recursive: true, encoding: "utf8" }).sort()) {
    const file = path.join(sources, name);
    if (statSync(file).isFile()) key.update(`\0${name}\0`).update(readFileSync(file));
  }
  return key.digest("hex").slice(0, 16);
}

function placeIn(folder: string, sources: string): RunnerPlace {
  return { stubs: path.join(folder, "stubs"), build: path.join(folder, "build"), sources };
}

/** Builds aside and moves, so that nobody sees a half of it; where two build at once, the first one's is kept. */
async function makeRunner(
  language: Language,
  row: RunnerRow,
  { folder, sources }: { readonly folder: string; readonly sources: string },
): Promise<void> {
  const scratch = path.join(path.dirname(folder), `new-${randomUUID()}`);
  const place = placeIn(scratch, sources);
  try {
    mkdirSync(place.build, { recursive: true });
    const { env } = await makeStubs(language, place.stubs);
    for (const words of row.build(place)) {
      const lines: string[] = [];
      const run = { ...STEP, folder: place.stubs, onLine: (line: string) => lines.push(line) };
      const { failure, output } = await runTool({ words, env }, run);
      if (failure !== "") throw new Error(`${words.join(" ")} ${failure}\n${output}${lines.join("\n")}`);
    }
    sweep(path.dirname(folder), language);
    if (!existsSync(folder)) renameSync(scratch, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function sweep(cache: string, language: Language): void {
  for (const name of readdirSync(cache).filter((each) => each.startsWith(`corpus-${language}-`))) {
    const made = statSync(path.join(cache, name), { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY;
    if (made < Date.now() - KEPT_MS) rmSync(path.join(cache, name), { recursive: true, force: true });
  }
}
