import { StatorError } from "#lib/base/errors";
import type { Engine } from "#lib/engines/engine";
import { type LoadedModule, loadModule } from "#lib/engines/module/load-module";
import { mistakeInEngine } from "#lib/engines/module/mistakes";
import { readTextEngineLimits } from "#lib/engines/module/options";
import { openTextEngine } from "#lib/engines/module/text-adapter";
import type { EngineGiven, OpenEngine } from "#lib/engines/module/text-engine";
import { systemClock } from "#lib/host/system-clock";
import type { ProcessContext } from "../command.ts";
import { type ModuleEngine, moduleFile } from "../engine-option.ts";
import type { EngineRecipe } from "./engine-recipe.ts";

/** What the module of an engine is. Throws what `loadModule` throws. */
export function readModule(engine: ModuleEngine): Promise<LoadedModule> {
  return loadModule(moduleFile(engine));
}

/** How the engine of a user's module is opened. Throws BAD_CONFIG for one that has models of tensors. */
export function moduleRecipe(
  { values, log }: ProcessContext,
  { engine, module }: { readonly engine: ModuleEngine; readonly module: LoadedModule },
): EngineRecipe {
  if (module.kind === "tensor") {
    const detail = `The module ${moduleFile(engine)} serves tensors, and a text model is asked for.`;
    throw new StatorError("BAD_CONFIG", { detail });
  }
  const [entry, ...more] = values.model;
  if (more.length > 0) {
    throw new StatorError("BAD_CONFIG", {
      detail: "A worker of a module serves one model: give one --model, or none.",
    });
  }
  const named = values["model-name"] ?? entry?.name;
  return {
    engine: "module",
    model: named ?? (module.kind === "text" ? module.engine.name : ""),
    aliases: entry?.aliases ?? [],
    async open(onProgress, signal) {
      const given: EngineGiven = { model: named, modelPath: entry?.file, signal, log, onProgress };
      if (module.kind === "engine") return await openOwn(module.open, given, moduleFile(engine));
      return await openTextEngine(module.engine, {
        given,
        clock: systemClock,
        log,
        limits: readTextEngineLimits(values),
      });
    },
  };
}

/** Throws BAD_MODEL_FILE for what is no engine, and what the module throws. */
async function openOwn(open: OpenEngine, given: EngineGiven, file: string): Promise<Engine> {
  const refuse = (detail: string, cause?: unknown): StatorError => {
    const hint = "docs/engines.md shows an engine.";
    return new StatorError("BAD_MODEL_FILE", { path: file, detail, hint }, { cause });
  };
  let engine: Engine;
  try {
    engine = await open(given);
  } catch (cause) {
    if (cause instanceof StatorError || given.signal.aborted) throw cause;
    throw refuse(
      `its default export threw: ${cause instanceof Error ? cause.message.replace(/\.$/, "") : "something"}`,
      cause,
    );
  }
  const mistake = mistakeInEngine(engine);
  if (mistake !== undefined) throw refuse(mistake);
  if (given.model === undefined || engine.card.model === given.model) return engine;
  await engine.close();
  throw refuse(
    `its card says the model ${engine.card.model}, and it is to be served as ${given.model}: take the name that it is given`,
  );
}
