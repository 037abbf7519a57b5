import { nearest } from "#lib/base/nearest";
import type { OptionBase } from "#lib/base/option";
import type { Spread } from "#lib/simulation/replay/trace/draw";
import { GROUPED_TRAFFIC, type TrafficOptions } from "#lib/simulation/replay/trace/synthetic-traffic";

/** What can be said of made-up traffic, and whether as one number or also as a range. */
const SETTINGS = {
  groups: "number",
  "prompts-per-group": "number",
  "shared-ratio": "number",
  "input-tokens": "range",
  "output-tokens": "range",
  "per-second": "number",
  variation: "number",
  turns: "range",
  "turn-tokens": "range",
  "delay-ms": "range",
} as const satisfies Readonly<Record<string, "number" | "range">>;

type TrafficName = keyof typeof SETTINGS;

/** One thing that is said of made-up traffic. */
export interface TrafficSetting {
  /** As the fields of TrafficOptions, with hyphens. */
  readonly name: TrafficName;
  /** A number, or a range of them. */
  readonly value: number | { readonly least: number; readonly most: number };
}

const NAMES = Object.keys(SETTINGS) as TrafficName[];
const OF_SESSIONS: readonly TrafficName[] = ["turns", "turn-tokens", "delay-ms"];
const EXAMPLE = "groups=128,input-tokens=512-8192";

/** Sessions about which somebody said something, and not everything. */
const USUAL_SESSIONS = {
  turns: { least: 1, most: 8 },
  turnTokens: { least: 32, most: 512 },
  delayMs: { least: 1_000, most: 30_000 },
} as const;

/** Declares traffic that is made up: settings with commas between them. */
export function trafficOption(): OptionBase<readonly TrafficSetting[]> {
  return {
    initial: [],
    several: true,
    placeholder: "NAME=VALUE,…",
    doc: `Make traffic up in place of a trace, such as ${EXAMPLE}; of ${NAMES.join(", ")} what is not said is usual (docs/replay.md).`,
    alike: "--num-prefix-groups, --shared-prefix-ratio, --input-tokens, --turns-per-session, …",
    parse(given) {
      const settings = given.split(",").map((each) => parseSetting(each.trim()));
      const wrong = settings.find((each) => "expected" in each);
      return wrong ?? (settings as TrafficSetting[]);
    },
    print: (settings) => settings.map(({ name, value }) => `${name}=${printValue(value)}`).join(","),
    schema: { type: "string" },
  };
}

/** Whether the traffic has sessions: something is said of turns. */
export function hasSessions(settings: readonly TrafficSetting[]): boolean {
  return settings.some(({ name }) => OF_SESSIONS.includes(name));
}

/** What was said, and for the rest what is usual. */
export function trafficOf(
  settings: readonly TrafficSetting[],
  about: Pick<TrafficOptions, "seed" | "blockTokens">,
): TrafficOptions {
  const said = new Map(settings.map(({ name, value }) => [name, value]));
  const range = (name: TrafficName, usual: Spread): Spread => said.get(name) ?? usual;
  const number = (name: TrafficName, usual: number): number => {
    const value = said.get(name);
    return typeof value === "number" ? value : usual;
  };
  const usual = GROUPED_TRAFFIC;
  return {
    ...about,
    groups: number("groups", usual.groups),
    promptsPerGroup: number("prompts-per-group", usual.promptsPerGroup),
    sharedRatio: number("shared-ratio", usual.sharedRatio),
    inputTokens: range("input-tokens", usual.inputTokens),
    outputTokens: range("output-tokens", usual.outputTokens),
    perSecond: number("per-second", usual.perSecond),
    variation: number("variation", 1),
    ...(hasSessions(settings) && {
      sessions: {
        turns: range("turns", USUAL_SESSIONS.turns),
        turnTokens: range("turn-tokens", USUAL_SESSIONS.turnTokens),
        delayMs: range("delay-ms", USUAL_SESSIONS.delayMs),
      },
    }),
  };
}

function parseSetting(given: string): TrafficSetting | { readonly expected: string } {
  const [name = "", text = ""] = given.split("=");
  if (!isName(name)) {
    const hint = nearest(name, NAMES);
    return { expected: `NAME=VALUE with a name of ${NAMES.join(", ")}${hint ? `, such as ${hint}` : ""}` };
  }
  const value = parseValue(text);
  if (value === undefined || (typeof value !== "number" && SETTINGS[name] === "number")) {
    const what = SETTINGS[name] === "number" ? "a number" : "a number or a range, such as 512-8192";
    return { expected: `${name}=VALUE with ${what}` };
  }
  return { name, value };
}

function isName(name: string): name is TrafficName {
  return Object.hasOwn(SETTINGS, name);
}

function parseValue(text: string): TrafficSetting["value"] | undefined {
  const [, least, most] = /^(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?$/.exec(text) ?? [];
  if (least === undefined) return undefined;
  return most === undefined ? Number(least) : { least: Number(least), most: Number(most) };
}

function printValue(value: TrafficSetting["value"]): string {
  return typeof value === "number" ? String(value) : `${value.least}-${value.most}`;
}
