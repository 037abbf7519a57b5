import { expect, test } from "vitest";
import { createOpenCalls } from "./open-calls.ts";

test("a name is taken while its call runs, and known for a while afterwards", () => {
  const calls = createOpenCalls();
  const aborted: string[] = [];
  const call = (name: string) => ({ abort: () => void aborted.push(name) });
  expect(calls.add("a", call("a"))).toBe(true);
  expect(calls.add("a", call("other"))).toBe(false);
  expect(calls.abort("a")).toBe("open");
  expect(aborted).toEqual(["a"]);
  calls.remove("a");
  expect(calls.abort("a")).toBe("ended");
  expect(calls.abort("b")).toBe("unknown");
  expect(calls.add("a", call("again"))).toBe(true);
  expect(calls.abort("a")).toBe("open");
  expect(aborted).toEqual(["a", "again"]);
});

test("what is remembered is bounded, the oldest goes first", () => {
  const calls = createOpenCalls();
  for (let at = 0; at < 5000; at++) {
    calls.add(`r${at}`, { abort() {} });
    calls.remove(`r${at}`);
  }
  expect(calls.abort("r0")).toBe("unknown");
  expect(calls.abort("r4999")).toBe("ended");
  expect(calls.abort("r1000")).toBe("ended");
});
