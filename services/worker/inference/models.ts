import { StatorError } from "#lib/base/errors";
import type { TensorModel } from "#lib/engines/tensor/model";
import type { TensorFacts } from "./record.ts";
import { InferStatistics } from "./statistics.ts";

/** A model as a worker is to serve it. */
export interface NamedModel {
  /** In requests. */
  readonly name: string;
  /** Other names for it. */
  readonly aliases: readonly string[];
  /** It is opened by whoever serves it. */
  readonly model: TensorModel;
}

/** A model that a worker serves. */
export interface ServedModel extends NamedModel {
  /** Such as 1. */
  readonly version: string;
  /** What it did. */
  readonly statistics: InferStatistics;
  /** What others are told of it. */
  readonly facts: TensorFacts;
}

/** The models of a worker, by all their names. */
export class ServedModels {
  /** In the order in which they were given. */
  readonly all: readonly ServedModel[];
  readonly #byName: ReadonlyMap<string, ServedModel>;

  /** Throws BAD_CONFIG when two have the same name. */
  constructor(models: readonly NamedModel[], createdUnixSeconds: number) {
    this.all = models.map((named) => serve(named, createdUnixSeconds));
    const byName = new Map<string, ServedModel>();
    for (const served of this.all) {
      for (const name of [served.name, ...served.aliases]) {
        if (byName.has(name)) throw new StatorError("BAD_CONFIG", { detail: `Two models are called ${name}.` });
        byName.set(name, served);
      }
    }
    this.#byName = byName;
  }

  /** The model that a request names. Throws MODEL_NOT_FOUND, also for another version, INVALID_ARGUMENT for what is none. */
  find(name: string, version: string): ServedModel {
    const served = this.#byName.get(name);
    if (!served) throw new StatorError("MODEL_NOT_FOUND", { model: name });
    if (version === "" || version === served.version) return served;
    if (!/^\d{1,19}$/.test(version)) {
      const detail = `failed to get model version from specified version string '${version.slice(0, 64)}', which is no whole number`;
      throw new StatorError("INVALID_ARGUMENT", { detail });
    }
    throw new StatorError("MODEL_NOT_FOUND", { model: name, hint: ` It has the version ${served.version} alone.` });
  }
}

function serve(named: NamedModel, createdUnixSeconds: number): ServedModel {
  const { name, aliases, model } = named;
  const { platform = "stator", version = 1, stream } = model;
  const facts = { name, aliases, platform, decoupled: stream !== undefined, createdUnixSeconds };
  return { ...named, version: String(version), statistics: new InferStatistics(), facts };
}
