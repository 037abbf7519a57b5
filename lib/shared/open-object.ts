import { closeSync, constants, fstatSync, lstatSync, openSync, type Stats } from "node:fs";
import path from "node:path";
import { StatorError } from "#lib/base/errors";

/** Where POSIX shared memory objects are on Linux. */
export const SHARED_FOLDER = "/dev/shm";

/** Longest name of a file. */
const MOST_NAME_BYTES = 255;

/** A memory object that is open for reading and writing. */
export interface SharedObject {
  /** Of whoever opened it, who closes it. */
  readonly descriptor: number;
  /** Its length when it was opened. */
  readonly lengthBytes: number;
}

/**
 * Opens a memory object by its key, such as /input_simple or input_simple. Neither the key nor a link leads out of the
 * folder: INVALID_ARGUMENT for such a key, for a link, and for what is no regular file; NOT_FOUND when there is none.
 */
export function openObject(key: string, folder: string = SHARED_FOLDER): SharedObject {
  const file = fileOf(key, folder);
  // Without O_NONBLOCK a pipe of this name would hold the loop until somebody else opens it.
  const flags = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  let descriptor: number;
  try {
    descriptor = openSync(file, flags);
  } catch (cause) {
    throw refusal(key, cause);
  }
  const found = fstatSync(descriptor);
  if (found.isFile()) return { descriptor, lengthBytes: found.size };
  closeSync(descriptor);
  throw invalid(key, "it is no memory object");
}

/** Whether a key still stands for an object that was opened by it: nobody has put another one in its place. */
export function isStillThere(key: string, descriptor: number, folder: string = SHARED_FOLDER): boolean {
  const ours = fstatSync(descriptor);
  let now: Stats;
  try {
    now = lstatSync(fileOf(key, folder));
  } catch {
    return false;
  }
  return now.ino === ours.ino && now.dev === ours.dev;
}

function fileOf(key: string, folder: string): string {
  const name = key.startsWith("/") ? key.slice(1) : key;
  const isName = name !== "" && name !== "." && name !== ".." && !/[/\0]/.test(name);
  if (isName && Buffer.byteLength(name) <= MOST_NAME_BYTES) return path.join(folder, name);
  throw new StatorError("INVALID_ARGUMENT", {
    detail: "key: expected the name of a memory object with at most one slash, before it, such as /input_simple",
  });
}

function invalid(key: string, detail: string, cause?: unknown): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail: `The key ${key} cannot be used: ${detail}` }, { cause });
}

function refusal(key: string, cause: unknown): StatorError {
  switch ((cause as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return new StatorError("NOT_FOUND", { what: `The memory object ${key}` }, { cause });
    case "ELOOP":
      return invalid(key, "it is a link", cause);
    case "EISDIR":
    case "ENXIO":
    case "ENODEV":
      return invalid(key, "it is no memory object", cause);
    case "EACCES":
    case "EPERM":
      return invalid(key, "this process may not read and write it", cause);
    case "EMFILE":
    case "ENFILE":
      return new StatorError("OVERLOADED", { what: "open files" }, { cause });
    default:
      return new StatorError("INTERNAL", { detail: "a memory object cannot be opened" }, { cause });
  }
}
