import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { fields } from "./fields.ts";

const check = (text: string, path = "lib/base/one.ts") => fields(treeOf({ [path]: text }));

test("a field or a method of an exported interface without a doc comment is found", () => {
  const text =
    "export interface A {\n  /** Bytes. */\n  readonly b: number;\n  readonly c?: number;\n  d(e: number): void;\n}";
  expect(check(text)).toEqual([
    "lib/base/one.ts:4: A, readonly c has no doc comment",
    "lib/base/one.ts:5: A, d has no doc comment",
  ]);
});

test("interfaces of one file, of tests and outside of the rooms are left alone", () => {
  expect(check("interface A { b: number }")).toEqual([]);
  expect(check("export interface A { b: number }", "tools/one.ts")).toEqual([]);
  expect(check("export interface A { b: number }", "lib/base/one.test.ts")).toEqual([]);
});

test("the word by which a union tells its members apart needs none", () => {
  expect(check('export interface A { readonly kind: "a" }\nexport interface B { is: "b" }')).toEqual([]);
});
