import { flagOf, variableOf } from "#lib/base/option";
import type { EngineCard, EngineFact } from "#lib/engines/engine";
import type { TensorModel, TensorSpecs } from "#lib/engines/tensor/model";
import type { CliConfig } from "./command.ts";
import type { OptionKey } from "./compose/options.ts";

/** What a worker tells of its model when it is ready. */
export interface ModelReport {
  /** By which requests ask for it. */
  readonly name: string;
  /** Such as llama or mock. */
  readonly engine: string;
  /** How it is asked: one of text that has no chat template continues texts. */
  readonly asked: "chat" | "text" | "tensors";
  /** What the engine decided, in the order to show it. */
  readonly facts: readonly EngineFact[];
}

/** The option that decides a fact, by the engine and the fact's name. */
const DECIDED_BY: Readonly<Record<string, Readonly<Record<string, OptionKey>>>> = {
  llama: {
    context: "llama.context-tokens",
    threads: "llama.threads",
    device: "llama.gpu-layers",
    blocks: "llama.context-tokens",
    sampling: "default-sampling",
  },
  mock: { blocks: "mock.total-blocks" },
};

/** Reads a card. */
export function reportModel({ model, engine, artifacts, facts }: EngineCard): ModelReport {
  const asked = artifacts.some(({ kind }) => kind === "template") ? "chat" : "text";
  return { name: model, engine, asked, facts };
}

/** Reads a model of tensors. */
export function reportTensorModel(name: string, { inputs, outputs, maxBatch = 0, stream }: TensorModel): ModelReport {
  const facts: EngineFact[] = [
    { what: "takes", value: printSpecs(inputs) },
    { what: "gives", value: printSpecs(outputs) },
    ...(maxBatch > 0 ? [{ what: "batch", value: `${maxBatch} rows` }] : []),
    ...(stream ? [{ what: "answers", value: "any number of times, on a stream" }] : []),
  ];
  return { name, engine: "tensor", asked: "tensors", facts };
}

/** Reads the name of a model that somebody else computes. */
export function reportForeignModel(name: string): ModelReport {
  return { name, engine: "kserve", asked: "tensors", facts: [{ what: "computed by", value: "a foreign server" }] };
}

function printSpecs(specs: TensorSpecs): string {
  return Object.entries(specs)
    .map(([name, { datatype, shape }]) => `${name} ${datatype}[${shape.join(",")}]`)
    .join(" and ");
}

/**
 * One line, such as `stator-demo: size 17.4 MiB (19 million parameters), threads 1 (default)`. What the engine did not
 * decide by itself was an option's choice: the line names what set it.
 */
export function printModelReport({ name, engine, facts }: ModelReport, config: Pick<CliConfig, "sources">): string {
  const told = facts.map(({ what, value, by }) => {
    const key = DECIDED_BY[engine]?.[what];
    const decided = by ?? (key && printSource(key, config));
    return `${what} ${value}${decided === undefined ? "" : ` (${decided})`}`;
  });
  return `${name}: ${told.join(", ")}`;
}

function printSource(key: OptionKey, { sources }: Pick<CliConfig, "sources">): string {
  const source = sources[key];
  if (source === "flag") return flagOf(key);
  if (source === "environment") return variableOf(key);
  return source === "file" ? "the configuration file" : "default";
}
