import { StatorError } from "#lib/base/errors";
import { type EngineName, isModule, takesTensors } from "./engine-option.ts";
import type { ModelEntry } from "./model-entry.ts";
import { shareModels } from "./model-shares.ts";

/** A worker of a tree. */
export interface WorkerShare {
  /** Its name on the board, such as worker-1 or prefill-1. */
  readonly name: string;
  /** As its option says. */
  readonly role: "aggregated" | "prefill" | "decode";
  /** What it serves; none is the demo model, all models of tensors, or what a module says. */
  readonly models: readonly ModelEntry[];
}

/** What the workers of a tree are to be. */
export interface WantedWorkers {
  /** Those that do all of an answer; undefined when nobody said so. */
  readonly workers: number | undefined;
  /** Those that compute prompts alone. */
  readonly prefill: number;
  /** Those that go on from there. */
  readonly decode: number;
  /** The one of all. */
  readonly engine: EngineName;
  /** None is the demo model. */
  readonly models: readonly ModelEntry[];
  /** Name for the one model. */
  readonly modelName: string | undefined;
}

/** Workers when nobody said how many. */
const USUAL_WORKERS = 2;
/** Processes that a machine is taken to have room for. */
const MOST_WORKERS = 64;
/** What each role is called on the board. */
const NAMES = { aggregated: "worker", prefill: "prefill", decode: "decode" } as const;

/**
 * The workers of a tree, with the models shared out among those of each role: at least one each. Who asks for roles and
 * names no other workers gets no others. Throws BAD_CONFIG for what cannot answer, and as `shareModels`.
 */
export function shareWorkers({ workers, prefill, decode, ...served }: WantedWorkers): WorkerShare[] {
  const aggregated = workers ?? (prefill + decode > 0 ? 0 : USUAL_WORKERS);
  if (aggregated + prefill + decode > MOST_WORKERS) {
    throw wrong(`--workers: up starts at most ${MOST_WORKERS} on one machine.`);
  }
  if (aggregated + decode === 0) throw wrong("--prefill: who computes prompts alone answers nothing; add --decode 1.");
  if (prefill + decode > 0 && takesTensors(served.engine)) {
    throw wrong(`--prefill and --decode: the engine ${served.engine} serves tensors, whose requests have no parts.`);
  }
  const share = (role: WorkerShare["role"], count: number) => {
    if (count === 0) return [];
    return modelsOf(served, count).map((models, at) => ({ name: `${NAMES[role]}-${at + 1}`, role, models }));
  };
  return [...share("aggregated", aggregated), ...share("prefill", prefill), ...share("decode", decode)];
}

/** The models of each of so many workers: one of text each, all of tensors, and all that are to be a module's. */
function modelsOf(
  { engine, models, modelName }: Pick<WantedWorkers, "engine" | "models" | "modelName">,
  workers: number,
) {
  if (takesTensors(engine) || isModule(engine)) return new Array<readonly ModelEntry[]>(workers).fill(models);
  return shareModels({ models, engine, modelName, workers }).map((entry) => (entry ? [entry] : []));
}

function wrong(detail: string): StatorError {
  return new StatorError("BAD_CONFIG", { detail });
}
