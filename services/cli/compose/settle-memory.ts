import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { loadNative } from "#lib/native/addon";

/**
 * Collects garbage and gives free memory back to the system. A process that has just opened a model holds what its
 * start needed, 32 MB of it in the young generation, and nothing would collect it while the process is idle: only a last
 * resort shrinks that generation. Blocks for about 20 ms, so it is for the moment after something large was opened.
 */
export function settleMemory(): void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  if (typeof collect === "function") collect({ type: "major", execution: "sync", flavor: "last-resort" });
  loadNative().addon?.trimMemory();
}
