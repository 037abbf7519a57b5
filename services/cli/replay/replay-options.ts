import { nearest } from "#lib/base/nearest";
import {
  choice,
  decimal,
  flag,
  integer,
  integerOr,
  type OptionBase,
  type Options,
  severalOf,
  text,
} from "#lib/base/option";
import { BYPASS_NAMES, type BypassName } from "#lib/routing/legs/bypass";
import { USUAL_DISAGGREGATION } from "#lib/routing/legs/disaggregation";
import { RULE_NAMES, type RuleName } from "#lib/routing/rules/table";
import { PROFILES } from "#lib/simulation/replay/profile";
import { TRACE_FORMATS } from "#lib/simulation/replay/trace/trace-format";
import { splitsOption } from "./splits.ts";
import { trafficOption } from "./traffic-option.ts";

/** A place of a worker, from 0, and a number that is said of it. */
export interface OfPlace {
  /** From 0. */
  readonly place: number;
  /** A factor, or a moment in ms. */
  readonly value: number;
}

const BLOCK = { least: 1, most: 1_048_576, unit: "tokens" } as const;

/** What is decided of replays. */
export const REPLAY_OPTIONS = {
  rule: rulesOption(),
  profile: text({
    initial: "reference",
    placeholder: "NAME|FILE",
    doc: `How fast the workers are: ${Object.keys(PROFILES).join(", ")}, or a JSON file with what a pass takes (docs/replay.md).`,
  }),
  blocks: integer({
    initial: 10_000,
    least: 1,
    most: 16_777_216,
    doc: "KV blocks of each worker.",
    alike: "--num-gpu-blocks-override",
  }),
  "block-tokens": integer({ initial: 512, ...BLOCK, doc: "Tokens of a block of the workers.", alike: "--block-size" }),
  "trace-block-tokens": integer({
    initial: 512,
    ...BLOCK,
    doc: "Tokens that each hash of the trace stands for.",
    alike: "--trace-block-size",
  }),
  "trace-format": choice({
    initial: "mooncake",
    choices: TRACE_FORMATS,
    placeholder: "NAME",
    doc: "What a row of a session holds: the whole prompt, or in delta form what is new behind the answer before.",
    alike: "--trace-format",
  }),
  synthetic: trafficOption(),
  speed: decimal({
    initial: 1,
    least: 0.001,
    most: 100_000,
    placeholder: "FACTOR",
    doc: "How many times as fast as in the trace requests come.",
    alike: "--arrival-speedup-ratio",
  }),
  sessions: choice({
    initial: "off",
    choices: ["off", "rows", "second-block"],
    placeholder: "NAME",
    doc: "Which requests come after the end of the one before: none, those of a session by the rows, or those whose second block is the same.",
  }),
  concurrency: integer({
    initial: undefined,
    least: 1,
    most: 1_000_000,
    doc: "Requests that are in flight at any time, whatever the trace says of when they come; turns of a session still follow each other.",
    alike: "--replay-concurrency",
  }),
  "like-reference": flag({
    initial: false,
    doc: "Engines give blocks and begin passes as those of the reference's own replay, to compare figures with it.",
  }),
  "router-only": flag({
    initial: false,
    doc: "Make the decisions of a capture once more, by the same rule or by --rule, and simulate nothing.",
  }),
  seed: integer({
    initial: 1,
    least: 0,
    most: Number.MAX_SAFE_INTEGER,
    doc: "Of every draw: the same one gives the same result.",
  }),
  "worker-speed": ofPlaces({
    between: "=",
    placeholder: "PLACE=FACTOR",
    doc: "A worker that is so many times as fast as the profile, such as 0=0.5; places count from 0. May come several times.",
    expected: "the place of a worker and a factor from 0.001 to 1000, such as 0=0.5",
    read: (given) => within(Number(given), 0.001, 1_000),
    print: String,
  }),
  splits: splitsOption(),
  bypass: bypassesOption(),
  fail: momentsOption("A worker that dies with its cache"),
  join: momentsOption("A worker that comes with an empty cache"),
  threads: integerOr("auto", {
    least: 1,
    most: 256,
    doc: "Rules that are replayed side by side, each by a thread; auto takes the cores that there are. The result is the same.",
  }),
  timings: flag({
    initial: false,
    doc: "Put into the JSON what the replay itself took, too: without it the same seed gives the same bytes.",
  }),
  html: text({
    initial: undefined,
    placeholder: "FILE",
    doc: "Write a chart into this file: one page that needs nothing else.",
  }),
  explain: integer({
    initial: undefined,
    least: 0,
    most: Number.MAX_SAFE_INTEGER,
    placeholder: "ROW",
    doc: "Print why the request of this row of the trace, from 0, went where it did.",
  }),
  compare: flag({
    initial: false,
    doc: "Name the requests that the first two rules treat most differently, and why.",
  }),
  tune: text({
    initial: undefined,
    placeholder: "NAME=A,B,C",
    doc: "Try values of a number of the rules, by the name of its option without router., and tell differences from noise.",
  }),
  seeds: integer({
    initial: 3,
    least: 2,
    most: 1_000,
    doc: "Seeds that --tune tries each value with, from --seed on.",
  }),
} as const satisfies Options;

