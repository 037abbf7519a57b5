import { StatorError } from "#lib/base/errors";
import { modelNameOf } from "#lib/engines/llama/llama-card";
import type { TextEngine } from "./engine-option.ts";
import type { ModelEntry } from "./model-entry.ts";

/** What is to be served, and by how many. */
export interface Shares {
  /** None is the demo model. */
  readonly models: readonly ModelEntry[];
  /** The one of all workers. */
  readonly engine: TextEngine;
  /** Name for the one model. */
  readonly modelName: string | undefined;
  /** At least 1; fewer than there are models become as many. */
  readonly workers: number;
}

/**
 * The model of each worker, undefined for the demo model: the models in turn, so that shares differ by one at most, and at
 * least one worker each. Throws BAD_CONFIG when two are called the same.
 */
export function shareModels(shares: Shares): (ModelEntry | undefined)[] {
  const { models, engine, modelName, workers } = shares;
  if (models.length > 1 && modelName !== undefined) {
    throw wrong("--model-name names one model; name several in the file, each as a mapping with file and name");
  }
  const named = models.length > 1 ? models.map((entry) => ({ ...entry, name: nameOf(entry, engine) })) : models;
  const names = named.flatMap(({ name, aliases = [] }) => [...(name === undefined ? [] : [name]), ...aliases]);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined)
    throw wrong(`Two models are called ${twice}; name each in the file, as a mapping with file and name`);
  const count = Math.max(workers, named.length);
  return Array.from({ length: count }, (_, at) => named[at % Math.max(1, named.length)]);
}

/** Several mocks are told apart by the file whose words they borrow, and still say what they are. */
function nameOf({ file, name }: ModelEntry, engine: Shares["engine"]): string {
  return name ?? (engine === "mock" ? `${modelNameOf(file)}-mock` : modelNameOf(file));
}

function wrong(sentence: string): StatorError {
  return new StatorError("BAD_CONFIG", { detail: `${sentence}.` });
}
