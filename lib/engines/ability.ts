import { StatorError } from "#lib/base/errors";
import type { Admission, Engine, EngineCapabilities, EngineRequest, LoadedAdapter } from "./engine.ts";

/** What each ability is called for people, and the capability that tells of it. */
const ABILITIES = {
  text: { feature: "Text as input", capability: undefined },
  adapters: { feature: "LoRA", capability: "lora" },
  blocks: { feature: "Moving KV blocks", capability: "kvBlocks" },
  embeddings: { feature: "Embedding", capability: "embed" },
  cache: { feature: "Clearing the cache", capability: undefined },
} as const satisfies Readonly<
  Record<string, { readonly feature: string; readonly capability: keyof EngineCapabilities | undefined }>
>;

/** What an engine may have beyond its core. */
export type Ability = keyof typeof ABILITIES;

/** What an engine adds. Throws UNSUPPORTED_FEATURE with the engine's own reason when it does not. */
export function requireAbility<Name extends Ability>(engine: Engine, name: Name): NonNullable<Engine[Name]> {
  const ability = engine[name];
  if (ability !== undefined) return ability;
  const { feature, capability } = ABILITIES[name];
  const detail = (capability && engine.card.capabilities.missing[capability]) ?? "its engine has none of it";
  throw new StatorError("UNSUPPORTED_FEATURE", { feature, detail });
}

/** Gives a request to the part of an engine that takes its kind. Throws as `Engine.submit` does. */
export function submitTo(engine: Engine, request: EngineRequest): Admission | "later" {
  return request.kind === "embed" ? requireAbility(engine, "embeddings").submit(request) : engine.submit(request);
}

/** The adapters that an engine has loaded. */
export function adaptersOf({ adapters }: Engine): readonly LoadedAdapter[] {
  return adapters?.list() ?? [];
}
