import { access } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { StatorError } from "#lib/base/errors";
import { mistakeInModels, tensorModelsOf } from "../tensor/mistakes.ts";
import type { TensorModel } from "../tensor/model.ts";
import { isTextEngine, mistakeInText } from "./mistakes.ts";
import type { OpenEngine, TextEngine } from "./text-engine.ts";

/** What a module of a user turned out to be. */
export type LoadedModule =
  | { readonly kind: "tensor"; readonly models: readonly TensorModel[] }
  | { readonly kind: "text"; readonly engine: TextEngine }
  | { readonly kind: "engine"; readonly open: OpenEngine };

/** What it may export, in a sentence. */
const KINDS =
  "Export as the default an engine of text (name and generate) or a function that opens an engine, or export models of tensors; docs/engines.md and docs/kserve-tensor-models.md show each.";

/**
 * Imports a file, which runs it, and decides what it is: its default export may be a function that opens an engine or an
 * engine of text; else each export with inputs, outputs and one of infer and stream is a model of tensors. Throws
 * FILE_NOT_FOUND; BAD_MODEL_FILE when it cannot be imported, is none of these, several at once, or has a mistake.
 */
export async function loadModule(file: string): Promise<LoadedModule> {
  const place = path.resolve(file);
  await access(place).catch((cause: unknown) => {
    const hint = "--engine module:FILE names a file of JavaScript or TypeScript.";
    throw new StatorError("FILE_NOT_FOUND", { path: file, hint }, { cause });
  });
  const found = decide(await importFile(place, file));
  if (typeof found === "string") throw bad(file, found);
  return found;
}

async function importFile(place: string, file: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(pathToFileURL(place).href)) as Readonly<Record<string, unknown>>;
  } catch (cause) {
    const hint = "`node FILE` of Node 24 shows the place.";
    throw bad(file, `it cannot be imported: ${wordsOf(cause)}`, { hint, cause });
  }
}

/** The first line of what was thrown: what follows shows the source. */
function wordsOf(cause: unknown): string {
  const [first = ""] = cause instanceof Error ? cause.message.trim().split("\n") : [];
  return first === "" ? "it threw" : first.replace(/\.$/, "");
}

function decide(exported: Readonly<Record<string, unknown>>): LoadedModule | string {
  const { default: main } = exported;
  const models = tensorModelsOf(exported);
  const isEngine = typeof main === "function" || isTextEngine(main);
  if (isEngine && models.length > 0) return "it exports an engine and models of tensors: a worker serves one of both";
  if (models.length > 0) {
    return mistakeInModels(models) ?? { kind: "tensor", models: models.map(([, model]) => model) };
  }
  if (isTextEngine(main)) return mistakeInText(main) ?? { kind: "text", engine: main };
  if (typeof main === "function") {
    const isClass = /^class\b/.test(Function.prototype.toString.call(main));
    if (isClass) return "its default export is a class: export a function that makes one, `(given) => new …(given)`";
    return { kind: "engine", open: main as OpenEngine };
  }
  const engine = Object.entries(exported).find(([, value]) => isTextEngine(value));
  if (engine) return `its engine ${engine[0]} is no default export: write \`export default\``;
  if (main === undefined)
    return "it has no default export and exports no object with inputs, outputs and infer or stream";
  return "its default export is neither a function nor an object with name and generate";
}

function bad(
  file: string,
  detail: string,
  { hint = KINDS, cause }: { readonly hint?: string; readonly cause?: unknown } = {},
): StatorError {
  return new StatorError("BAD_MODEL_FILE", { path: file, detail, hint }, { cause });
}
