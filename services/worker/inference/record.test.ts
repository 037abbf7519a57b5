import { describe, expect, it } from "vitest";
import { InstanceState, ModelInput } from "#gen/stator/discovery/v1/discovery_pb";
import type { Identity } from "../record.ts";
import { type TensorStanding, tensorRecords } from "./record.ts";

const IDENTITY: Identity = {
  instanceId: 7n,
  incarnation: 8n,
  address: "127.0.0.1:9",
  version: "1.2.3",
  role: "aggregated",
  engine: "kserve",
  models: ["add", "repeat"],
  aliases: [],
  taints: ["zone=a"],
  markersInContent: false,
  services: ["inference.GRPCInferenceService"],
};
const FACTS = { name: "add", aliases: ["sum"], platform: "onnx", decoupled: false, createdUnixSeconds: 5 };
const STANDING: TensorStanding = {
  models: [FACTS, { ...FACTS, name: "repeat", aliases: [], decoupled: true }],
  inferenceAddress: "triton:8001",
  maxRunning: 3,
  software: { name: "triton", version: "2.60" },
};

describe("the records of a worker of tensors", () => {
  it("tell who is to be dialled, and of each model no more than its kind", () => {
    const [instance, add, repeat] = tensorRecords(IDENTITY, { state: "ready", reason: "" }, STANDING);
    expect(instance?.key).toBe("instances/0000000000000007");
    expect(instance?.value.value).toMatchObject({
      state: InstanceState.READY,
      address: "127.0.0.1:9",
      inferenceAddress: "triton:8001",
      models: ["add", "repeat"],
      services: ["inference.GRPCInferenceService"],
      maxRunningRequests: 3,
      taints: ["zone=a"],
      engineDescription: { name: "triton", version: "2.60" },
    });
    expect(add?.key).toBe("models/add/0000000000000007");
    expect(add?.value.value).toMatchObject({
      name: "add",
      instanceId: 7n,
      aliases: ["sum"],
      input: ModelInput.TENSOR,
      capabilities: { generate: false, embed: false },
      tensor: { platform: "onnx", decoupled: false },
      createdUnixSeconds: 5n,
    });
    expect(repeat?.value.value).toMatchObject({ name: "repeat", tensor: { decoupled: true } });
  });

  it("say nothing of software that nobody knows", () => {
    const [instance] = tensorRecords(
      IDENTITY,
      { state: "loading", reason: "It loads." },
      {
        models: [],
        inferenceAddress: "",
        maxRunning: 0,
        software: { name: "", version: "" },
      },
    );
    expect(instance?.value.value).toMatchObject({ inferenceAddress: "", reason: "It loads." });
    expect(instance?.value.value).not.toHaveProperty("engineDescription");
  });
});
