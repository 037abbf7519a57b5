import { expect, test } from "vitest";
import { withComplaints } from "./buf-complaints.ts";
import { changelogAsJson, printChangelog } from "./changelog.ts";
import { isBreaking, describe as say, weigh } from "./difference.ts";
import { AUDIENCES } from "./verdict.ts";
import { printBreaks, printVerdicts, verdictsAsJson } from "./verdict-report.ts";

const place = { file: "a/v1/a.proto", package: "a.v1" };
const about = { field: "n", number: 1, message: "a.v1.M" };
const widened = say({
  ...{ kind: "TYPE_WIDENED", ...place, element: "a.v1.M.n", facts: { ...about, from: "int32", to: "int64" } },
  reach: { isRequest: true, isResponse: false },
});
const freed = say({
  kind: "RESERVED_FREED",
  ...place,
  element: "a.v1.M",
  facts: { name: "a.v1.M", reserved: "the number 5" },
});
const added = say({ kind: "FIELD_ADDED", ...place, element: "a.v1.M.o", facts: { ...about, field: "o", number: 2 } });

test("a difference is told with its reasons, what to do and the rules of buf", () => {
  expect(printVerdicts([widened])).toBe(
    `BREAKS  a.v1.M.n  (a/v1/a.proto)
  The type of n (1) of a.v1.M is int64 now, not int32.
    old servers  care: old readers cut off what does not fit int32
    new servers  fine
    JSON users   break: numbers of 64 bits are texts in JSON, those of 32 bits are not
    stub users   break: its accessor has another type
  What to do: Add a field with a number and a name of its own, fill both for two minor versions, then deprecate the old one.
  buf: FIELD_SAME_TYPE, FIELD_WIRE_JSON_COMPATIBLE_TYPE

Breaking: 1 difference, 1 breaks, 0 refused by buf's rules, 0 ask for care, 0 fine. Broken are JSON users, stub users.`,
  );
});

test("who counts decides: what hurts nobody among them is care, and what buf refuses for their sake is refused", () => {
  expect(weigh(widened, ["servers"])).toBe("careful");
  expect(weigh(freed, ["servers"])).toBe("refused");
  expect(weigh(freed, ["stubs"])).toBe("safe");
  expect(weigh(added, AUDIENCES)).toBe("careful");
  expect([widened, freed, added].filter((one) => isBreaking(one, ["servers"]))).toEqual([freed]);
  expect(printBreaks([widened, added], ["servers"])).toBe("");
  expect(printVerdicts([widened], ["servers"])).toContain("Compatible, counting servers alone: 1 difference,");
  expect(printVerdicts([])).toBe("Compatible: nothing is different.");
  expect(printVerdicts([added])).toMatch(/^Compatible: 1 difference, 0 break, .*1 asks for care/);
});

test("the same message hurts servers where callers send it, callers where servers answer, and both where nobody knows", () => {
  const verdicts = (isRequest: boolean, isResponse: boolean) => {
    const facts = { ...about, from: "int32", to: "int64" };
    const reach = { isRequest, isResponse };
    const { effects } = say({ kind: "TYPE_WIDENED", ...place, element: "a.v1.M.n", facts, reach });
    return [effects.oldServers[0], effects.newServers[0]];
  };
  expect(verdicts(true, false)).toEqual(["careful", "safe"]);
  expect(verdicts(false, true)).toEqual(["safe", "careful"]);
  expect(verdicts(true, true)).toEqual(["careful", "careful"]);
  expect(verdicts(false, false)).toEqual(["careful", "careful"]);
});

test("a complaint of buf that nothing answers is told in its words and refused; google.protobuf comes and goes", () => {
  const complaint = { path: "a/v1/a.proto", type: "RULE_OF_TOMORROW", message: "Something new." };
  const answered = { path: "a/v1/a.proto", type: "FIELD_SAME_TYPE", message: "Field changed." };
  const foreign = {
    type: "FILE_NO_DELETE",
    message: 'Previously present file "google/protobuf/any.proto" was deleted.',
  };
  const [first, second, ...others] = withComplaints([widened], [answered, foreign, complaint]);
  expect([first, others]).toEqual([widened, []]);
  expect(second?.what).toContain("Something new.");
  expect(weigh(second!, ["json"])).toBe("refused");
  expect(withComplaints([widened], [{ ...answered, path: "b.proto" }])).toHaveLength(2);
});

test("a changelog has packages, sections and marks; programs get the same", () => {
  expect(printChangelog([widened, added])).toBe(`## a.v1

### Added

- The field o (2) of a.v1.M is new.

### Changed

- **Breaking:** The type of n (1) of a.v1.M is int64 now, not int32.`);
  expect(printChangelog([])).toBe("Nothing is different.");
  expect(changelogAsJson([added])).toMatchObject([
    { section: "added", breaking: false, package: "a.v1", kind: "FIELD_ADDED" },
  ]);
  expect(verdictsAsJson([widened], AUDIENCES)).toMatchObject({
    compatible: false,
    counts: { breaks: 1 },
    differences: [{ kind: "TYPE_WIDENED", weight: "breaks", effects: { newServers: { verdict: "safe", why: "" } } }],
  });
});
