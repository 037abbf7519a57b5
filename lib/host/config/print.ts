import { withoutLogin } from "#lib/base/url-login";
import { flagOf, type Option, type Options, variableOf } from "./option.ts";
import type { Config } from "./resolve.ts";

function shown(option: Option, value: unknown): string {
  if (value === undefined) return "not set";
  return option.secret ? "(hidden)" : withoutLogin(String(value));
}

/** The answer of `stator config explain KEY`: the value, where it came from, and what else could set it. */
export function explainOption<Table extends Options>(
  options: Table,
  config: Config<Table>,
  key: keyof Table & string,
): string {
  const option = options[key] as Option;
  const unit = option.unit ? ` ${option.unit}` : "";
  const places = {
    flag: `the flag ${flagOf(key)}`,
    environment: `the variable ${variableOf(key)}`,
    file: "the configuration file",
    default: "the default",
  };
  return [
    `${key} = ${shown(option, config.values[key])}${config.values[key] === undefined ? "" : unit}`,
    `  from ${places[config.sources[key]]}`,
    `  ${option.doc}`,
    `  flag ${flagOf(key)}, variable ${variableOf(key)}, file key ${key}, default ${shown(option, option.initial)}`,
    ...(option.alike ? [`  like ${option.alike} of the reference system`] : []),
    "",
  ].join("\n");
}

/** Lines of help for some options, aligned. */
export function printOptionHelp(options: Options, keys: readonly string[]): string {
  const rows = keys.map((key) => {
    const option = options[key] as Option;
    const value = option.bare ? "" : ` ${option.placeholder ?? (option.unit ?? "VALUE").toUpperCase()}`;
    const initial =
      option.initial === undefined || option.initial === false ? "" : ` (${shown(option, option.initial)})`;
    return [`${flagOf(key)}${value}`, `${option.doc}${initial}`] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows.map(([left, right]) => `  ${left.padEnd(width)}${right}`).join("\n");
}

/** The reference page of all options, in Markdown. */
export function printConfigPage(options: Options): string {
  const lines = ["# Configuration", "", "Made from the table of options; change it there.", ""];
  lines.push("Flag > environment > file > default. Unknown names are errors.", "");
  lines.push("| key | flag | variable | default | what it decides |", "|---|---|---|---|---|");
  for (const [key, option] of Object.entries(options) as [string, Option][]) {
    const unit = option.unit && option.initial !== undefined ? ` ${option.unit}` : "";
    const alike = option.alike ? ` Like \`${option.alike}\`.` : "";
    const initial = option.initial === undefined ? "" : `\`${shown(option, option.initial)}\`${unit}`;
    lines.push(`| \`${key}\` | \`${flagOf(key)}\` | \`${variableOf(key)}\` | ${initial} | ${option.doc}${alike} |`);
  }
  return `${lines.join("\n")}\n`;
}

/** JSON Schema of the configuration file. */
export function printConfigSchema(options: Options): string {
  interface Node {
    type: "object";
    additionalProperties: false;
    properties: Record<string, unknown>;
  }
  const node = (): Node => ({ type: "object", additionalProperties: false, properties: {} });
  const root = node();
  for (const [key, option] of Object.entries(options) as [string, Option][]) {
    const path = key.split(".");
    let at = root;
    for (const segment of path.slice(0, -1)) {
      at.properties[segment] ??= node();
      at = at.properties[segment] as Node;
    }
    const initial = option.initial === undefined ? {} : { default: option.initial };
    at.properties[path.at(-1)!] = { ...option.schema, description: option.doc, ...initial };
  }
  return `${JSON.stringify({ $schema: "https://json-schema.org/draft/2020-12/schema", title: "Stator", ...root }, null, 2)}\n`;
}
