import { readdir, realpath, stat } from "node:fs/promises";
import path from "node:path";
import { StatorError } from "#lib/base/errors";

/** The folder of the adapters that somebody far away may name. */
export interface AdapterFolder {
  /**
   * Lets the path of a regular file below the folder pass, wherever links lead: INVALID_ARGUMENT for anything else, which
   * says no more of the machine than that. Without a folder nothing passes: FEATURE_DISABLED.
   */
  check(path: string): Promise<void>;
  /** The path of the adapter with this name, checked. NOT_FOUND when no file is called so; otherwise as `check`. */
  find(name: string): Promise<string>;
  /** Names of all that it holds, in their order; none without a folder. At most 1024. */
  list(): Promise<string[]>;
}

/** A longer file is no adapter. */
const MOST_BYTES = 4 * 1024 ** 3;

const invalid = (detail: string, cause?: unknown): StatorError =>
  new StatorError("INVALID_ARGUMENT", { detail: `adapter: source_path ${detail}` }, { cause });

/** Ending of the file of an adapter that is found by its name. */
const ENDING = ".gguf";
/** Names that a folder tells of. */
const MOST_NAMES = 1024;

/** A folder by its path; undefined: there is none. */
export function createAdapterFolder(
  folder: string | undefined,
  limits: { mostBytes: number } = { mostBytes: MOST_BYTES },
): AdapterFolder {
  const here = (): string => {
    if (folder !== undefined) return folder;
    const detail = "start the worker with --adapter-folder FOLDER, which holds the adapters that may be named";
    throw new StatorError("FEATURE_DISABLED", { feature: "Loading adapters by path", detail });
  };
  const check = async (named: string): Promise<void> => {
    const [root, real] = await Promise.all([realpath(here()), realpath(named)]).catch((cause: unknown) => {
      throw cause instanceof StatorError ? cause : invalid("expected a file below the adapter folder", cause);
    });
    if (!real.startsWith(root.endsWith(path.sep) ? root : root + path.sep))
      throw invalid("expected a file below the adapter folder");
    const found = await stat(real);
    if (!found.isFile()) throw invalid("expected a regular file");
    if (found.size > limits.mostBytes) throw invalid(`is longer than ${limits.mostBytes} bytes`);
  };
  const list = async (): Promise<string[]> => {
    const files = folder === undefined ? [] : await filesIn(folder);
    const names = files.filter((file) => file.endsWith(ENDING)).map((file) => file.slice(0, -ENDING.length));
    return names
      .filter((name) => name !== "")
      .sort()
      .slice(0, MOST_NAMES);
  };
  return {
    check,
    list,
    async find(name) {
      const file = path.resolve(here(), `${name}${ENDING}`);
      // A name is compared and not followed: what has a slash in it is the name of no file.
      const files = await filesIn(here());
      if (name === "" || !files.includes(`${name}${ENDING}`)) {
        throw new StatorError("NOT_FOUND", { what: `A file ${name.slice(0, 128)}${ENDING} in the adapter folder` });
      }
      await check(file);
      return file;
    },
  };
}

/** A folder that is not there holds nothing. */
function filesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}
