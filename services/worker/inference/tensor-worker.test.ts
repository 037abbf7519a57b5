import { create } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import { InferTensorContentsSchema } from "#gen/inference/infer_pb";
import { InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { TENSOR_EXAMPLES } from "#lib/engines/tensor/examples";
import type { TensorModel } from "#lib/engines/tensor/model";
import {
  echo,
  gated,
  inferRequest,
  one,
  outputsOf,
  repeat,
  SIMPLE,
  TensorRig,
} from "../../../test/support/tensor-worker-rig.ts";
import { settle } from "../../../test/support/worker-rig.ts";
import { TENSOR_WORKER_LIMITS } from "./limits.ts";

const rigs: TensorRig[] = [];

function rigOf(...args: ConstructorParameters<typeof TensorRig>): TensorRig {
  const rig = new TensorRig(...args);
  rigs.push(rig);
  return rig;
}

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.worker.close();
});

const started = (...args: ConstructorParameters<typeof TensorRig>) => rigOf(...args).start();
describe("a worker of tensors", () => {
  it("answers with raw contents, whatever form the request had, and with its own id and version", async () => {
    const { client } = await started(TENSOR_EXAMPLES);
    const request = inferRequest("simple", SIMPLE, { id: "r1" });
    const answer = await client.modelInfer(request);
    expect(answer).toMatchObject({ modelName: "simple", modelVersion: "1", id: "r1", parameters: {} });
    expect(answer.outputs).toMatchObject([
      { name: "OUTPUT0", datatype: "INT32", shape: [1n, 16n] },
      { name: "OUTPUT1", datatype: "INT32", shape: [1n, 16n] },
    ]);
    const sums = Int32Array.from({ length: 16 }, (_, at) => at + 1);
    expect(outputsOf(answer)).toEqual({ OUTPUT0: sums, OUTPUT1: sums.map((sum) => sum - 2) });
    const typed = inferRequest(
      "simple",
      {},
      {
        inputs: ["INPUT0", "INPUT1"].map((name) => {
          return {
            name,
            datatype: "INT32",
            shape: [1n, 16n],
            contents: { intContents: new Array<number>(16).fill(2) },
          };
        }),
        outputs: [{ name: "OUTPUT1" }],
      },
    );
    expect(outputsOf(await client.modelInfer(typed))).toEqual({ OUTPUT1: new Int32Array(16) });
  });

  it("tells what its models are and did", async () => {
    const { client, clock } = await started(TENSOR_EXAMPLES);
    expect(await client.serverMetadata({})).toMatchObject({ name: "stator", version: "1.2.3" });
    expect(await client.modelMetadata({ name: "repeat_int32" })).toMatchObject({
      versions: ["1"],
      platform: "stator",
      inputs: [
        { name: "IN", datatype: "INT32", shape: [-1n] },
        { name: "DELAY", datatype: "UINT32", shape: [-1n] },
        { name: "WAIT", datatype: "UINT32", shape: [1n] },
      ],
      outputs: [{ name: "OUT", datatype: "INT32", shape: [1n] }],
    });
    const { config } = await client.modelConfig({ name: "simple", version: "1" });
    expect(config).toMatchObject({
      name: "simple",
      maxBatchSize: 8,
      input: [{ name: "INPUT0", dataType: 8, dims: [16n] }, { name: "INPUT1" }],
      output: [{ name: "OUTPUT0", dims: [16n] }, {}],
      modelTransactionPolicy: { decoupled: false },
    });
    const { models } = await client.repositoryIndex({});
    expect(models.map(({ name, version, state }) => [name, version, state])).toEqual(
      TENSOR_EXAMPLES.map(({ name }) => [name, "1", "READY"]),
    );
    await client.modelInfer(inferRequest("simple", SIMPLE));
    await expect(client.modelInfer(inferRequest("simple", {}))).rejects.toThrow("INPUT0: is missing");
    const { modelStats } = await client.modelStatistics({ name: "simple" });
    expect(modelStats).toMatchObject([
      {
        name: "simple",
        version: "1",
        lastInference: BigInt(clock.unixMs()),
        inferenceCount: 1n,
        executionCount: 1n,
        inferenceStats: { success: { count: 1n }, fail: { count: 1n }, computeInfer: { count: 1n } },
      },
    ]);
    expect((await client.modelStatistics({})).modelStats).toHaveLength(5);
  });

  it("looks at what a request would cost before it is parsed, and at no other one", () => {
    const { worker } = rigOf(TENSOR_EXAMPLES);
    const methods = worker.services.flatMap((service) => service.methods);
    const emptyInputs = Buffer.from("2a00".repeat(TENSOR_WORKER_LIMITS.cost.fields + 1), "hex");
    const checking = methods.filter(({ checkBytes }) => checkBytes);
    expect(checking.map(({ method }) => method.name)).toEqual(["ModelInfer", "ModelStreamInfer"]);
    for (const { checkBytes } of checking) {
      expect(() => checkBytes?.(emptyInputs)).toThrow(/at most 8192 fields/);
      expect(() => checkBytes?.(emptyInputs.subarray(2))).not.toThrow();
    }
  });

  it("refuses in the words that clients look for", async () => {
    const { client } = await started(TENSOR_EXAMPLES);
    const unknown = "Request for unknown model: 'wrong' is not found";
    for (const call of [
      client.modelInfer(inferRequest("wrong", SIMPLE)),
      client.modelMetadata({ name: "wrong" }),
      client.modelConfig({ name: "wrong" }),
      client.modelStatistics({ name: "wrong" }),
    ]) {
      const refused = expect.objectContaining({
        message: expect.stringContaining(unknown),
        row: expect.objectContaining({ grpc: 5 }),
      });
      await expect(call).rejects.toEqual(refused);
    }
    const version = client.modelInfer(inferRequest("simple", SIMPLE, { modelVersion: "2" }));
    await expect(version).rejects.toThrow(
      "Request for unknown model: 'simple' is not found. It has the version 1 alone.",
    );
    const wrong = client.modelInfer(inferRequest("simple", SIMPLE, { modelVersion: "wrong_specification" }));
    await expect(wrong).rejects.toThrow(
      "failed to get model version from specified version string 'wrong_specification'",
    );
    await expect(client.repositoryModelLoad({ modelName: "simple" })).rejects.toThrow("failed to load 'simple'");
    await expect(client.repositoryModelUnload({ repositoryName: "simple" })).rejects.toThrow(
      "failed to unload 'simple'",
    );
    const once = client.modelInfer(inferRequest("repeat_int32", repeat([1], 0)));
    await expect(once).rejects.toMatchObject({ reason: "UNSUPPORTED_FEATURE" });
    const sequence = { sequence_id: { parameterChoice: { case: "int64Param", value: 1n } } } as const;
    await expect(client.modelInfer(inferRequest("simple", SIMPLE, { parameters: sequence }))).rejects.toThrow(
      "sequence_id",
    );
    await expect(client.modelInfer(inferRequest("simple", SIMPLE, { outputs: [{ name: "NO" }] }))).rejects.toThrow(
      "NO: is no output",
    );
    const both = inferRequest("simple", SIMPLE);
    both.rawInputContents.pop();
    for (const input of both.inputs.slice(0, 1)) input.contents = create(InferTensorContentsSchema);
    await expect(client.modelInfer(both)).rejects.toThrow(
      "contents field must not be specified when using raw_input_contents for 'INPUT0' for model 'simple'",
    );
    await expect(client.traceSetting({})).rejects.toMatchObject({ reason: "UNSUPPORTED_FEATURE" });
  });

  it("answers to other names as to its own", async () => {
    const loadModels = async () => [{ name: "add", aliases: ["sum"], model: TENSOR_EXAMPLES[0] as TensorModel }];
    const rig = await started([], { loadModels, names: ["add"] });
    for (const name of ["add", "sum"]) {
      expect((await rig.client.modelInfer(inferRequest(name, SIMPLE))).modelName).toBe(name);
    }
    const twice = rigOf([], { loadModels: async () => [...(await loadModels()), ...(await loadModels())] });
    await expect(twice.start()).rejects.toThrow("Two models are called add.");
  });

  it("hands a model what the request says beside its tensors", async () => {
    const seen: unknown[] = [];
    const model: TensorModel = {
      ...echo,
      infer(inputs, { id, parameters, wanted }) {
        seen.push({ id, parameters, wanted });
        return echo.infer(inputs as Parameters<typeof echo.infer>[0], {} as never);
      },
    };
    const { client } = await started([model]);
    const parameters = {
      by: { parameterChoice: { case: "int64Param", value: 3n } },
      priority: { parameterChoice: { case: "uint64Param", value: 3n } },
      mode: { parameterChoice: { case: "stringParam", value: "fast" } },
    } as const;
    await client.modelInfer(inferRequest("echo", one(7), { id: "i", parameters, outputs: [{ name: "Y" }] }));
    expect(seen).toEqual([{ id: "i", parameters: { by: 3n, mode: "fast" }, wanted: ["Y"] }]);
  });

  it("tells of a model that throws no more than its kind", async () => {
    const throws = (error: unknown): TensorModel => ({
      ...echo,
      infer() {
        throw error;
      },
    });
    const broken = await started([throws(new RangeError("secret"))]);
    const failed = broken.client.modelInfer(inferRequest("echo", one(1)));
    await expect(failed).rejects.toMatchObject({
      reason: "ENGINE_FAILED",
      message: expect.not.stringContaining("secret"),
    });
    expect(await broken.metric("stator_worker_tensor_requests_total", '{result="failed"}')).toBe(1);
    const refuses: TensorModel = { ...echo, infer: (_, call) => call.refuse("X is odd") };
    const said = await started([refuses]);
    await expect(said.client.modelInfer(inferRequest("echo", one(1)))).rejects.toThrow("X is odd.");
    expect(await said.metric("stator_worker_tensor_requests_total", '{result="refused"}')).toBe(1);
  });
});

