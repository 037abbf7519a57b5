import { fork, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadNative } from "./addon.ts";

/** Bytes moved for each byte of a block, by both processes. */
interface Copies {
  readonly memory: number;
  readonly kernel: number;
}

const support = fileURLToPath(new URL("../../test/support/", import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), "stator-copies-"));
const library = path.join(folder, "counter.so");
const compiled = spawnSync(
  "g++",
  [
    "-std=c++20",
    "-O1",
    "-fno-builtin",
    "-fPIC",
    "-shared",
    path.join(support, "copy-counter.cpp"),
    "-o",
    library,
    "-ldl",
  ],
  { encoding: "utf8" },
);
const reason = loadNative().unavailable ?? compiled.error?.message ?? compiled.stderr;

afterAll(() => rmSync(folder, { recursive: true }));

describe.skipIf(reason !== "")(`copies of a block between two regions (${reason || "counted"})`, () => {
  let copies: Record<"shared" | "process" | "socket", Copies>;

  beforeAll(async () => {
    const counts = path.join(folder, "counts");
    writeFileSync(counts, new Uint8Array(16));
    const env = { ...process.env, LD_PRELOAD: library, STATOR_COPY_COUNTER: counts };
    const reader = fork(path.join(support, "copy-pair.ts"), { env, stdio: ["ignore", 2, 2, "ipc"] });
    [copies] = await once(reader, "message");
  }, 60_000);

  // What is bookkeeping adds less than a tenth of a copy.
  test("one out of shared memory, and none through the kernel", () => {
    expect(copies.shared.memory).toBeCloseTo(1, 1);
    expect(copies.shared.kernel).toBeLessThan(0.05);
  });

  test("one by the kernel out of another process's memory", () => {
    expect(copies.process.kernel).toBeCloseTo(1, 1);
    expect(copies.process.memory).toBeLessThan(0.05);
  });

  test("two through a socket: into the kernel and out of it", () => {
    expect(copies.socket.kernel).toBeCloseTo(2, 1);
    expect(copies.socket.memory).toBeLessThan(0.05);
  });
});
