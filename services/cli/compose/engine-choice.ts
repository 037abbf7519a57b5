import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { StatorError } from "#lib/base/errors";
import { loadNative, nativeUnavailable } from "#lib/native/addon";
import { locateLlama } from "#lib/native/location";
import type { TextEngine } from "../engine-option.ts";

/** Which engine runs, and what to tell people. */
export interface EngineChoice {
  /** The one that can run here. */
  readonly engine: TextEngine;
  /** Why a mock takes the place of llama, and what to do, in lines; undefined when none does. */
  readonly notice: string | undefined;
}

const BUILD_SCRIPT = fileURLToPath(new URL("../../../native/build.mjs", import.meta.url));

/** Whether the llama engine can start here: the sentence says why not and what to do. */
export function llamaUnavailable(): { readonly detail: string; readonly hint: string } | undefined {
  const location = locateLlama();
  const missing = location.unavailable === undefined ? loadNative() : location;
  return missing.unavailable === undefined ? undefined : nativeUnavailable(missing);
}

/**
 * Chooses llama when it can run, building the addon once if it is missing. Without a compiler a mock takes its place and
 * says so; when llama was asked for by name that is NATIVE_UNAVAILABLE instead.
 */
export async function chooseEngine(wanted: TextEngine, asked: boolean): Promise<EngineChoice> {
  if (wanted !== "llama") return { engine: wanted, notice: undefined };
  let missing = llamaUnavailable();
  if (missing && existsSync(BUILD_SCRIPT)) {
    process.stderr.write("Building the native addon (once) …\n");
    spawnSync(process.execPath, [BUILD_SCRIPT], { stdio: ["ignore", "ignore", "inherit"] });
    missing = llamaUnavailable();
  }
  if (!missing) return { engine: "llama", notice: undefined };
  if (asked) throw new StatorError("NATIVE_UNAVAILABLE", missing);
  const notice = [
    `The llama engine is not available: ${missing.detail}.`,
    missing.hint,
    "A mock serves in its place: its answers are made up, and its model's name says so.",
  ];
  return { engine: "mock", notice: notice.join("\n") };
}
