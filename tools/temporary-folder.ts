import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

/** Runs `work` with a folder of its own and removes the folder afterwards. */
export function inTemporaryFolder<Result>(work: (folder: string) => Result): Result {
  const temporary = mkdtempSync(path.join(os.tmpdir(), "stator-"));
  try {
    return work(temporary);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}
