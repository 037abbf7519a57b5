import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** Where the prebuilt library and our own engine library lie; all paths are absolute. */
export interface LlamaLibraries {
  /** Folder with libllama, libggml and the CPU variants. */
  readonly libDir: string;
  /** Our `libstator-llama.so`. */
  readonly engineLibrary: string;
  /** GPU back ends whose packages are installed, best first. */
  readonly backends: readonly string[];
  readonly unavailable?: undefined;
}

/** Why the library cannot be used here, and what to do. */
export interface LlamaLibrariesMissing {
  readonly unavailable: string;
  readonly fix: string;
}

const PACKAGE = "@node-llama-cpp";

/** Back ends of the prebuilt packages: CUDA 13, CUDA 12, Vulkan. They share libggml-base with the CPU package. */
const BACKENDS = [
  ["cuda", "bins/linux-%-cuda/libggml-cuda.so"],
  ["cuda-ext", "bins/linux-%-cuda/fallback/libggml-cuda.so"],
  ["vulkan", "bins/linux-%-vulkan/libggml-vulkan.so"],
] as const;

/** Beside the sources, or above `dist/`. */
const ENGINE_PATHS = ["../../native/build/libstator-llama.so", "../../../native/build/libstator-llama.so"];

/**
 * Finds the libraries of this machine's architecture. The folder is chosen by `process.arch`: npm installs the arm64
 * package on x64 too.
 */
export function findLlamaLibraries(): LlamaLibraries | LlamaLibrariesMissing {
  const name = `${PACKAGE}/linux-${process.arch}`;
  const root = packageRoot(name);
  const libDir = root && path.join(root, "bins", `linux-${process.arch}`);
  if (process.platform !== "linux" || !libDir || !existsSync(libDir)) {
    return {
      unavailable: `The package ${name} is not installed (this is ${process.platform} ${process.arch}).`,
      fix: "Run `npm ci` on linux x64 without --omit=optional.",
    };
  }
  const engineLibrary = ENGINE_PATHS.map((each) => fileURLToPath(new URL(each, import.meta.url))).find(existsSync);
  if (!engineLibrary)
    return { unavailable: "The engine library has not been built.", fix: "Run `npm run build:native`." };
  return { libDir, engineLibrary, backends: findBackends() };
}

function findBackends(): string[] {
  return BACKENDS.flatMap(([suffix, file]) => {
    const root = packageRoot(`${PACKAGE}/linux-${process.arch}-${suffix}`);
    const found = root && path.join(root, file.replace("%", process.arch));
    return found && existsSync(found) ? [found] : [];
  });
}

/** The packages export their entry point only, which lies in dist/. */
function packageRoot(name: string): string | undefined {
  try {
    return path.dirname(path.dirname(createRequire(import.meta.url).resolve(name)));
  } catch {
    return undefined;
  }
}
