import { StatorError } from "#lib/base/errors";
import { flagOf } from "#lib/base/option";
import type { CliConfig } from "../command.ts";
import { hasSessions } from "./traffic-option.ts";

type Values = CliConfig["values"];

/** Options that say nothing together, each with what is to be said of them. */
const CLASHES: readonly (readonly [isSo: (values: Values) => boolean, detail: string])[] = [
  [
    ({ tune, compare, explain, html }) =>
      tune !== undefined && (compare || explain !== undefined || html !== undefined),
    "--tune replays with many seeds: --compare, --explain and --html are for replays with one.",
  ],
  [
    ({ compare, rule, splits }) => compare && new Set(rule).size < 2 && splits.length < 2,
    "--compare needs two rules, such as --rule ttft,dynamo, or two clusters, such as --splits 8,7+1.",
  ],
  [
    (values) => values.sessions === "second-block" && values["trace-format"] === "mooncake-delta",
    "--sessions second-block finds sessions by whole prompts, and rows in delta form name theirs: --sessions rows.",
  ],
  [
    (values) => values.synthetic.length > 0 && values["trace-format"] !== "mooncake",
    "--trace-format is that of a file, and --synthetic reads none.",
  ],
  [
    ({ synthetic, sessions }) => synthetic.length > 0 && sessions === "second-block",
    "--sessions second-block is for traces of conversations: made-up traffic has sessions with turns=2-8, and --sessions rows.",
  ],
  [
    (values) =>
      (values["trace-format"] === "mooncake-delta" || hasSessions(values.synthetic)) &&
      values.sessions === "off" &&
      values.concurrency === undefined,
    "A turn in delta form holds the answer before it and comes after its end: add --sessions rows, or --concurrency.",
  ],
];

/** What `--router-only` reads beside the file. */
const OF_DECISIONS: readonly string[] = ["router-only", "rule", "json", "config", "log.level", "log.format"];

/** Throws BAD_CONFIG for options that say nothing together. */
export function checkTogether({ values, sources }: CliConfig): void {
  const clash = CLASHES.find(([isSo]) => isSo(values));
  if (clash) throw new StatorError("BAD_CONFIG", { detail: clash[1] });
  if (!values["router-only"]) return;
  // A variable or a file may be there for other commands.
  const other = Object.entries(sources).find(([key, source]) => source === "flag" && !OF_DECISIONS.includes(key));
  if (other) {
    const detail = `--router-only makes decisions of a capture once more and simulates nothing: ${flagOf(other[0])} says nothing there.`;
    throw new StatorError("BAD_CONFIG", { detail });
  }
  if (sources.rule !== "default" && new Set(values.rule).size > 1) {
    throw new StatorError("BAD_CONFIG", {
      detail: "--router-only takes one rule: its decisions stand beside the captured ones.",
    });
  }
}
