import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import path from "node:path";

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

const cache = path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), ".cache"), "stator");

function python(...args: readonly string[]): void {
  execFileSync("python3", args, { stdio: "pipe", timeout: 900_000 });
}

/** Makes a folder of the cache once: what `make` puts into an empty one is kept only when all of it is there. */
function cached(name: string, make: (folder: string) => void): string {
  const folder = path.join(cache, name);
  if (existsSync(folder)) return folder;
  mkdirSync(path.dirname(folder), { recursive: true });
  const scratch = mkdtempSync(path.join(path.dirname(folder), "new-"));
  try {
    make(scratch);
    renameSync(scratch, folder);
  } catch (error) {
    rmSync(scratch, { recursive: true, force: true });
    throw error;
  }
  return folder;
}

/** Chat templates of real models by the names of their files. Throws when they cannot be had or are not those that were pinned. */
export function fetchRealTemplates(): ReadonlyMap<string, string> {
  const { name, version, digest } = PACKAGE;
  const folder = cached(`templates-${digest.slice(0, 12)}`, (to) => {
    const scratch = mkdtempSync(path.join(tmpdir(), "stator-templates-"));
    try {
      python(
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        name,
        "--dest",
        scratch,
        `${name}==${version}`,
      );
      const source = path.join(scratch, readdirSync(scratch)[0]!);
      const found = createHash("sha256").update(readFileSync(source)).digest("hex");
      if (found !== digest) throw new Error(`${name} ${version} has the digest ${found}, not ${digest}`);
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
  const library = cached("jinja2-3.1.6", (to) => python("-m", "pip", "install", "--quiet", "--target", to, JINJA));
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
