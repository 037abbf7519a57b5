import process from "node:process";
import { StatorError } from "#lib/base/errors";
import { changelogAsJson, printChangelog } from "#lib/contract/changelog";
import { isBreaking } from "#lib/contract/difference";
import { printVerdicts, verdictsAsJson } from "#lib/contract/verdict-report";
import type { Command } from "../command.ts";
import { findCompilers } from "../contract/compiler.ts";
import { compareSides } from "../contract/sides.ts";

/** `stator contract check|diff OLD NEW`: what a change of a contract breaks, and for whom. */
export const contract: Command = {
  arguments: "check|diff OLD [NEW]",
  help:
    "OLD and NEW, the working folder when absent, are each a folder of .proto files, an image (a FileDescriptorSet in binary\n" +
    "form) or a git reference, REF or REF:FOLDER. `check` explains every difference: what changed, whether old servers, new\n" +
    "servers, users of JSON or of stubs break, and what to do. The exit code is 0 when compatible, 1 when breaking, 2 when the\n" +
    "contracts cannot be read. Whatever buf refuses is refused. `diff` prints a changelog, additions too, and exits with 0.\n" +
    "docs/contract-policy.md tells what counts as a break.",
  options: ["format", "audience"],
  async run({ values, positional, print }) {
    const [verb, older, newer = ".", ...others] = positional;
    if ((verb !== "check" && verb !== "diff") || older === undefined || others.length > 0) {
      throw new StatorError("BAD_CONFIG", {
        detail: "Say `stator contract check OLD NEW` or `stator contract diff OLD NEW`.",
      });
    }
    const folder = process.cwd();
    const compilers = findCompilers({ folder, searched: process.env.PATH ?? "" });
    const differences = await compareSides(older, newer, { folder, compilers });
    const { format, audience } = values;
    if (verb === "diff") {
      print(format === "json" ? JSON.stringify(changelogAsJson(differences), null, 2) : printChangelog(differences));
      return 0;
    }
    if (format === "json") print(JSON.stringify(verdictsAsJson(differences, audience), null, 2));
    else print(printVerdicts(differences, audience));
    return differences.some((difference) => isBreaking(difference, audience)) ? 1 : 0;
  },
};
