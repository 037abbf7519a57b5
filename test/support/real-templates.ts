import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { cachedFolder, checkDigest, downloadPackage, python } from "./packages.ts";

/** A source package that carries the chat templates of many models. They are read from it and never kept in the checkout. */
const PACKAGE = {
  name: "llama-cpp-python",
  version: "0.3.36",
  digest: "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e",
} as const;
const JINJA = "jinja2==3.1.6";

/** Takes one folder out of a source package. */
const EXTRACT = `
import pathlib, sys, tarfile
source, to = sys.argv[1:]
with tarfile.open(source) as archive:
    for member in archive.getmembers():
        if "/vendor/llama.cpp/models/templates/" in member.name and member.name.endswith(".jinja"):
            (pathlib.Path(to) / pathlib.Path(member.name).name).write_bytes(archive.extractfile(member).read())
`;

/** Chat templates of real models by the names of their files. Throws when they cannot be had or are not those that were pinned. */
export function fetchRealTemplates(): ReadonlyMap<string, string> {
  const { name, version, digest } = PACKAGE;
  const folder = cachedFolder(`templates-${digest.slice(0, 12)}`, (to) => {
    const scratch = mkdtempSync(path.join(tmpdir(), "stator-templates-"));
    try {
      const source = downloadPackage(`${name}==${version}`, scratch, "--no-binary", name);
      checkDigest(`${name} ${version}`, source, digest);
      python("-c", EXTRACT, source, to);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
  return new Map(
    readdirSync(folder)
      .sort()
      .map((file) => [file, readFileSync(path.join(folder, file), "utf8")]),
  );
}

/** What Python's jinja2 makes of templates: a text, or an error. It is installed beside, once. */
export function renderWithPython(jobs: readonly { readonly source: string; readonly variables: string }[]): readonly {
  readonly text?: string;
}[] {
  const library = cachedFolder("jinja2-3.1.6", (to) =>
    python("-m", "pip", "install", "--quiet", "--target", to, JINJA),
  );
  const scratch = mkdtempSync(path.join(tmpdir(), "stator-render-"));
  try {
    const [given, answers] = [path.join(scratch, "jobs.json"), path.join(scratch, "answers.json")];
    writeFileSync(given, JSON.stringify(jobs));
    const script = path.join(import.meta.dirname, "../../tools/goldens/templates.py");
    const env = { ...process.env, PYTHONPATH: library };
    execFileSync("python3", [script, "--jobs", given, answers], { stdio: "pipe", timeout: 900_000, env });
    return JSON.parse(readFileSync(answers, "utf8")) as readonly { readonly text?: string }[];
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
