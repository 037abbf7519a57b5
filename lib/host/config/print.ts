import { flagOf, type Option, type Options, variableOf } from "#lib/base/option";
import { withoutLogin } from "#lib/base/url-login";
import type { Config } from "./resolve.ts";

function shown(option: Option, value: unknown): string {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return "not set";
  if (option.secret) return "(hidden)";
  // Tables lose the types of their values: what an option parsed, it can print.
  return withoutLogin(option.print ? option.print(value as never) : String(value));
}

function isUnset({ initial, several }: Option): boolean {
  return initial === undefined || several === true;
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
    `  ${described(option)}`,
    `  flag ${flagOf(key)}, variable ${variableOf(key)}, file key ${key}, default ${shown(option, option.initial)}`,
    ...(option.alike ? [`  like ${option.alike} of the reference system`] : []),
    "",
  ].join("\n");
}

/** What an option decides, with the values that there are. */
function described({ doc, choices }: Option): string {
  return choices ? `${doc} One of ${choices.join(", ")}.` : doc;
}

/** Lines of help for some options, aligned. `says` has the words for those that mean something of their own here. */
export function printOptionHelp(
  options: Options,
  keys: readonly string[],
  says: Readonly<Partial<Record<string, string>>> = {},
): string {
  const rows = keys.map((key) => {
    const option = options[key] as Option;
    const value = option.bare ? "" : ` ${option.placeholder ?? (option.unit ?? "VALUE").toUpperCase()}`;
    const initial = isUnset(option) || option.initial === false ? "" : ` (${shown(option, option.initial)})`;
    return [`${flagOf(key)}${value}`, `${described({ ...option, doc: says[key] ?? option.doc })}${initial}`] as const;
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
    const unit = option.unit && !isUnset(option) ? ` ${option.unit}` : "";
    const alike = option.alike ? ` Like \`${option.alike}\`.` : "";
    const initial = isUnset(option) ? "" : `\`${shown(option, option.initial)}\`${unit}`;
    lines.push(
      `| \`${key}\` | \`${flagOf(key)}\` | \`${variableOf(key)}\` | ${initial} | ${described(option)}${alike} |`,
    );
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
    const initial = isUnset(option) ? {} : { default: option.initial };
    at.properties[path.at(-1)!] = { ...option.schema, description: option.doc, ...initial };
  }
  return `${JSON.stringify({ $schema: "https://json-schema.org/draft/2020-12/schema", title: "Stator", ...root }, null, 2)}\n`;
}
