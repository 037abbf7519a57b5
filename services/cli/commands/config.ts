import { StatorError } from "#lib/base/errors";
import { nearest } from "#lib/base/nearest";
import { explainOption, printConfigPage } from "#lib/host/config/print";
import type { Command } from "../command.ts";
import { OPTIONS, type OptionKey } from "../options.ts";

/** `stator config`: what an option is, where it comes from, and all of them. */
export const config: Command = {
  name: "config",
  arguments: "explain KEY | page",
  summary: "explain an option: its value and where it came from",
  help: "`explain KEY` tells the value of an option and where it came from; other flags and variables count as they\nwould for any command. `page` prints the reference of all options.",
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
        detail: "Say `stator config explain KEY`, such as http.port, or `stator config page`.",
      });
    }
    if (!(key in OPTIONS)) {
      const hint = nearest(key, Object.keys(OPTIONS));
      throw new StatorError("BAD_CONFIG", {
        detail: `${key} is not an option.${hint ? ` Did you mean ${hint}?` : ""}`,
      });
    }
    print(explainOption(OPTIONS, resolved, key as OptionKey));
    return 0;
  },
};
