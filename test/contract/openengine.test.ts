import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { GenerateRequestSchema, GenerateResponseSchema } from "#gen/openengine/v1/generation_pb";
import { Control, Inference } from "#gen/openengine/v1/openengine_pb";
import { VECTORS } from "./vectors.ts";

describe("openengine.v1 on the wire", () => {
  test.each(VECTORS)("encodes $what", ({ schema, hex, value }) => {
    expect(Buffer.from(toBinary(schema, value)).toString("hex")).toBe(hex);
  });

  test.each(VECTORS)("decodes $what", ({ schema, hex, value }) => {
    expect(fromBinary(schema, Buffer.from(hex, "hex"))).toEqual(value);
  });

  test("has the paths that other implementations call", () => {
    const paths = [Inference, Control].flatMap((service) =>
      service.methods.map((method) => `${service.typeName}/${method.name} ${method.methodKind}`),
    );
    expect(paths).toEqual([
      "openengine.v1.Inference/Generate server_streaming",
      "openengine.v1.Control/GetServerInfo unary",
      "openengine.v1.Control/GetModelInfo unary",
      "openengine.v1.Control/GetLoad unary",
      "openengine.v1.Control/Health unary",
      "openengine.v1.Control/Abort unary",
      "openengine.v1.Control/LoadLora unary",
      "openengine.v1.Control/UnloadLora unary",
      "openengine.v1.Control/ListLoras unary",
      "openengine.v1.Control/GetKvEventSources unary",
      "openengine.v1.Control/SubscribeKvEvents server_streaming",
    ]);
  });

  test("tells an absent setting from an explicit zero", () => {
    const absent = fromBinary(GenerateRequestSchema, Buffer.from("2a00", "hex"));
    const zero = fromBinary(GenerateRequestSchema, Buffer.from("2a09090000000000000000", "hex"));
    expect(absent.sampling?.temperature).toBeUndefined();
    expect(zero.sampling?.temperature).toBe(0);
  });

  test("keeps an enum value that is newer than this contract", () => {
    const bytes = Buffer.from("2a021063", "hex");
    const message = fromBinary(GenerateResponseSchema, bytes);
    expect(message.event.case === "finished" && message.event.value.reason).toBe(0x63);
    expect(Buffer.from(toBinary(GenerateResponseSchema, message)).toString("hex")).toBe("2a021063");
  });
});
