import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { InstanceRecordSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { inferenceAddressOf } from "./inference-address.ts";

it("is what the record names, else the worker's own where it answers tensors, else nowhere", () => {
  const record = (init: Parameters<typeof create<typeof InstanceRecordSchema>>[1]) =>
    inferenceAddressOf(create(InstanceRecordSchema, init));
  const services = ["inference.GRPCInferenceService"];
  expect(record({ address: "a:1", services, inferenceAddress: "triton:8001" })).toBe("triton:8001");
  expect(record({ address: "a:1", inferenceAddress: "triton:8001" })).toBe("triton:8001");
  expect(record({ address: "a:1", services })).toBe("a:1");
  expect(record({ address: "a:1", services: ["stator.worker.v1.WorkerLinkService"] })).toBeUndefined();
});
