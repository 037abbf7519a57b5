import { describe, expect, it } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { isKey, isUnder, parseSegment, printSegment, requireKey, requirePrefix } from "./keys.ts";

describe("keys", () => {
  it("takes segments of the small alphabet only", () => {
    for (const key of ["a", "workers/1", "models/llama-3.1_8b/00ff", "a.b/c_d"]) expect(isKey(key), key).toBe(true);
    for (const key of ["", "/a", "a/", "a//b", "A", "a b", "..", "a/../b", "a/.", "ä", "a".repeat(241)]) {
      expect(isKey(key), key).toBe(false);
      expect(() => requireKey(key)).toThrow("is not a discovery key");
    }
    requirePrefix("");
    expect(() => requirePrefix("workers/")).toThrow();
  });

  it("stops prefixes at segments", () => {
    expect(isUnder("workers/1", "workers/1")).toBe(true);
    expect(isUnder("workers/1/a", "workers/1")).toBe(true);
    expect(isUnder("workers/10", "workers/1")).toBe(false);
    expect(isUnder("workers/10", "workers")).toBe(true);
    expect(isUnder("anything", "")).toBe(true);
  });

  it("prints any text as a segment and reads it back", () => {
    expect(printSegment("org/Model:Q4")).toBe("org_2f_4dodel_3a_514");
    expect(printSegment("..")).toBe("_2e_2e");
    const chance = new SeededChance(1n);
    for (let at = 0; at < 500; at++) {
      const text = Array.from({ length: 1 + pick(chance, 12) }, () => "aZ09._-/ ü漢😀"[pick(chance, 12)] ?? "x").join(
        "",
      );
      const whole = text.toWellFormed();
      expect(isKey(printSegment(whole)), whole).toBe(true);
      expect(parseSegment(printSegment(whole))).toBe(whole);
    }
    for (const bad of ["_zz", "_41_", "_61", "A"]) expect(parseSegment(bad), bad).toBeUndefined();
  });
});
