import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { StatorError } from "#lib/base/errors";
import { checkNewFolder, fillNewFolder, type NewFolder } from "../new-folder.ts";
import { generateStubs } from "../stubs/generate-stubs.ts";
import { VERSION } from "../version.ts";

/** What a project can be. */
export const PROJECT_KINDS = ["worker", "service"] as const;

/** Languages that projects are written in. */
export const PROJECT_LANGUAGES = ["typescript", "python", "go"] as const;

/** What `createProject` is asked for. */
export interface ProjectOrder {
  /** What it serves: a model, or a Protobuf service. */
  readonly kind: (typeof PROJECT_KINDS)[number];
  /** Of its programs. */
  readonly language: (typeof PROJECT_LANGUAGES)[number];
  /** The folder that becomes it, absent or empty; its last part is the project's name. */
  readonly folder: string;
  /** Told what takes long, a line at a time. */
  progress?(line: string): void;
  /** Ends what is under way; nothing is written then. */
  readonly signal?: AbortSignal | undefined;
}

/** A name that npm, Python and Go take as it is. */
const NAME = /^[a-z][a-z\d]*(-[a-z\d]+)*$/;
const LONGEST_NAME = 64;

/** Files in which the name stands; all others are as their template has them. */
const NAMED = /(\.(json|toml|mod|md))$/;

/**
 * Writes a project that runs, with a test: all of it appears at once, or nothing. Those in Python and Go have Stator's contracts in
 * `stubs`. Returns its folder, absolute. Throws BAD_CONFIG for a name or a folder that cannot be, and what `generateStubs` throws.
 */
export async function createProject(order: ProjectOrder): Promise<string> {
  const { kind, language } = order;
  const place: NewFolder = { folder: path.resolve(order.folder), named: "" };
  const name = path.basename(place.folder);
  if (!NAME.test(name) || name.length > LONGEST_NAME) {
    const detail = `A project is called as its folder, and ${name || "/"} is no name for one: take a-z, digits and single dashes, such as my-${kind}.`;
    throw new StatorError("BAD_CONFIG", { detail });
  }
  checkNewFolder(place);
  const template = fileURLToPath(new URL(`./templates/${kind}-${language}`, import.meta.url));
  await fillNewFolder(place, async (scratch) => {
    copyTemplate(template, scratch, name);
    if (language !== "typescript") await addStubs(scratch, { ...order, language });
  });
  return place.folder;
}

function copyTemplate(from: string, to: string, name: string): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [path.join(from, entry.name), path.join(to, entry.name)];
    if (entry.isDirectory()) copyTemplate(source, target, name);
    else if (NAMED.test(entry.name)) writeFileSync(target, fill(readFileSync(source, "utf8"), name));
    else copyFileSync(source, target);
  }
}

function fill(text: string, name: string): string {
  return text.replaceAll("{{name}}", name).replaceAll("{{version}}", VERSION);
}

/** The stubs need what the project needs, so that Go's sums of the ones are those of the other. */
async function addStubs(
  folder: string,
  { language, progress, signal }: Pick<ProjectOrder, "progress" | "signal"> & { readonly language: "python" | "go" },
): Promise<void> {
  const out = path.join(folder, "stubs");
  await generateStubs({ language, out, foreign: true, progress, signal });
  const sums = path.join(folder, "go.sum");
  if (language === "go" && !existsSync(sums)) copyFileSync(path.join(out, "go.sum"), sums);
}
