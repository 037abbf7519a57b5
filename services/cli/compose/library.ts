import { StatorError } from "#lib/base/errors";
import type { Values } from "#lib/base/option";
import type { EngineCard } from "#lib/engines/engine";
import { resolveConfig } from "#lib/host/config/resolve";
import { type Log, silentLog } from "#lib/host/log";
import { Scope } from "#lib/host/scope";
import type { ProcessContext } from "../command.ts";
import { engineRecipe } from "./engine.ts";
import type { EngineRecipe } from "./engine-recipe.ts";
import { openFrontendProcess } from "./frontend.ts";
import { OPTIONS } from "./options.ts";
import { openWorker } from "./worker.ts";

// What a program gets that imports the package as `stator`: what the commands start, in a process of somebody else's.

export type {
  Admission,
  Engine,
  EngineAdapters,
  EngineCapabilities,
  EngineEmbeddings,
  EngineListener,
  EngineRequest,
  EngineStep,
  EngineText,
} from "#lib/engines/engine";
export type { BlockStore, IncomingBlocks, PinnedRun, WantedBlocks } from "#lib/transfer/block-store";
export type { EngineCard, EngineRecipe, Log };
export { StatorError };

/** Options by their keys, as the reference page of the configuration has them. What is left out has its default. */
export type StatorOptions = Partial<Values<typeof OPTIONS>>;

/** What a program gives beside options. */
export interface Surroundings {
  /** Nothing is logged unless given; `log.level` and `log.format` are for processes of their own. */
  readonly log?: Log;
}

/** Something that serves in this process. */
export interface Serving {
  /** host:port of the OpenAI API of a frontend, of the gRPC port of a worker. */
  readonly address: string;
  /** Finishes what runs, for `drain-ms` at most, and gives everything back. */
  close(): Promise<void>;
}

/** A worker in this process. */
export interface ServingWorker extends Serving {
  /** What the engine says of itself, as it was when it was opened. */
  readonly card: EngineCard;
  /** Resolves when the engine cannot go on. */
  readonly failed: Promise<void>;
}

/** What a program gives beside options for a worker. */
export interface WorkerSurroundings extends Surroundings {
  /** An engine of its own; unless given, the one that the options say. */
  readonly engine?: EngineRecipe;
  /** Told how much of the model is loaded, 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
  /** Ends a load that nobody waits for any more. */
  readonly signal?: AbortSignal;
}

/**
 * Serves the OpenAI API over the workers that `discovery` knows; models appear and disappear while it runs. No variable and
 * no file is read. Throws BAD_CONFIG for what no option may be, PORT_IN_USE, UNAVAILABLE without its discovery.
 */
export async function createFrontend(options: StatorOptions, { log }: Surroundings = {}): Promise<Serving> {
  const context = createContext("frontend", options, log);
  const { discovery, "drain-ms": drainMs } = context.values;
  return await closedUnlessOpen(context.scope, async () => {
    if (discovery === undefined)
      throw new StatorError("BAD_CONFIG", { detail: "A frontend needs the option discovery." });
    const { address, drain } = await openFrontendProcess(context, { discovery });
    return { address, close: () => drain(drainMs).then(() => context.scope.close()) };
  });
}

/**
 * Serves one engine behind the link, openengine.v1 and artifacts, registered with `discovery` where it is given. Resolves
 * when its model is loaded. No variable and no file is read. Throws BAD_CONFIG for what no option may be, what the engine
 * throws, PORT_IN_USE, and CANCELLED when the signal ended the load.
 */
export async function createWorker(options: StatorOptions, parts: WorkerSurroundings = {}): Promise<ServingWorker> {
  const { signal, onProgress = () => {} } = parts;
  const context = createContext("worker", options, parts.log);
  const stopped = new Promise<string>((resolve) => {
    if (signal?.aborted) resolve("aborted");
    signal?.addEventListener("abort", () => resolve("aborted"));
  });
  return await closedUnlessOpen(context.scope, async () => {
    const recipe = parts.engine ?? (await engineRecipe(context));
    const opened = await openWorker(context, { recipe, onProgress, stopped });
    if (!opened) throw new StatorError("CANCELLED");
    const { address, engine, failed, drain } = opened;
    const close = () => drain(context.values["drain-ms"]).then(() => context.scope.close());
    return { address, card: engine.card, failed, close };
  });
}

function createContext(name: string, options: StatorOptions, log: Log = silentLog): ProcessContext {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const { values } = resolveConfig(OPTIONS, { args: [], env: {}, file: given }).config;
  return { values, scope: new Scope(name, log), log };
}

/** Gives back what was opened before something could not be. */
async function closedUnlessOpen<Opened>(scope: Scope, open: () => Promise<Opened>): Promise<Opened> {
  try {
    return await open();
  } catch (error) {
    await scope.close();
    throw error;
  }
}
