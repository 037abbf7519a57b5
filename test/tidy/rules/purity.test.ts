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
  ["const a = { fetch };", "fetch"],
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
  "// await and Promise and fetch",
  `const a = "console.log";`,
])("%s is pure", (text) => {
  expect(check(text)).toEqual([]);
});

test("tests and rooms that are not pure are free", () => {
  expect(check("const a = fetch(b);", "lib/kv/block.test.ts")).toEqual([]);
  expect(check("const a = fetch(b);", "lib/engines/llama/engine.ts")).toEqual([]);
  expect(check("const a = fetch(b);", "lib/engines/schedule/step.ts")).not.toEqual([]);
});
