import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadNative, nativeErrorCode } from "./addon.ts";
import { locateLlama } from "./location.ts";

const folder = mkdtempSync(join(tmpdir(), "stator-native-"));
afterAll(() => rmSync(folder, { recursive: true }));

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
    return "no error";
  } catch (error) {
    return nativeErrorCode(error);
  }
}

/** Refusals come first: the library is opened once per process. */
describe.skipIf(loadNative().addon === undefined)("opening the library", () => {
  const addon = loadNative().addon!;
  const options = locateLlama().options!;

  it("names what is missing or of another version", () => {
    expect(codeOf(() => addon.openLlama({ ...options, libDir: "/nowhere" }))).toBe("LIBRARY_MISSING");
    expect(codeOf(() => addon.openLlama({ ...options, engineLibrary: "/nowhere.so" }))).toBe("LIBRARY_MISSING");
    for (const name of ["libggml-base.so", "libggml.v0.5.0.so"]) {
      symlinkSync(join(options.libDir, name), join(folder, name));
    }
    writeFileSync(join(folder, "libllama.v0.9.0.so"), "");
    expect(codeOf(() => addon.openLlama({ ...options, libDir: folder }))).toBe("LIBRARY_MISMATCH");
  });

  it("opens once and reports devices and back ends", () => {
    const llama = addon.openLlama({ ...options, backends: ["/nowhere/libggml-cuda.so"] });
    expect(llama.llamaVersion).toBe("0.5.0-dev");
    expect(llama.devices.some((device) => device.kind === "cpu" && device.memoryBytes > 0)).toBe(true);
    expect(llama.backends[0]).toMatchObject({ path: "/nowhere/libggml-cuda.so", loaded: false });
    expect(llama.backends[0]?.reason).toContain("cannot open shared object file");
    expect(addon.openLlama(options).ggmlVersion).toBe(llama.ggmlVersion);
    expect(codeOf(() => addon.openLlama({ ...options, libDir: folder }))).toBe("INVALID_ARGUMENT");
  });
});
