import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fetchLlamaSources } from "./llama-sources.ts";
import { cachedFolder, python } from "./packages.ts";

const JINJA = "jinja2==3.1.6";

/** Chat templates of real models by the names of their files. Throws when they cannot be had or are not those that were pinned. */
export function fetchRealTemplates(): ReadonlyMap<string, string> {
  const folder = fetchLlamaSources("templates");
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
