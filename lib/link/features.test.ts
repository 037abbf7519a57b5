import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { RequestKind, SubmitSchema } from "#gen/stator/worker/v1/link_pb";
import { checkFeatures, LINK_FEATURES } from "./features.ts";

const plain = { kind: RequestKind.GENERATE, promptTokenIds: new Uint8Array(4) };

function refusal(more: MessageInitShape<typeof SubmitSchema>, has: readonly string[]): string {
  try {
    checkFeatures(create(SubmitSchema, { ...plain, ...more }), has);
  } catch (error) {
    return (error as Error).message;
  }
  return "taken";
}

it.each<[string, MessageInitShape<typeof SubmitSchema>]>([
  ["prefill", { kind: RequestKind.PREFILL }],
  ["encode", { kind: RequestKind.ENCODE }],
  ["score", { kind: RequestKind.SCORE }],
  ["session", { session: {} }],
  ["room", { room: {} }],
  ["media", { media: [{}] }],
  ["engine_extras", { engineExtras: new Uint8Array(1) }],
])("refuses %s by its name, unless the worker has it", (feature, more) => {
  const words = `${feature} is not available: the engine of this worker does not have it.`;
  expect(refusal(more, [])).toBe(words);
  expect(refusal(more, Object.values(LINK_FEATURES))).toBe(words);
  expect(refusal(more, ["x", feature])).toBe("taken");
});

it("leaves alone what every worker is asked, and names the first of several", () => {
  expect(refusal({}, [])).toBe("taken");
  expect(refusal({ kind: RequestKind.EMBED, embedding: {} }, [])).toBe("taken");
  expect(refusal({ kind: RequestKind.UNSPECIFIED }, [])).toBe("taken");
  expect(refusal({ room: {}, media: [{}] }, ["room"])).toContain("media");
  expect(refusal({ kind: RequestKind.SCORE, session: {} }, [])).toContain("score");
});
