import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  type ModelInferResponse,
  ModelInferResponseSchema,
  ModelStreamInferResponseSchema,
} from "#gen/inference/infer_pb";
import { AnswerEncoder } from "./answer-encoder.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytesOf = (text: string) => {
  const bytes = Buffer.alloc(4 + Buffer.byteLength(text));
  bytes.writeUInt32LE(bytes.length - 4);
  bytes.write(text, 4);
  return bytes;
};
const OUTPUTS = [{ name: "text_output", datatype: "BYTES", shape: [1n] }];
const answer = (fields: Parameters<typeof create<typeof ModelInferResponseSchema>>[1]): ModelInferResponse =>
  create(ModelInferResponseSchema, fields);

describe("an encoder of answers", () => {
  it("makes the bytes that the wire has for them", () => {
    const named = { modelName: "m", modelVersion: "1", id: "r1" };
    const raw = answer({ ...named, outputs: OUTPUTS, rawOutputContents: [bytesOf("hi")] });
    expect(hex(new AnswerEncoder().whole(raw))).toBe(
      "0a016d1201311a0272312a170a0b746578745f6f7574707574120542595445531a01013206020000006869",
    );
    const final = { triton_final_response: { parameterChoice: { case: "boolParam" as const, value: false } } };
    const framed = answer({ ...named, parameters: final, outputs: OUTPUTS, rawOutputContents: [bytesOf("hi")] });
    expect(hex(new AnswerEncoder().onStream(framed))).toBe(
      "12480a016d1201311a027231221b0a15747269746f6e5f66696e616c5f726573706f6e7365120208002a170a0b746578745f6f7574707574120542595445531a01013206020000006869",
    );
  });

  it("makes the same bytes as the library, whatever an answer shares with the one before", () => {
    const encoder = new AnswerEncoder();
    const shared = answer({ modelName: "m", id: "1", outputs: OUTPUTS });
    const { outputs, parameters } = shared;
    const answers = [
      shared,
      ...["", "a", "x".repeat(127), "y".repeat(128), "z".repeat(40_000)].map((text) => {
        return { ...shared, rawOutputContents: [bytesOf(text)] };
      }),
      { ...shared, rawOutputContents: [bytesOf("a"), new Uint8Array(0), bytesOf("b")] },
      { ...shared, outputs: [...outputs], rawOutputContents: [bytesOf("as before")] },
      { ...shared, outputs: [...outputs, ...outputs] },
      { ...shared, outputs: [], parameters: { ...parameters } },
      { ...shared, parameters: { n: create(ModelInferResponseSchema.field.parameters.message!) as never } },
      { ...shared, id: "2" },
      { ...shared, modelName: "n" },
      { ...shared, modelVersion: "1" },
      shared,
    ];
    for (const one of answers) {
      expect(hex(encoder.whole(one))).toBe(hex(toBinary(ModelInferResponseSchema, one)));
      const framed = toBinary(
        ModelStreamInferResponseSchema,
        create(ModelStreamInferResponseSchema, { inferResponse: one }),
      );
      expect(hex(encoder.onStream(one))).toBe(hex(framed));
    }
    expect(fromBinary(ModelInferResponseSchema, encoder.whole(shared))).toEqual(shared);
  });
});
