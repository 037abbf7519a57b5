import { realpath, stat } from "node:fs/promises";
import path from "node:path";
import { StatorError } from "#lib/base/errors";

/** Throws what is wrong with an absolute path that somebody far away names as an adapter. */
export type CheckAdapterPath = (path: string) => Promise<void>;

/** A longer file is no adapter. */
const MOST_BYTES = 4 * 1024 ** 3;

const invalid = (detail: string, cause?: unknown): StatorError =>
  new StatorError("INVALID_ARGUMENT", { detail: `adapter: source_path ${detail}` }, { cause });

/**
 * Lets a regular file below the folder pass, wherever links lead: INVALID_ARGUMENT for anything else, which says no more
 * of the machine than that. Without a folder nothing passes: FEATURE_DISABLED.
 */
export function createAdapterFolder(
  folder: string | undefined,
  limits: { mostBytes: number } = { mostBytes: MOST_BYTES },
): CheckAdapterPath {
  return async (named) => {
    if (folder === undefined) {
      const detail = "start the worker with --adapter-folder FOLDER, which holds the adapters that may be named";
      throw new StatorError("FEATURE_DISABLED", { feature: "Loading adapters by path", detail });
    }
    const [root, real] = await Promise.all([realpath(folder), realpath(named)]).catch((cause: unknown) => {
      throw invalid("expected a file below the adapter folder", cause);
    });
    if (!real.startsWith(root.endsWith(path.sep) ? root : root + path.sep))
      throw invalid("expected a file below the adapter folder");
    const found = await stat(real);
    if (!found.isFile()) throw invalid("expected a regular file");
    if (found.size > limits.mostBytes) throw invalid(`is longer than ${limits.mostBytes} bytes`);
  };
}
