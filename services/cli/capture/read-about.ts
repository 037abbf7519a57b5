import { existsSync, readFileSync } from "node:fs";
import { StatorError } from "#lib/base/errors";
import { aboutPath, type CaptureAbout } from "./about.ts";

/** Reads what stands beside a captured trace; undefined where nothing does. Throws CORRUPT for what is no description of one. */
export function readAbout(trace: string): CaptureAbout | undefined {
  const file = aboutPath(trace);
  if (!existsSync(file)) return undefined;
  const corrupt = (detail: string, cause?: unknown) => new StatorError("CORRUPT", { what: file, detail }, { cause });
  let about: Partial<CaptureAbout> | null;
  try {
    about = JSON.parse(readFileSync(file, "utf8")) as typeof about;
  } catch (error) {
    throw corrupt("it is not JSON", error);
  }
  const { ranks, block_size: blockTokens, constants } = about ?? {};
  if (!Array.isArray(ranks) || !Number.isSafeInteger(blockTokens) || !isObject(constants) || !ranks.every(isObject)) {
    throw corrupt("it says no ranks, no block_size or no constants");
  }
  return about as CaptureAbout;
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}
