import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Mutant } from "./instrument.ts";

/** A mutant that no test needs to find, and why. */
export interface Excuse {
  readonly file: string;
  /** The line as it is written, without the space around it; every such line of the file is meant. */
  readonly code: string;
  readonly change: string;
  /** Why nobody could notice, or why nobody should care. */
  readonly reason: string;
}

const FOLDER = path.join(import.meta.dirname, "survivors");

/** What is checked in for some sources: one list for each folder, `survivors/lib-link.json` for lib/link. */
export function readExcuses(files: readonly string[]): Excuse[] {
  const lists = new Set(files.map((file) => path.join(FOLDER, `${path.dirname(file).replaceAll("/", "-")}.json`)));
  return [...lists]
    .filter((list) => existsSync(list))
    .flatMap((list) => JSON.parse(readFileSync(list, "utf8")) as Excuse[])
    .filter(({ file }) => files.includes(file));
}

/** Whether the excuse is meant for the mutant. */
export function excuses(excuse: Excuse, { file, code, change }: Mutant): boolean {
  return excuse.file === file && excuse.code === code && excuse.change === change;
}
