import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { clock } from "./clock.ts";

const check = (text: string, path = "lib/rpc/channel.ts") => clock(treeOf({ [path]: text }));

test.each([
  ["const a = Date.now();", "Date.now"],
  ["const a = new Date();", "new Date()"],
  ["const a = Date();", "Date()"],
  ["const a = performance.now();", "performance"],
  ["const a = options.soon ?? setImmediate;", "setImmediate"],
  ["setTimeout(() => 1, 2);", "setTimeout"],
  ["const a = { setTimeout };", "setTimeout"],
  ["setInterval(a, 1);", "setInterval"],
  ["queueMicrotask(a);", "queueMicrotask"],
  ["globalThis.setImmediate(a);", "setImmediate"],
  ["process.nextTick(a);", "process.nextTick"],
  ["const a = process.hrtime.bigint();", "process.hrtime"],
  ["const a = AbortSignal.timeout(5);", "AbortSignal.timeout"],
  ["const a = Math.random();", "Math.random"],
  ["const a = crypto.randomUUID();", "crypto.randomUUID"],
  [`import { setTimeout as sleep } from "node:timers/promises";`, "node:timers/promises"],
  [`import { performance as a } from "node:perf_hooks";`, "node:perf_hooks"],
  [`import { randomBytes } from "node:crypto";`, "node:crypto"],
  [`import * as crypto from "node:crypto";`, "node:crypto"],
  [`import { nextTick } from "node:process";`, "node:process"],
  [`import { systemClock } from "#lib/host/system-clock";`, "#lib/host/system-clock"],
])("%s takes what it is not given", (text, complaint) => {
  expect(check(text).join("\n")).toContain(complaint);
  expect(check(text, "services/worker/board.ts")).not.toEqual([]);
});

test.each([
  `import type { Clock } from "#lib/base/clock";`,
  `import { createHash } from "node:crypto";`,
  "const a = new Date(clock.unixMs());",
  "const a = Date.parse(text) < clock.unixMs();",
  "clock.after(5, () => clock.soon(a));",
  "const a = { setTimeout() {}, performance: 1 };",
  "const a = options.performance;",
  "// setImmediate and Date.now()",
])("%s is given it", (text) => {
  expect(check(text)).toEqual([]);
});

test("the room of the machine, the program, beginnings and tests take it", () => {
  const text = `import { systemClock } from "#lib/host/system-clock";`;
  const owners = ["lib/host/log.ts", "services/cli/compose/hub.ts", "lib/rpc/call.test.ts", "test/support/a.ts"];
  for (const path of owners) expect(check("const a = Date.now();", path)).toEqual([]);
  expect(check(text, "lib/rpc/open-client.ts")).toEqual([]);
  expect(check("const a = Date.now();", "lib/rpc/open-client.ts")).toHaveLength(1);
});
