import type { OptionBase } from "#lib/base/option";

/** Engines whose models are asked in text or tokens. */
const TEXT_ENGINES = ["llama", "mock", "openengine"] as const;

/** Engines whose models take tensors, beside those of modules. */
const TENSOR_ENGINES = ["tensor", "kserve"] as const;

/** An engine of models of text. */
export type TextEngine = (typeof TEXT_ENGINES)[number];

/** An engine of models of tensors: the examples, a foreign server, or a user's module. */
export type TensorEngine = (typeof TENSOR_ENGINES)[number] | `module:${string}`;

const MODULE = "module:";

/** The option `engine`: a name, or the file of a module. */
export function engineOption(about: { readonly doc: string }): OptionBase<TextEngine | TensorEngine> {
  const names = [...TEXT_ENGINES, ...TENSOR_ENGINES];
  return {
    ...about,
    initial: "llama",
    placeholder: "NAME",
    parse(given) {
      if (isModule(given)) return given;
      return names.find((name) => name === given) ?? { expected: `one of ${names.join(", ")}, or module:FILE` };
    },
    schema: { anyOf: [{ enum: names }, { type: "string", pattern: `^${MODULE}.` }] },
  };
}

function isModule(given: string): given is `module:${string}` {
  return given.startsWith(MODULE) && given.length > MODULE.length;
}

/** Whether an engine's models take tensors. */
export function takesTensors(engine: TextEngine | TensorEngine): engine is TensorEngine {
  return !TEXT_ENGINES.some((name) => name === engine);
}

/** The file of a module; undefined for an engine that is none. */
export function moduleFile(engine: TensorEngine): string | undefined {
  return isModule(engine) ? engine.slice(MODULE.length) : undefined;
}