function rulesOption(): OptionBase<readonly RuleName[]> {
  return {
    ...namesOf(RULE_NAMES, "ttft"),
    doc: "Rules of routing to replay with, commas between them (gen/docs/rules.md).",
    alike: "--router-mode",
  };
}

function bypassesOption(): OptionBase<readonly BypassName[]> {
  return {
    ...namesOf(BYPASS_NAMES, USUAL_DISAGGREGATION.bypass),
    doc: "When prompts are computed where their answers are made though workers for prompts are there (docs/routing.md): each name is a row of every cluster that has those, commas between them.",
    alike: "--conditional-disagg-policy",
  };
}

/** One or more names of a table, with commas between them. */
function namesOf<Name extends string>(
  known: readonly Name[],
  initial: Name,
): Omit<OptionBase<readonly Name[]>, "doc" | "alike"> {
  return {
    initial: [initial],
    several: true,
    placeholder: "NAME,NAME",
    parse(given) {
      const names = given.split(",").map((name) => name.trim());
      const wrong = names.find((name) => !(known as readonly string[]).includes(name));
      if (wrong === undefined) return names as Name[];
      const hint = nearest(wrong, known);
      return { expected: `rules of ${known.join(", ")}${hint ? `, such as ${hint}` : ""}` };
    },
    print: (names) => names.join(","),
    schema: { type: "string" },
  };
}

function momentsOption(what: string): OptionBase<readonly OfPlace[]> {
  return ofPlaces({
    between: "@",
    placeholder: "PLACE@TIME",
    doc: `${what}: its place, from 0, and the moment of virtual time, such as 3@600s. May come several times.`,
    expected: "the place of a worker and a moment in ms, s, m or h, such as 3@600s",
    read: readMoment,
    print: (ms) => `${ms}ms`,
  });
}

function ofPlaces(about: {
  readonly between: string;
  readonly placeholder: string;
  readonly doc: string;
  readonly expected: string;
  readonly read: (given: string) => number | undefined;
  readonly print: (value: number) => string;
}): OptionBase<readonly OfPlace[]> {
  const { between, placeholder, doc, expected } = about;
  return severalOf<OfPlace>({
    ...{ placeholder, doc },
    parseItem(given) {
      const [place = "", rest = ""] = given.split(between);
      const value = /^\d{1,6}$/.test(place) && rest !== "" ? about.read(rest) : undefined;
      return value === undefined ? { expected } : { place: Number(place), value };
    },
    printItem: ({ place, value }) => place + between + about.print(value),
    itemSchema: { type: "string" },
  });
}

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

function readMoment(given: string): number | undefined {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(given) ?? [];
  if (amount === undefined) return undefined;
  return within(Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS], 0, Number.MAX_SAFE_INTEGER);
}

function within(value: number, least: number, most: number): number | undefined {
  return value >= least && value <= most ? value : undefined;
}
