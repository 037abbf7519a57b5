import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { StatorError } from "#lib/base/errors";
import { readPluginAnswer } from "#lib/stubs/plugin-answer";
import type { Generator, Project, ToolSet } from "#lib/stubs/recipe";
import { planStubs, type StubPlan, type StubWish } from "#lib/stubs/stub-plan";
import { checkNewFolder, fillNewFolder, type NewFolder } from "../new-folder.ts";
import { VERSION } from "../version.ts";
import { readContracts } from "./contracts.ts";
import { runTool, type ToolRun } from "./run-tool.ts";
import { openTools, type ToolCache, toolCacheFolder } from "./tool-cache.ts";

/** What `generateStubs` is asked for. */
export interface StubOrder extends StubWish {
  /** The folder that becomes the package: absent or empty. */
  readonly out: string;
  /** A FileDescriptorSet of the contracts, such as those of a release; those of this program when absent. */
  readonly contracts?: Uint8Array | undefined;
  /** Where tools are kept; the usual place when absent. */
  readonly cacheFolder?: string | undefined;
  /** Told what takes long, a line at a time. */
  progress?(line: string): void;
  /** Ends what is under way; nothing is written then. */
  readonly signal?: AbortSignal | undefined;
}

/** A package that was made. */
export interface StubPackage {
  /** What is in it. */
  readonly project: Project;
  /** Where it is, absolute. */
  readonly folder: string;
  /** The folder of the tools, whose libraries may run what was made. */
  readonly tools: string;
}

/** Bounds on one run of a tool. */
const GENERATION = { timeoutMs: 120_000, maxBytes: 268_435_456 } as const;

/**
 * Makes a package of stubs: the whole of it appears at once, or nothing. Throws BAD_CONFIG for a name or a folder that
 * cannot be, and TOOL_UNUSABLE for tools.
 */
export async function generateStubs(order: StubOrder): Promise<StubPackage> {
  const folder = path.resolve(order.out);
  const place: NewFolder = { folder, named: "--out " };
  checkNewFolder(place);
  const plan = planStubs(order, order.contracts ?? (await readContracts(order.signal)), VERSION);
  const cache: ToolCache = {
    folder: order.cacheFolder ?? toolCacheFolder(),
    progress: (line) => order.progress?.(line),
    signal: order.signal,
  };
  const tools = await openTools(plan.recipe.language, toolsOf(plan), process.arch, cache);
  await fillNewFolder(place, (scratch) => writePackage(plan, { tools, scratch, signal: order.signal }));
  return { project: plan.project, folder, tools };
}

function toolsOf({ recipe }: StubPlan): ToolSet {
  const set = recipe.tools({ arch: process.arch });
  if (set !== undefined) return set;
  const detail = `are not there for the processor ${process.arch}`;
  const hint = "Make the stubs on x64 or arm64; the package is the same everywhere.";
  throw new StatorError("TOOL_UNUSABLE", { tool: `Plugins for ${recipe.title}`, detail, hint });
}

/** Where a package is being made. */
interface Workshop {
  readonly tools: string;
  readonly scratch: string;
  readonly signal: AbortSignal | undefined;
}

async function writePackage(plan: StubPlan, workshop: Workshop): Promise<void> {
  for (const generator of plan.recipe.generators(plan.project.name, { arch: process.arch })) {
    await checkVersion(generator, workshop);
    await (generator.kind === "plugin" ? runPlugin : runCompiler)(generator, plan, workshop);
  }
  for (const [name, text] of Object.entries(plan.files)) writeNew(workshop.scratch, name, text);
  const { descriptors } = plan.recipe;
  if (descriptors !== undefined) writeNew(workshop.scratch, descriptors, plan.descriptors);
}

async function checkVersion({ title, probe }: Generator, workshop: Workshop): Promise<void> {
  if (probe === undefined) return;
  const { failure, output } = await runTool(probe.command, toolRun(workshop));
  if (failure !== "") throw unusable(title, failure, workshop);
  const said = output.toString().trim();
  if (`${said} `.includes(`${probe.expected} `)) return;
  throw unusable(title, `says that it is ${JSON.stringify(said.slice(0, 80))}, not ${probe.expected.trim()}`, workshop);
}

async function runPlugin(generator: Generator, plan: StubPlan, workshop: Workshop): Promise<void> {
  const { title, command, parameter, under } = generator;
  const { failure, output } = await runTool(command, { ...toolRun(workshop), input: plan.request(parameter) });
  if (failure !== "") throw unusable(title, failure, workshop);
  for (const [name, text] of readPluginAnswer(title, output)) {
    writeNew(path.join(workshop.scratch, under), name, text);
  }
}

async function runCompiler(generator: Generator, plan: StubPlan, workshop: Workshop): Promise<void> {
  const { title, command, under } = generator;
  const image = path.join(workshop.scratch, ".image.binpb");
  const out = path.join(workshop.scratch, under);
  writeFileSync(image, plan.image);
  mkdirSync(out, { recursive: true });
  const line = { ...command, words: [...command.words, ...plan.sources] };
  const { failure } = await runTool(line, toolRun(workshop, { image, out }));
  rmSync(image);
  if (failure !== "") throw unusable(title, failure, workshop);
  if (readdirSync(out).length === 0) throw unusable(title, "wrote nothing", workshop);
}

function toolRun({ tools, scratch, signal }: Workshop, places: Readonly<Record<string, string>> = {}): ToolRun {
  return { places: { tools, ...places }, folder: scratch, signal, ...GENERATION };
}

function unusable(tool: string, detail: string, { tools }: Workshop): StatorError {
  return new StatorError("TOOL_UNUSABLE", { tool, detail, hint: `Delete ${tools} and try again: it is made anew.` });
}

function writeNew(folder: string, name: string, content: string | Uint8Array): void {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content, { flag: "wx" });
}
