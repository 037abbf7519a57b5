import { StatorError } from "#lib/base/errors";
import { nearest } from "#lib/base/nearest";
import type { TensorModel } from "#lib/engines/tensor/model";
import type { NamedModel } from "#services/worker/inference/models";
import type { CommandContext } from "../command.ts";
import type { ModelEntry } from "../model-entry.ts";

/**
 * The models of tensors that a worker is to serve: those that `--model` names of what there is, the examples or those of a
 * module; all where it names none. Throws BAD_CONFIG for a name that there is not.
 */
export function readTensorModels(
  there: readonly TensorModel[],
  values: Pick<CommandContext["values"], "model" | "model-name">,
): readonly NamedModel[] {
  const names = there.map(({ name }) => name);
  const entries: readonly ModelEntry[] = values.model.length > 0 ? values.model : names.map((file) => ({ file }));
  const renamed = values["model-name"];
  if (renamed !== undefined && entries.length > 1) {
    throw new StatorError("BAD_CONFIG", { detail: "--model-name names one model; say with --model which one." });
  }
  return entries.map(({ file: wanted, name, aliases = [] }) => {
    const model = there.find((each) => each.name === wanted);
    if (model) return { name: renamed ?? name ?? model.name, aliases, model };
    const near = nearest(wanted, names);
    const hint = near === undefined ? `There are ${names.join(", ")}.` : `Did you mean ${near}?`;
    throw new StatorError("BAD_CONFIG", { detail: `--model: there is no model of tensors ${wanted}. ${hint}` });
  });
}
