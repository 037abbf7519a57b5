import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { RoutingScopeSchema, WeightsScopeSchema } from "#gen/stator/common/v1/common_pb";
import { routingMismatch, weightsId } from "./worker-sets.ts";

const digest = (byte: number) => new Uint8Array(32).fill(byte);

it("says everything in which two routing scopes differ, and nothing of what nobody compares", () => {
  const scope = { blockTokens: 16, hashScheme: "x", tokenizerDigest: digest(1), templateDigest: digest(2) };
  const expected = create(RoutingScopeSchema, scope);
  const differs = (more: Partial<typeof scope>) =>
    routingMismatch(expected, create(RoutingScopeSchema, { ...scope, ...more }));
  expect(routingMismatch(expected, create(RoutingScopeSchema, { ...scope, certainty: 2 }))).toBeUndefined();
  expect(differs({ blockTokens: 32 })).toBe("blocks of 32 tokens instead of 16");
  expect(differs({ hashScheme: "" })).toBe("hash scheme unknown instead of x");
  expect(differs({ tokenizerDigest: digest(9) })).toBe("another tokenizer");
  expect(differs({ templateDigest: digest(9), hashScheme: "y" })).toBe(
    "hash scheme y instead of x, another chat template",
  );
  const unknown = create(RoutingScopeSchema, { ...scope, hashScheme: "" });
  expect(routingMismatch(unknown, expected)).toBe("hash scheme x instead of unknown");
});

it("names weights by the beginning of their digest and by their quantization, as far as they are known", () => {
  const modelDigest = Uint8Array.from({ length: 32 }, (_, at) => at);
  const id = (weights: { modelDigest?: Uint8Array<ArrayBuffer>; quantization?: string }) =>
    weightsId(create(WeightsScopeSchema, weights));
  expect(id({ modelDigest, quantization: "q8_0" })).toBe("0001020304050607-q8_0");
  expect([id({ modelDigest }), id({ quantization: "q8_0" })]).toEqual(["0001020304050607-unknown", "unknown-q8_0"]);
  expect(weightsId(undefined)).toBe("unknown");
});
