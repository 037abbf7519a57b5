import { StatorError } from "#lib/base/errors";
import { nearest } from "#lib/base/nearest";
import { flagOf, variableOf } from "#lib/base/option";
import { explainOption, printConfigPage } from "#lib/host/config/print";
import type { Command } from "../command.ts";
import { OPTIONS, type OptionKey } from "../compose/options.ts";

/** `stator config`: what an option is, where it comes from, and all of them. */
export const config: Command = {
  arguments: "explain NAME | page",
  help:
    "`explain NAME` tells the value of an option and where it came from. The name is its key, flag or variable: http.port,\n" +
    "--http-port or STATOR_HTTP_PORT. Other flags and variables count as they would for any command. `page` prints the\n" +
    "reference of all options.",
  options: [],
  explains: true,
  async run({ config: resolved, positional, print }) {
    const [verb, key] = positional;
    if (verb === "page") {
      print(printConfigPage(OPTIONS));
      return 0;
    }
    if (verb !== "explain" || key === undefined) {
      throw new StatorError("BAD_CONFIG", {
        detail: "Say `stator config explain NAME`, such as http.port, or `stator config page`.",
      });
    }
    print(explainOption(OPTIONS, resolved, keyOf(key)));
    return 0;
  },
};

/** The option with this key, flag or variable. Throws BAD_CONFIG with the nearest name of the same kind. */
function keyOf(name: string): OptionKey {
  const keys = Object.keys(OPTIONS) as OptionKey[];
  const nameOf = name.startsWith("-") ? flagOf : name.startsWith("STATOR_") ? variableOf : (key: string) => key;
  const plain = nameOf === flagOf ? name.replace(/^--no-/, "--") : name;
  const found = keys.find((key) => nameOf(key) === plain);
  if (found) return found;
  const hint = nearest(name, keys.map(nameOf));
  throw new StatorError("BAD_CONFIG", { detail: `${name} is not an option.${hint ? ` Did you mean ${hint}?` : ""}` });
}
