import { describe, expect, it } from "vitest";
import { heldShare } from "../../../test/support/loop-watch.ts";
import { readHeaders } from "./metadata.ts";

const TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";

function read(headers: Record<string, string | string[]>) {
  const all = (name: string) => [headers[name] ?? []].flat();
  return readHeaders({ metadata: { get: (name) => all(name)[0], all } });
}

describe("the headers of openengine.v1", () => {
  it("are all optional", () => {
    expect(read({})).toEqual({ priority: 0, traceparent: undefined });
  });

  it("say how urgent a call is and under which trace it runs", () => {
    expect(read({ "openengine-priority": "-2147483648", traceparent: TRACE })).toEqual({
      priority: -2147483648,
      traceparent: TRACE,
    });
    expect(read({ "openengine-priority": "2147483647" }).priority).toBe(2147483647);
  });

  it.each<Record<string, string>>([
    { "openengine-routing-key": "tenant 5/chat" },
    { "openengine-target-dp-rank": "0" },
    { tracestate: "vendor=a, other=b" },
    { tracestate: "" },
    { tracestate: " a=b\t, ,c=d ," },
  ])("may be %o", (headers) => {
    expect(read(headers).priority).toBe(0);
  });

  it.each<Record<string, string | string[]>>([
    { "openengine-priority": "high" },
    { "openengine-priority": "" },
    { "openengine-priority": "1.5" },
    { "openengine-priority": "2147483648" },
    { "openengine-priority": ["1", "1"] },
    { "openengine-priority": "1, 1" },
    { "openengine-target-dp-rank": "-1" },
    { "openengine-target-dp-rank": "4294967296" },
    { "openengine-target-dp-rank": "1" },
    { "openengine-target-dp-rank": "0, 0" },
    { "openengine-routing-key": ["a", "b"] },
    { "openengine-routing-key": "a, b" },
    { "openengine-routing-key": "" },
    { "openengine-routing-key": "x".repeat(1025) },
    { traceparent: "00-zz" },
    { traceparent: `${TRACE}, ${TRACE}` },
    { tracestate: ["a=b", "c=d"] },
    { tracestate: "nothing" },
  ])("may not be %o", (headers) => {
    expect(() => read(headers)).toThrow(expect.objectContaining({ reason: "INVALID_ARGUMENT" }));
  });

  it("cost no more than their length", async () => {
    for (const tracestate of [`${"a=b  ,".repeat(300)}x`, `${" \t,".repeat(600)}=`, "a=".repeat(1000)]) {
      const held = await heldShare(async () => {
        expect(() => read({ tracestate })).toThrow();
      });
      expect(held).toBeLessThanOrEqual(1);
    }
    const key = `${"a ".repeat(511)} `;
    expect(
      await heldShare(async () => void expect(() => read({ "openengine-routing-key": key })).toThrow()),
    ).toBeLessThanOrEqual(1);
  });
});
