import { expect, test } from "vitest";
import { isExpectation } from "#lib/base/option";
import { GROUPED_TRAFFIC, syntheticTraffic } from "#lib/simulation/replay/trace/synthetic-traffic";
import { hasSessions, type TrafficSetting, trafficOf, trafficOption } from "./traffic-option.ts";

const ABOUT = { seed: 1n, blockTokens: 16 };
const { parse, print } = trafficOption();

function parsed(text: string): readonly TrafficSetting[] {
  const settings = parse(text);
  if (isExpectation(settings)) throw new Error(settings.expected);
  return settings;
}

test("what is said of traffic counts, and for the rest what is usual", () => {
  expect(trafficOf(parsed("groups=128"), ABOUT)).toEqual({ ...GROUPED_TRAFFIC, ...ABOUT, variation: 1 });
  const text =
    "groups=3,prompts-per-group=2,shared-ratio=0.25,input-tokens=64,output-tokens=1-9,per-second=2.5,variation=0";
  expect(trafficOf(parsed(text), ABOUT)).toEqual({
    ...{ ...ABOUT, groups: 3, promptsPerGroup: 2, sharedRatio: 0.25, inputTokens: 64 },
    ...{ outputTokens: { least: 1, most: 9 }, perSecond: 2.5, variation: 0 },
  });
  expect(print!(parsed(text))).toBe(text);
  // What is said last counts.
  expect(trafficOf([...parsed("groups=3"), ...parsed("groups=4")], ABOUT).groups).toBe(4);
});

test("sessions are there where anything is said of them", () => {
  expect(hasSessions(parsed("groups=3"))).toBe(false);
  for (const text of ["turns=2-4", "turn-tokens=64", "delay-ms=0"]) expect(hasSessions(parsed(text))).toBe(true);
  expect(trafficOf(parsed("turns=3,delay-ms=0-50"), ABOUT).sessions).toMatchObject({
    ...{ turns: 3, delayMs: { least: 0, most: 50 } },
  });
  const rows = [...syntheticTraffic(trafficOf(parsed("groups=2, prompts-per-group=2, turns=3"), ABOUT))];
  expect(rows.map(({ session }) => session)).toHaveLength(12);
});

test.each([
  ["group=3", "NAME=VALUE with a name of groups, .*, such as groups$"],
  ["", "with a name of"],
  ["groups", "groups=VALUE with a number$"],
  ["groups=1-3", "groups=VALUE with a number$"],
  ["groups=2,turns=x", "turns=VALUE with a number or a range, such as 512-8192$"],
  ["turns=-1", "turns=VALUE with"],
  ["turns=1-2-3", "turns=VALUE with"],
])("%s is refused", (text, said) => {
  expect(() => parsed(text)).toThrow(new RegExp(said));
});
