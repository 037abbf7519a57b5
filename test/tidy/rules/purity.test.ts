import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { purity } from "./purity.ts";

const check = (text: string, path = "lib/kv/block.ts") => purity(treeOf({ [path]: text }));

test.each([
  [`import { readFileSync } from "node:fs";`, "node:fs"],
  [`import { randomBytes } from "node:crypto";`, "node:crypto"],
  [`import Redis from "ioredis";`, "ioredis"],
  [`import { Scope } from "#lib/host/scope";`, "#lib/host/scope"],
  ["async function a() {}", "async"],
  ["const a = async () => 1;", "async"],
  ["const a = await b();", "await"],
  ["function a(): Promise<void> {}", "Promise"],
  ["const a = Date.now();", "Date.now"],
  ["const a = new Date();", "new Date()"],
  ["const a = Math.random();", "Math.random"],
  ["const a = performance.now();", "performance"],
  ["setTimeout(() => 1, 2);", "setTimeout"],
  ["const a = { setTimeout };", "setTimeout"],
  ["const a = process.pid;", "process"],
  ["console.info(1);", "console"],
])("%s is not pure", (text, complaint) => {
  expect(check(text).join("\n")).toContain(complaint);
});

test.each([
  `import type { Log } from "#lib/host/log";`,
  `import { createHash } from "node:crypto";`,
  `import { assert } from "#lib/base/errors";`,
  `import { create } from "@bufbuild/protobuf";`,
  "const a = new Date(0);",
  "const a = { process: 1, console() {} };",
  "const a = step.process;",
  "// await and Promise and setTimeout",
  `const a = "console.log";`,
])("%s is pure", (text) => {
  expect(check(text)).toEqual([]);
});

test("tests and rooms that are not pure are free", () => {
  expect(check("const a = Date.now();", "lib/kv/block.test.ts")).toEqual([]);
  expect(check("const a = Date.now();", "lib/engines/llama/engine.ts")).toEqual([]);
  expect(check("const a = Date.now();", "lib/engines/schedule/step.ts")).not.toEqual([]);
});