describe("the places of a worker of tensors", () => {
  it("are so many; more requests wait, and one beyond is refused and counted", async () => {
    const { model, gates } = gated();
    const rig = await started([model], { limits: { maxRunning: 1, maxWaiting: 1 } });
    const calls = [1, 2, 3].map((value) => rig.client.modelInfer(inferRequest("gated", one(value))));
    const refused = expect(calls[2]).rejects.toMatchObject({ reason: "OVERLOADED" });
    await settle();
    await refused;
    expect(await rig.metric("stator_worker_tensor_running")).toBe(1);
    expect(await rig.metric("stator_worker_tensor_waiting")).toBe(1);
    expect(await rig.metric("stator_worker_tensor_open")).toBe(2);
    expect(await rig.metric("stator_worker_tensor_requests_total", '{result="overloaded"}')).toBe(1);
    expect(gates).toHaveLength(1);
    gates[0]?.resolve(10);
    await settle();
    gates[1]?.resolve(20);
    const answers = await Promise.all(calls.slice(0, 2));
    expect(answers.map(outputsOf)).toEqual([{ Y: Int32Array.of(10) }, { Y: Int32Array.of(20) }]);
    expect(await rig.metric("stator_worker_tensor_running")).toBe(0);
  });

  it("hold so many bytes, or one request", async () => {
    const { model, gates } = gated();
    const rig = await started([model], { limits: { maxBytes: 6 } });
    const first = rig.client.modelInfer(inferRequest("gated", one(1)));
    await settle();
    await expect(rig.client.modelInfer(inferRequest("gated", one(2)))).rejects.toThrow("bytes of tensors");
    gates[0]?.resolve(1);
    await first;
    const small = await started([echo], { limits: { maxBytes: 1 } });
    await small.client.modelInfer(inferRequest("echo", one(3)));
    await small.client.modelInfer(inferRequest("echo", one(4)));
    expect(await small.metric("stator_worker_tensor_bytes_total", '{direction="in"}')).toBe(8);
    expect(await small.metric("stator_worker_tensor_bytes_total", '{direction="out"}')).toBe(8);
  });

  it("are a model's until it is done, though its caller waits no longer than it said", async () => {
    const { model, gates } = gated();
    const rig = await started([model], { limits: { maxRunning: 1 } });
    const parameters = { timeout: { parameterChoice: { case: "int64Param", value: 5_000n } } } as const;
    const late = rig.client.modelInfer(inferRequest("gated", one(1), { parameters }));
    const outcome = expect(late).rejects.toMatchObject({ reason: "DEADLINE", facts: { deadlineMs: 5 } });
    await settle();
    await rig.advance(5);
    await outcome;
    expect(await rig.metric("stator_worker_tensor_running")).toBe(1);
    expect(await rig.metric("stator_worker_tensor_requests_total", '{result="cancelled"}')).toBe(1);
    gates[0]?.resolve(1);
    await settle();
    expect(await rig.metric("stator_worker_tensor_running")).toBe(0);
  });
});

