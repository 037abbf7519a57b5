import { StatorError } from "#lib/base/errors";
import { nearest } from "#lib/base/nearest";
import { isExpectation } from "#lib/base/option";
import { ROUTING_OPTIONS, RULE_CONSTANTS, readRuleConstants } from "#lib/routing/options";
import { bestOf, type SweepRow, sweepOf, verdictOf } from "#lib/simulation/replay/report/sweep";
import type { CliConfig } from "../command.ts";
import { printTable } from "../table.ts";
import { ms } from "./figures-table.ts";
import type { ReplayRun } from "./replay-run.ts";

type Values = CliConfig["values"];

/** What one rule made of each value of a number, in mean ms to the first token. */
export interface Tuning {
  /** The rule. */
  readonly rule: string;
  /** Name of the number, as that of its option. */
  readonly name: string;
  /** In the order in which the values were said. */
  readonly rows: readonly SweepRow[];
}

/** One replay, and the value that it has. */
export interface TuningRun {
  /** Of the rule. */
  readonly value: string;
  /** What is replayed. */
  readonly run: ReplayRun;
}

const PREFIX = "router.";

/** For each rule every value with every seed. Throws BAD_CONFIG for a number that there is not, or a value that it cannot have. */
export function planTuning(tune: string, values: Values, runs: readonly ReplayRun[]): readonly TuningRun[] {
  const [name = "", list = ""] = tune.split("=");
  const key = keyOf(name);
  const texts = list.split(",").map((text) => text.trim());
  const seeds = Array.from({ length: values.seeds }, (_, at) => BigInt(values.seed + at));
  if (new Set(texts).size < 2) {
    throw new StatorError("BAD_CONFIG", { detail: `--tune: give several values, such as ${name}=0.5,1,2.` });
  }
  return runs.flatMap((run) =>
    texts.flatMap((value) => {
      const parsed = ROUTING_OPTIONS[key].parse(value);
      if (isExpectation(parsed)) {
        throw new StatorError("BAD_CONFIG", { detail: `--tune: ${name} is ${parsed.expected}, not ${value}.` });
      }
      const constants = readRuleConstants({ ...values, [key]: parsed });
      return seeds.map((seed) => ({ value, run: { ...run, routing: { ...run.routing, constants }, seed } }));
    }),
  );
}

/** What came of it: `results` has the mean ms to the first token of each run. */
export function tuningsOf(runs: readonly TuningRun[], results: readonly number[], tune: string): readonly Tuning[] {
  const [name = ""] = tune.split("=");
  const byRule = Map.groupBy(runs.keys(), (at) => runs[at]!.run.name);
  return [...byRule].map(([rule, places]) => {
    const byValue = Map.groupBy(places, (at) => runs[at]!.value);
    const given = new Map([...byValue].map(([value, own]) => [value, own.map((at) => results[at]!)]));
    return { rule, name, rows: sweepOf(given) };
  });
}

/** A table for each rule, and a sentence of what it says. */
export function printTunings(tunings: readonly Tuning[], seeds: number): string {
  return tunings.map((tuning) => printTuning(tuning, seeds)).join("\n\n");
}

function printTuning({ rule, name, rows }: Tuning, seeds: number): string {
  const best = bestOf(rows);
  const table = printTable<SweepRow>(
    [
      [`${rule}, ${name}`, ({ value }) => value],
      ["TTFT", ({ mean }) => ms(mean)],
      ["OF SEEDS", ({ least, most }) => `${ms(least)} to ${ms(most)}`],
      ["BESIDE BEST", ({ mean }) => `+${((mean / best.mean - 1) * 100).toFixed(1)} %`],
      ["", (row) => verdictOf(row, best)],
    ],
    rows,
  );
  const noise = Math.max(...rows.map(({ mean, least, most }) => (most - least) / mean));
  const range = Math.max(...rows.map(({ mean }) => mean)) / best.mean - 1;
  const told = `Over ${seeds} seeds one value differs by up to ${share(noise)}, the values from each other by ${share(range)}.`;
  return `${table}\n${told}`;
}

function share(value: number): string {
  return `${(value * 100).toFixed(1)} %`;
}

function keyOf(name: string): (typeof RULE_CONSTANTS)[keyof typeof RULE_CONSTANTS] {
  const keys = Object.values(RULE_CONSTANTS);
  const plain = name.replace(/^--/, "").replace(/^router[.-]/, "");
  const key = keys.find((each) => each === PREFIX + plain);
  if (key) return key;
  const known = keys.map((each) => each.slice(PREFIX.length));
  const hint = nearest(plain, known);
  const more = hint ? `Did you mean ${hint}?` : `There are ${known.join(", ")}.`;
  throw new StatorError("BAD_CONFIG", { detail: `--tune: ${plain || "nothing"} is no number of a rule. ${more}` });
}
