import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { INFERENCE_VECTORS } from "./inference-vectors.ts";

describe("inference on the wire", () => {
  test.each(INFERENCE_VECTORS)("encodes $what", ({ schema, hex, value }) => {
    expect(Buffer.from(toBinary(schema, value)).toString("hex")).toBe(hex);
  });

  test.each(INFERENCE_VECTORS)("decodes $what", ({ schema, hex, value }) => {
    expect(Buffer.from(toBinary(schema, fromBinary(schema, Buffer.from(hex, "hex")))).toString("hex")).toBe(hex);
    expect(fromBinary(schema, Buffer.from(hex, "hex"))).toMatchObject({ $typeName: value.$typeName });
  });

  test("has the paths that clients call", () => {
    const paths = GRPCInferenceService.methods.map(({ name, methodKind }) => `${name} ${methodKind}`);
    expect(GRPCInferenceService.typeName).toBe("inference.GRPCInferenceService");
    expect(paths).toEqual([
      "ServerLive unary",
      "ServerReady unary",
      "ModelReady unary",
      "ServerMetadata unary",
      "ModelMetadata unary",
      "ModelInfer unary",
      "ModelStreamInfer bidi_streaming",
      "ModelConfig unary",
      "ModelStatistics unary",
      "RepositoryIndex unary",
      "RepositoryModelLoad unary",
      "RepositoryModelUnload unary",
      "SystemSharedMemoryStatus unary",
      "SystemSharedMemoryRegister unary",
      "SystemSharedMemoryUnregister unary",
      "CudaSharedMemoryStatus unary",
      "CudaSharedMemoryRegister unary",
      "CudaSharedMemoryUnregister unary",
      "TraceSetting unary",
      "LogSettings unary",
    ]);
  });
});
