import { expect, test } from "vitest";
import type { Tracer } from "./telemetry.ts";
import { createDialledTracer } from "./trace-dial.ts";

test("a dial says which requests get a span, and those within a trace always do", async () => {
  const started: string[] = [];
  let closed = false;
  const inner: Tracer = {
    start(name) {
      started.push(name);
      return { traceparent: "made", set() {}, end() {} };
    },
    async close() {
      closed = true;
    },
  };
  const dial = { on: true, everyNth: 3 };
  const tracer = createDialledTracer(inner, dial);
  const start = (name: string, traceparent?: string) => tracer.start(name, traceparent).traceparent;
  expect(["a", "b", "c", "d"].map((name) => start(name))).toEqual(["made", undefined, undefined, "made"]);
  expect(start("e", "theirs")).toBe("made");
  dial.on = false;
  expect([start("f"), start("g", "theirs")]).toEqual([undefined, "theirs"]);
  dial.on = true;
  dial.everyNth = 1;
  expect([start("h"), start("i")]).toEqual(["made", "made"]);
  expect(started).toEqual(["a", "d", "e", "h", "i"]);
  await tracer.close();
  expect(closed).toBe(true);
});
