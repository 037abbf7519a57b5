import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { DataType, ModelConfigSchema } from "#gen/inference/model_config_pb";
import { SystemSharedMemoryStatusResponseSchema } from "#gen/inference/shared_memory_pb";
import { ModelStatisticsResponseSchema } from "#gen/inference/statistics_pb";
import { printMessage } from "./json-message.ts";

it("has names as in the contract, numbers of 64 bits in digits, and what is zero or empty", () => {
  const statistics = create(ModelStatisticsResponseSchema, {
    modelStats: [{ name: "m", lastInference: 2n ** 60n, inferenceStats: { success: { count: 2n, ns: 3n } } }],
  });
  const printed = printMessage(ModelStatisticsResponseSchema, statistics);
  expect(printed).toContain('"last_inference":1152921504606846976');
  expect(JSON.parse(printed)).toMatchObject({
    model_stats: [
      {
        name: "m",
        version: "",
        inference_count: 0,
        batch_stats: [],
        inference_stats: { success: { count: 2, ns: 3 } },
      },
    ],
  });
});

it("prints lists of long numbers, enums and maps of messages and of texts", () => {
  const config = create(ModelConfigSchema, {
    name: "m",
    input: [{ name: "i", dataType: DataType.TYPE_STRING, dims: [-1n, 2n] }],
    parameters: { "a b": { stringValue: "x" } },
    modelTransactionPolicy: { decoupled: true },
  });
  expect(JSON.parse(printMessage(ModelConfigSchema, config))).toMatchObject({
    name: "m",
    input: [{ name: "i", data_type: "TYPE_STRING", dims: [-1, 2] }],
    parameters: { "a b": { string_value: "x" } },
    model_transaction_policy: { decoupled: true },
  });
  const regions = { r: { name: "r", key: "/k", offset: 0n, byteSize: 64n } };
  expect(
    printMessage(SystemSharedMemoryStatusResponseSchema, create(SystemSharedMemoryStatusResponseSchema, { regions })),
  ).toBe('{"regions":{"r":{"name":"r","key":"/k","offset":0,"byte_size":64}}}');
});
