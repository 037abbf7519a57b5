import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { cachedFolder } from "./packages.ts";

const NATIVE = fileURLToPath(new URL("../../native", import.meta.url));
const NAME = "libcuda.so.1";

/**
 * Builds the look-alike of the CUDA driver once for each state of its sources; returns its path. What a process leaves pinned
 * ends it there; native/sim/cuda_sim.cpp says what it can be told.
 */
export function buildCudaSim(): string {
  const hash = createHash("sha256");
  for (const source of ["sim/cuda_sim.cpp", "transfer/cuda_api.h"])
    hash.update(readFileSync(path.join(NATIVE, source)));
  const folder = cachedFolder(`cuda-sim-${hash.digest("hex").slice(0, 16)}`, (scratch) => {
    const flags = ["-std=c++20", "-O1", "-g", "-shared", "-fPIC", "-pthread", "-I", NATIVE];
    execFileSync("g++", [...flags, path.join(NATIVE, "sim/cuda_sim.cpp"), "-o", path.join(scratch, NAME)]);
  });
  return path.join(folder, NAME);
}

/** A range that the look-alike was told to pin, or to let go. */
export interface PinNote {
  readonly what: "pin" | "unpin";
  /** Where it begins, in that process. */
  readonly address: string;
  readonly sizeBytes: number;
}

/** What the look-alike wrote to its CUDA_SIM_LOG. */
export function readPinNotes(text: string): PinNote[] {
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const [what, address, sizeBytes] = line.split(" ");
    return { what: what as PinNote["what"], address: address!, sizeBytes: Number(sizeBytes) };
  });
}
