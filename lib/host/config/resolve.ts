import { StatorError } from "#lib/base/errors";
import { nearest } from "#lib/base/nearest";
import { flagOf, isExpectation, type Option, type Options, type Values, variableOf } from "#lib/base/option";
import { withoutLogin } from "#lib/base/url-login";

/** Where a value came from. */
export type Source = "flag" | "environment" | "file" | "default";

/** Configuration, resolved once. */
export interface Config<Table extends Options> {
  /** Each of its option's type, within its range. */
  readonly values: Values<Table>;
  /** Where each value came from. */
  readonly sources: Readonly<Record<keyof Table & string, Source>>;
}

/** What the three places say. */
export interface Given {
  /** Arguments after the command, such as ["--http-port", "9000"]. */
  readonly args: readonly string[];
  /** Environment. Only STATOR_… is looked at. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A parsed YAML file: nested mappings. */
  readonly file: unknown;
  /** Keys that a flag may set here; all when absent. A variable and a file may set any: processes share them. */
  readonly flags?: readonly string[];
}

/** Variables that are not options: they steer the launcher. */
const RESERVED = new Set(["STATOR_CONFIG", "STATOR_CHILD"]);

/**
 * Flag > environment > file > default. Unknown keys are errors and all mistakes are reported at once, as BAD_CONFIG.
 * Arguments that are not flags come back in order.
 */
export function resolveConfig<Table extends Options>(
  options: Table,
  given: Given,
): { config: Config<Table>; positional: string[] } {
  const mistakes: string[] = [];
  const { texts: flags, positional } = readArgs(options, given, mistakes);
  const variables = readEnvironment(options, given.env, mistakes);
  const file = readFileKeys(options, given.file, mistakes);
  const values: Record<string, unknown> = {};
  const sources: Record<string, Source> = {};
  for (const [key, option] of Object.entries(options) as [string, Option][]) {
    const [source, said] = flags.has(key)
      ? (["flag", flags.get(key)] as const)
      : variables.has(key)
        ? (["environment", variables.get(key)] as const)
        : file.has(key)
          ? (["file", file.get(key)] as const)
          : (["default", undefined] as const);
    sources[key] = source;
    values[key] = said === undefined ? option.initial : parsed(key, option, { said, source, mistakes });
  }
  if (mistakes.length > 0) throw new StatorError("BAD_CONFIG", { detail: mistakes.join("\n") });
  return { config: { values: values as Values<Table>, sources: sources as Config<Table>["sources"] }, positional };
}

function parsed(
  key: string,
  option: Option,
  { said, source, mistakes }: { said: readonly string[]; source: Source; mistakes: string[] },
): unknown {
  const name = source === "flag" ? flagOf(key) : source === "environment" ? variableOf(key) : key;
  const values = said.map((each) => {
    const value = option.parse(each);
    if (!isExpectation(value)) return value;
    const got = option.secret ? "something else" : JSON.stringify(withoutLogin(each));
    mistakes.push(`${name}: expected ${value.expected}, got ${got}.`);
    return option.initial;
  });
  return option.several ? values.flat() : values.at(-1);
}

function readArgs(options: Options, { args, flags }: Given, mistakes: string[]) {
  const texts = new Map<string, string[]>();
  const add = (key: string, text: string): void => void texts.set(key, [...(texts.get(key) ?? []), text]);
  const positional: string[] = [];
  const keys = new Map((flags ?? Object.keys(options)).map((key) => [flagOf(key), key]));
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!;
    if (arg === "--") {
      positional.push(...args.slice(at + 1));
      break;
    }
    if (!arg.startsWith("--")) {
      positional.push(arg);
      continue;
    }
    const [name, ...rest] = arg.split("=");
    const negated = name!.startsWith("--no-") && !keys.has(name!) ? keys.get(`--${name!.slice(5)}`) : undefined;
    const key = keys.get(name!) ?? negated;
    const option = key === undefined ? undefined : (options[key] as Option);
    if (key === undefined || !option || (negated && !option.bare)) {
      const hint = nearest(name!, [...keys.keys()]);
      mistakes.push(`${name} is not an option here.${hint ? ` Did you mean ${hint}?` : ""}`);
      if (rest.length === 0 && args[at + 1] !== undefined && !args[at + 1]!.startsWith("-")) at++;
    } else if (rest.length > 0) add(key, rest.join("="));
    else if (option.bare) add(key, negated ? "false" : "true");
    else if (args[at + 1] === undefined) mistakes.push(`${name} needs a value.`);
    else add(key, args[++at]!);
  }
  return { texts, positional };
}

function readEnvironment(options: Options, env: Given["env"], mistakes: string[]): Map<string, string[]> {
  const texts = new Map<string, string[]>();
  const keys = new Map(Object.keys(options).map((key) => [variableOf(key), key]));
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith("STATOR_") || RESERVED.has(name) || value === undefined || value === "") continue;
    const key = keys.get(name);
    if (key) texts.set(key, [value]);
    else mistakes.push(`The variable ${name} is not an option.${hintFor(name, [...keys.keys()])}`);
  }
  return texts;
}

function hintFor(name: string, names: readonly string[]): string {
  const hint = nearest(name, names);
  return hint ? ` Did you mean ${hint}?` : "";
}

function readFileKeys(options: Options, file: unknown, mistakes: string[]): Map<string, string[]> {
  const texts = new Map<string, string[]>();
  const walk = (node: unknown, path: string): void => {
    if (options[path]?.several) {
      const items: unknown[] = Array.isArray(node) ? node : [node];
      texts.set(
        path,
        items.map((item) => (typeof item === "string" ? item : JSON.stringify(item))),
      );
    } else if (node !== null && typeof node === "object" && !Array.isArray(node)) {
      for (const [name, inner] of Object.entries(node)) walk(inner, path === "" ? name : `${path}.${name}`);
    } else if (path in options && (typeof node === "string" || typeof node === "number" || typeof node === "boolean")) {
      texts.set(path, [String(node)]);
    } else if (path in options) mistakes.push(`${path}: expected one value in the file.`);
    else if (path !== "") mistakes.push(`${path} in the file is not an option.${hintFor(path, Object.keys(options))}`);
    else if (node !== undefined && node !== null) mistakes.push("The file must be a mapping of option keys.");
  };
  walk(file, "");
  return texts;
}
