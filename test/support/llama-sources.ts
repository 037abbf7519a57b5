import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { cachedFolder, checkDigest, downloadPackage, python } from "./packages.ts";

/** A source package that carries what the long tests read of llama.cpp. None of it is kept in the checkout. */
const PACKAGE = {
  name: "llama-cpp-python",
  version: "0.3.36",
  digest: "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e",
} as const;

/** Takes chat templates and vocabularies out of a source package, each into a folder of its own. */
const EXTRACT = `
import pathlib, sys, tarfile
source, to = sys.argv[1:]
folders = {}
for name in ("templates", "vocabularies"):
    folders[name] = pathlib.Path(to) / name
    folders[name].mkdir()
with tarfile.open(source) as archive:
    for member in archive.getmembers():
        _, models, path = member.name.partition("/vendor/llama.cpp/models/")
        if not models or not member.isfile():
            continue
        if path.startswith("templates/") and path.endswith(".jinja"):
            (folders["templates"] / pathlib.Path(path).name).write_bytes(archive.extractfile(member).read())
        elif path.startswith("ggml-vocab-"):
            (folders["vocabularies"] / path).write_bytes(archive.extractfile(member).read())
`;

/**
 * The folder of a kind of files of llama.cpp: downloaded once, kept outside of the checkout. Throws when they cannot be
 * had or are not those that were pinned.
 */
export function fetchLlamaSources(kind: "templates" | "vocabularies"): string {
  const { name, version, digest } = PACKAGE;
  const folder = cachedFolder(`llama-sources-${digest.slice(0, 12)}`, (to) => {
    const scratch = mkdtempSync(path.join(tmpdir(), "stator-sources-"));
    try {
      const source = downloadPackage(`${name}==${version}`, scratch, "--no-binary", name);
      checkDigest(`${name} ${version}`, source, digest);
      python("-c", EXTRACT, source, to);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
  return path.join(folder, kind);
}
