import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { exports } from "./exports.ts";

const check = (text: string) => exports(treeOf({ "lib/a/one.ts": text }));

test.each([
  ["/** It. */\nexport default 1;", "default export"],
  [`export * from "./two.ts";`, "export *"],
  [`export * as two from "./two.ts";`, "export *"],
  ["export const one = 1;", "one has no doc comment"],
  ["/* It. */\nexport function one() {}", "one has no doc comment"],
  ["/** It. */\nconst two = 2;\nexport interface One {}", "One has no doc comment"],
])("%j is refused", (text, complaint) => {
  expect(check(text)).toEqual([expect.stringContaining(complaint)]);
});

test.each([
  "/** It. */\nexport const one = 1;",
  "/**\n * It.\n */\nexport async function one() {}",
  `export { two } from "./two.ts";`,
  `export type { Two } from "./two.ts";`,
  "/** It. */\nexport function one(a: string): void;\nexport function one(a: number): void;\nexport function one() {}",
])("%j is accepted", (text) => {
  expect(check(text)).toEqual([]);
});
