import { expect, test } from "vitest";
import { renderPages, staleFiles } from "../../tools/gen/generate.ts";
import { clock } from "./rules/clock.ts";
import { cycles } from "./rules/cycles.ts";
import { exports } from "./rules/exports.ts";
import { fields } from "./rules/fields.ts";
import { floors } from "./rules/floors.ts";
import { leftovers } from "./rules/leftovers.ts";
import { limits } from "./rules/limits.ts";
import { lock } from "./rules/lock.ts";
import { names } from "./rules/names.ts";
import { orphans } from "./rules/orphans.ts";
import { packages } from "./rules/packages.ts";
import { pages } from "./rules/pages.ts";
import { places } from "./rules/places.ts";
import { purity } from "./rules/purity.ts";
import { scripts } from "./rules/scripts.ts";
import { size } from "./rules/size.ts";
import { state } from "./rules/state.ts";
import { type Rule, readTree } from "./tree.ts";

const RULES: Readonly<Record<string, Rule>> = {
  floors,
  purity,
  clock,
  state,
  cycles,
  orphans,
  exports,
  fields,
  size,
  names,
  packages,
  pages,
  leftovers,
  places,
  lock,
  limits,
  scripts,
};

const tree = readTree();

test.each(Object.entries(RULES))("the tree keeps the rule of %s", (_name, rule) => {
  expect(rule(tree)).toEqual([]);
});

test("the pages in gen/ are what the tables say", async () => {
  const fresh = await renderPages();
  for (const part of ["gen/docs", "gen/schema"]) {
    expect(staleFiles(new Map([...fresh].filter(([path]) => path.startsWith(`${part}/`))), part)).toEqual([]);
  }
});
