import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { StatorError } from "#lib/base/errors";

/** A folder that is to be made, and how its user named it, such as --out. */
export interface NewFolder {
  /** Absolute. */
  readonly folder: string;
  /** For sentences, with the space behind it; empty for an argument. */
  readonly named: string;
}

/** Throws BAD_CONFIG for a folder that is there and not empty, and for a file. */
export function checkNewFolder({ folder, named }: NewFolder): void {
  const found = statSync(folder, { throwIfNoEntry: false });
  if (found === undefined) return;
  const detail = found.isDirectory() ? (readdirSync(folder).length === 0 ? undefined : "is not empty") : "is a file";
  if (detail === undefined) return;
  throw new StatorError("BAD_CONFIG", { detail: `${named}${folder} ${detail}: name a folder that is not there yet.` });
}

/**
 * Fills a folder beside the place and moves it there when it is whole: what fails leaves nothing. Throws what `fill` throws, and
 * BAD_CONFIG where nothing can be written.
 */
export async function fillNewFolder(place: NewFolder, fill: (scratch: string) => Promise<void> | void): Promise<void> {
  const { folder } = place;
  const parent = path.dirname(folder);
  const scratch = path.join(parent, `.stator-${randomUUID()}`);
  let begun: string | undefined;
  try {
    begun = mkdirSync(parent, { recursive: true });
    mkdirSync(scratch);
    await fill(scratch);
    // An empty folder gives way; one that was filled meanwhile does not.
    if (existsSync(folder)) checkNewFolder(place);
    renameSync(scratch, folder);
  } catch (error) {
    rmSync(begun ?? scratch, { recursive: true, force: true });
    throw asFolderError(error, place);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function asFolderError(error: unknown, { folder, named }: NewFolder): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof StatorError || typeof code !== "string") return error;
  return new StatorError("BAD_CONFIG", { detail: `${named}${folder} cannot be written: ${code}.` }, { cause: error });
}
