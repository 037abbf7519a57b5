import { describe, expect, test } from "vitest";
import { withComplaints } from "#lib/contract/buf-complaints";
import { BUF_RULES } from "#lib/contract/buf-rules";
import { compareContracts } from "#lib/contract/compare";
import { readImage } from "#lib/contract/contract";
import { type Difference, isBreaking } from "#lib/contract/difference";
import { AUDIENCES, type Audience, PARTIES } from "#lib/contract/verdict";
import { runTool } from "../../tools/run-tool.ts";
import { inTemporaryFolder } from "../../tools/temporary-folder.ts";
import { buildEdits, complaintsOf, packageOfEdit, readEdits } from "../support/edit-pair.ts";
import { IS_LONG } from "../support/seeds.ts";

const CATEGORIES = readCategories();

/** What buf refuses in a category, a check for these audiences must refuse as well. */
const COVERED_BY: Readonly<Record<string, readonly Audience[]>> = {
  WIRE: ["servers"],
  WIRE_JSON: ["servers", "json"],
  FILE: AUDIENCES,
  PACKAGE: AUDIENCES,
};

test("every rule of this buf is known, for whose sake it is", () => {
  expect([...BUF_RULES].sort()).toEqual([...CATEGORIES.keys()].sort());
});

describe("an edit has the verdicts of the table, and buf's", () => {
  const edits = readEdits();
  const pair = inTemporaryFolder((folder) => buildEdits(edits, folder));
  const differences = compareContracts(readImage(pair.before, "before"), readImage(pair.after, "after"));

  test("and nothing that buf complains about is left for the words of buf", () => {
    expect(withComplaints(differences, pair.complaints)).toEqual(differences);
  });

  test("the table has at least 40 edits, each of its own name", () => {
    expect(new Set(edits.map(({ edit }) => edit)).size).toBe(edits.length);
    expect(edits.length).toBeGreaterThanOrEqual(40);
  });

  test.each(edits.map((row, at) => ({ ...row, at })))("$edit", ({ at, kinds, verdicts, file, wireJson }) => {
    const rules = [...new Set(complaintsOf(pair, at).map(({ type }) => type))].sort();
    const of = (category: string) => rules.filter((rule) => CATEGORIES.get(rule)?.includes(category));
    expect({ file: of("FILE"), wireJson: of("WIRE_JSON") }).toEqual({ file, wireJson });
    const mine = differences.filter((one) => one.package.startsWith(packageOfEdit(at)));
    expect([...new Set(mine.map(({ kind }) => kind))].sort()).toEqual(kinds);
    expect(PARTIES.map((party) => worst(mine, party)).join(" ")).toBe(verdicts);
    expectCovered(mine, rules);
  });
});

const SCALARS = [
  ...["double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string", "bytes"],
  ...["uint32", "sfixed32", "sfixed64", "sint32", "sint64", "E", "F", "M", "N"],
];
/** What may stand before a type; all of it takes minutes. */
const FORMS = IS_LONG ? ["", "optional ", "repeated ", "map<string, "] : [""];
const TYPES =
  "enum E { E_UNSPECIFIED = 0; } enum F { F_UNSPECIFIED = 0; } message M { string m = 1; } message N { int32 n = 1; }";

/** A message of every type in every form that is there before, for every one that is there after: what buf refuses, we refuse. */
test.each(FORMS)("no pair of types is taken that buf refuses, from the form %j", (form) => {
  const declared = (type: string, how: string): string => `${how}${type}${how.startsWith("map") ? ">" : ""}`;
  const edits = SCALARS.map((type) => {
    const pairs = SCALARS.flatMap((other) => FORMS.map((how) => declared(other, how)));
    const messages = (fields: readonly string[]) =>
      fields.map((field, at) => `message X${at} { ${field} a${at} = 1; }`).join("\n");
    return {
      before: `${TYPES}\n${messages(pairs.map(() => declared(type, form)))}`,
      after: `${TYPES}\n${messages(pairs)}`,
    };
  });
  const pair = inTemporaryFolder((folder) => buildEdits(edits, folder));
  const differences = compareContracts(readImage(pair.before, "before"), readImage(pair.after, "after"));
  const byMessage = Map.groupBy(differences, ({ element }) => element.split(".").slice(0, 4).join("."));
  let count = 0;
  for (const at of edits.keys()) {
    const complaints = complaintsOf(pair, at);
    const rulesOf = Map.groupBy(complaints, ({ message }) => /"[XA](\d+)(\.A\d+)?(Entry)?"/.exec(message)?.[1] ?? "");
    for (const [message, about] of rulesOf) {
      expectCovered(byMessage.get(`${packageOfEdit(at)}.X${message}`) ?? [], [
        ...new Set(about.map(({ type }) => type)),
      ]);
      count++;
    }
  }
  expect(count).toBeGreaterThanOrEqual(SCALARS.length * (SCALARS.length - 1));
});

/** Each rule of buf is among those of our differences, and we refuse for whoever a category of buf's is for. */
function expectCovered(mine: readonly Difference[], rules: readonly string[]): void {
  const ours = new Set(mine.flatMap((one) => one.rules));
  expect(rules.filter((rule) => !ours.has(rule))).toEqual([]);
  for (const [category, audiences] of Object.entries(COVERED_BY)) {
    if (!rules.some((rule) => CATEGORIES.get(rule)?.includes(category))) continue;
    expect(mine.some((one) => isBreaking(one, audiences))).toBe(true);
  }
}

function worst(mine: readonly Difference[], party: (typeof PARTIES)[number]): string {
  const verdicts = mine.map(({ effects }) => effects[party][0]);
  return verdicts.includes("breaks") ? "breaks" : verdicts.includes("careful") ? "careful" : "safe";
}

/** Rules by name, with their categories. */
function readCategories(): ReadonlyMap<string, readonly string[]> {
  const { output } = runTool("buf", ["config", "ls-breaking-rules", "--version", "v2", "--format", "json"], {
    capture: true,
  });
  const rows = output.split("\n").filter(Boolean);
  return new Map(
    rows.map((line) => {
      const { id, categories } = JSON.parse(line) as { readonly id: string; readonly categories: readonly string[] };
      return [id, categories];
    }),
  );
}
