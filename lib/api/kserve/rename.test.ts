import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { ModelInferRequestSchema } from "#gen/inference/infer_pb";
import { peekInferRequest } from "./peek.ts";
import { withModelName } from "./rename.ts";

it("is the same request under another name", () => {
  const request = create(ModelInferRequestSchema, {
    modelName: "alias",
    id: "7",
    rawInputContents: [Uint8Array.of(1, 2)],
  });
  const renamed = withModelName(toBinary(ModelInferRequestSchema, request), "simple");
  expect(fromBinary(ModelInferRequestSchema, renamed)).toEqual({ ...request, modelName: "simple" });
  expect(peekInferRequest(renamed).modelName).toBe("simple");
});
