import type { OptionBase } from "#lib/base/option";

/** Engines whose models are asked in text or tokens. */
const TEXT_ENGINES = ["llama", "mock", "openengine"] as const;

/** Engines whose models take tensors. */
const TENSOR_ENGINES = ["tensor", "kserve"] as const;

/** An engine of models of text. */
export type TextEngine = (typeof TEXT_ENGINES)[number];

/** An engine of models of tensors: the examples, or a foreign server. */
export type TensorEngine = (typeof TENSOR_ENGINES)[number];

/** A user's module, which says itself what it is when it is loaded. */
export type ModuleEngine = `module:${string}`;

/** What `--engine` may name. */
export type EngineName = TextEngine | TensorEngine | ModuleEngine;

const MODULE = "module:";

/** The option `engine`: a name, or the file of a module. */
export function engineOption(about: { readonly doc: string }): OptionBase<EngineName> {
  const names = [...TEXT_ENGINES, ...TENSOR_ENGINES];
  return {
    ...about,
    initial: "llama",
    placeholder: "NAME",
    parse(given) {
      if (isModule(given) && given.length > MODULE.length) return given;
      return names.find((name) => name === given) ?? { expected: `one of ${names.join(", ")}, or module:FILE` };
    },
    schema: { anyOf: [{ enum: names }, { type: "string", pattern: `^${MODULE}.` }] },
  };
}

/** Whether an engine is a user's module. */
export function isModule(engine: string): engine is ModuleEngine {
  return engine.startsWith(MODULE);
}

/** Whether an engine's models take tensors. */
export function takesTensors(engine: EngineName): engine is TensorEngine {
  return TENSOR_ENGINES.some((name) => name === engine);
}

/** The file of a module. */
export function moduleFile(engine: ModuleEngine): string {
  return engine.slice(MODULE.length);
}
