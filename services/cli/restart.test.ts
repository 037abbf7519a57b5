import { describe, expect, it } from "vitest";
import { isCrash } from "./restart.ts";

describe("a child that ended by itself", () => {
  it("crashed, unless somebody ended it", () => {
    expect(isCrash({ code: null, signal: "SIGABRT" })).toBe(true);
    expect(isCrash({ code: null, signal: "SIGSEGV" })).toBe(true);
    expect(isCrash({ code: 1, signal: null })).toBe(true);
    expect(isCrash({ code: 0, signal: null })).toBe(false);
    expect(isCrash({ code: null, signal: "SIGKILL" })).toBe(false);
  });
});
