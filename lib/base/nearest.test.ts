import { describe, expect, it } from "vitest";
import { nearest } from "./nearest.ts";

describe("nearest", () => {
  it("finds the name that was meant, and none when nothing is near", () => {
    const names = ["temperature", "max_tokens", "top_p", "stop", "stream"];
    expect(nearest("tempreature", names)).toBe("temperature");
    expect(nearest("maxTokens", names)).toBe("max_tokens");
    expect(nearest("top-p", names)).toBe("top_p");
    expect(nearest("entirely_else", names)).toBeUndefined();
    expect(nearest("x".repeat(10_000), names)).toBeUndefined();
  });
});
