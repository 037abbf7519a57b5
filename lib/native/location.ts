import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { BUILD_COMMAND } from "./addon.ts";
import type { LlamaOptions } from "./llama.ts";

/** Where the library's parts lie, or one sentence saying what is missing and what to do. */
export type LlamaLocation =
  | { readonly options: LlamaOptions; readonly unavailable?: undefined }
  | { readonly options?: undefined; readonly unavailable: string; readonly fix: string };

const ENGINE_PATHS = ["../../native/build/libstator-llama.so", "../../../native/build/libstator-llama.so"];

/** Packages that may bring a back end, in the order in which they are tried. */
const BACKENDS = [
  { suffix: "-cuda", path: "libggml-cuda.so" },
  { suffix: "-cuda-ext", folder: "-cuda", path: "fallback/libggml-cuda.so" },
  { suffix: "-vulkan", path: "libggml-vulkan.so" },
] as const;

/** The folder with the shared libraries of an installed package of prebuilt libraries. */
function packageLibDir(name: string, folder: string): string | undefined {
  try {
    const main = createRequire(import.meta.url).resolve(`@node-llama-cpp/${name}`);
    const found = join(dirname(main), "..", "bins", folder);
    return existsSync(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Finds the prebuilt libraries of this machine's architecture, our engine library and every back end that is installed.
 * The folder is chosen by `process.arch`: the packages of other architectures may be installed as well.
 */
export function locateLlama(): LlamaLocation {
  const name = `linux-${process.arch}`;
  const libDir = process.platform === "linux" ? packageLibDir(name, name) : undefined;
  if (libDir === undefined) {
    return { unavailable: `There is no prebuilt llama.cpp for ${process.platform}-${process.arch}.`, fix: "npm ci" };
  }
  const engineLibrary = ENGINE_PATHS.map((each) => fileURLToPath(new URL(each, import.meta.url))).find(existsSync);
  if (engineLibrary === undefined) {
    return { unavailable: "The native engine library has not been built.", fix: BUILD_COMMAND };
  }
  const backends = BACKENDS.flatMap((each) => {
    const folder = packageLibDir(`${name}${each.suffix}`, `${name}${"folder" in each ? each.folder : each.suffix}`);
    return folder === undefined ? [] : [join(folder, each.path)];
  });
  return { options: { libDir, engineLibrary, backends } };
}
