import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { nixlPlaces } from "#lib/native/nixl";
import { cachedFolder, checkDigest, downloadPackage, python } from "./packages.ts";

const NATIVE = fileURLToPath(new URL("../../native", import.meta.url));
const NAME = "libnixl_capi.so";

/** Builds the look-alike of NIXL's library once for each state of its sources; returns its path. */
export function buildNixlSim(): string {
  const hash = createHash("sha256");
  for (const source of ["sim/nixl_sim.cpp", "transfer/nixl_api.h"])
    hash.update(readFileSync(path.join(NATIVE, source)));
  const folder = cachedFolder(`nixl-sim-${hash.digest("hex").slice(0, 16)}`, (scratch) => {
    const flags = ["-std=c++20", "-O1", "-g", "-shared", "-fPIC", "-pthread", "-I", NATIVE];
    execFileSync("g++", [...flags, path.join(NATIVE, "sim/nixl_sim.cpp"), "-o", path.join(scratch, NAME)]);
  });
  return path.join(folder, NAME);
}

/** The wheel that the library is taken from. */
const WHEEL = {
  requirement: "nixl-cu12==1.5.1",
  platform: "manylinux_2_28_x86_64",
  digest: "341d0dfa499f941c054614252f1d8047d1380e33f29c87707372ff5ec7d3779a",
} as const;

/** Takes the C library, its back end UCX and what they need out of a wheel: a third of it. */
const EXTRACT = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        folder, _, rest = name.partition("/")
        library = folder == ".nixl_cu12.mesonpy.libs" and ("/" not in rest or rest.endswith("libplugin_UCX.so"))
        needed = folder == "nixl_cu12.libs" and not rest.startswith("nixl/")
        if library or needed or "/licenses/" in name:
            wheel.extract(name, sys.argv[2])
`;

/** Why the real library cannot be had on this machine; empty where it can. */
export const NIXL_MISSING = process.arch === "x64" ? "" : `there is no pinned wheel for ${process.arch}`;

/**
 * The folder of the real library's packages: downloaded once, and kept by its pin outside of the checkout. It is used from
 * there in tests alone, and no part of it is shipped.
 */
export function fetchNixl(): string {
  return cachedFolder(`nixl-${WHEEL.digest.slice(0, 16)}`, (folder) => {
    const scratch = mkdtempSync(path.join(os.tmpdir(), "stator-nixl-"));
    try {
      const target = ["--only-binary=:all:", "--platform", WHEEL.platform, "--python-version", "311", "--abi", "cp311"];
      const wheel = downloadPackage(WHEEL.requirement, scratch, ...target);
      checkDigest(WHEEL.requirement, wheel, WHEEL.digest);
      python("-c", EXTRACT, wheel, folder);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
}

/** NIXL's own library where there is one for this machine, else its look-alike. */
export function nixlHere(): string {
  return NIXL_MISSING === "" ? nixlPlaces(fetchNixl())[0]! : buildNixlSim();
}

// `.ci/run` calls this, so that the tests find it.
if (process.argv[1] === import.meta.filename) process.stdout.write(`NIXL is in ${fetchNixl()}\n`);
