import { flagOf, variableOf } from "#lib/base/option";
import type { EngineCard, EngineFact } from "#lib/engines/engine";
import type { CliConfig } from "./command.ts";
import type { OptionKey } from "./compose/options.ts";

/** What a worker tells of its model when it is ready. */
export interface ModelReport {
  /** By which requests ask for it. */
  readonly name: string;
  /** Such as llama or mock. */
  readonly engine: string;
  /** Whether it has a chat template; one without continues texts. */
  readonly chats: boolean;
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
  return { name: model, engine, chats: artifacts.some(({ kind }) => kind === "template"), facts };
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