describe("the life of a worker of tensors", () => {
  it("is published before its models are open, and with them when they are", async () => {
    const gate = Promise.withResolvers<void>();
    const order: string[] = [];
    const model: TensorModel = {
      ...echo,
      open: () => gate.promise,
      close: () => void order.push("closed"),
    };
    const rig = rigOf([model]);
    const starting = rig.start();
    await settle();
    expect(rig.discovery.seen).toMatchObject({
      instance: { state: InstanceState.LOADING, models: ["echo"] },
      names: [],
    });
    expect(await rig.client.serverReady({})).toMatchObject({ ready: false });
    expect(await rig.client.modelReady({ name: "echo" })).toMatchObject({ ready: false });
    expect(await rig.client.serverLive({})).toMatchObject({ live: true });
    await expect(rig.client.modelInfer(inferRequest("echo", one(1)))).rejects.toMatchObject({
      reason: "MODEL_LOADING",
    });
    gate.resolve();
    await starting;
    expect(rig.discovery.seen).toMatchObject({
      instance: { state: InstanceState.READY, models: ["echo"], maxRunningRequests: 32 },
      names: ["model echo"],
    });
    expect(await rig.client.modelReady({ name: "echo" })).toMatchObject({ ready: true });
    expect(await rig.client.modelReady({ name: "other" })).toMatchObject({ ready: false });
    await rig.worker.close();
    expect(order).toEqual(["closed"]);
    expect(rig.states).toEqual(["loading", "ready"]);
  });

  it("says why when a model does not open", async () => {
    const open = () => Promise.reject(new Error("no weights"));
    const rig = rigOf([{ ...echo, open }]);
    await expect(rig.start()).rejects.toThrow("the model echo did not open: no weights");
    expect(rig.discovery.seen.instance).toMatchObject({
      state: InstanceState.FAILED,
      reason: "The engine failed: the model echo did not open: no weights.",
    });
    expect(await rig.client.serverReady({})).toMatchObject({ ready: false });
  });

  it("finishes what it has when it drains, and takes nothing new", async () => {
    const rig = await started(TENSOR_EXAMPLES);
    const stream = rig.stream();
    stream.send(inferRequest("repeat_int32", repeat([1, 2], 10), { id: "a" }));
    await settle();
    const drained = rig.worker.drain(1_000);
    await settle();
    expect(rig.discovery.seen.instance).toMatchObject({ state: InstanceState.DRAINING });
    await expect(rig.client.modelInfer(inferRequest("simple", SIMPLE))).rejects.toMatchObject({ reason: "DRAINING" });
    expect(await rig.client.modelReady({ name: "simple" })).toMatchObject({ ready: false });
    for (const ms of [10, 10, 0]) await rig.advance(ms);
    await drained;
    expect([stream.told, stream.status]).toEqual([["a=1", "a=2"], "DRAINING"]);
  });

  it("ends what is left after the time of its drain", async () => {
    const rig = await started(TENSOR_EXAMPLES);
    const stream = rig.stream();
    stream.send(inferRequest("repeat_int32", repeat([1], 60_000), { id: "a" }));
    const once = gated();
    const slow = await started([once.model]);
    const unary = slow.client.modelInfer(inferRequest("gated", one(1)));
    const ended = expect(unary).rejects.toMatchObject({ reason: "DRAINING" });
    await settle();
    for (const each of [rig, slow]) {
      const drained = each.worker.drain(100);
      await settle();
      await each.advance(100);
      await drained;
      await each.worker.close();
    }
    await ended;
    expect(stream.status).toBe("DRAINING");
    once.gates[0]?.resolve(1);
  });

  it("comes back as another incarnation when its lease lapsed", async () => {
    const rig = await started(TENSOR_EXAMPLES);
    const before = rig.discovery.seen.instance?.incarnation;
    rig.discovery.lapse();
    await settle();
    expect(rig.discovery.seen.instance).toMatchObject({ state: InstanceState.READY });
    expect(rig.discovery.seen.instance?.incarnation).not.toBe(before);
  });
});
