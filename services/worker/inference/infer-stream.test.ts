import { afterEach, describe, expect, it } from "vitest";
import { TENSOR_EXAMPLES } from "#lib/engines/tensor/examples";
import type { TensorModel } from "#lib/engines/tensor/model";
import {
  echo,
  gated,
  type InferStreamClient,
  inferRequest,
  NUMBER,
  one,
  outputsOf,
  repeat,
  SIMPLE,
  TensorRig,
} from "../../../test/support/tensor-worker-rig.ts";
import { settle } from "../../../test/support/worker-rig.ts";

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
describe("a stream of requests", () => {
  const asked = (id: string, ...numbers: number[]) => inferRequest("repeat_int32", repeat(numbers, 10), { id });
  const OPT_IN = {
    triton_enable_empty_final_response: { parameterChoice: { case: "boolParam", value: true } },
  } as const;

  async function streamOf(rig: TensorRig, options = {}): Promise<InferStreamClient> {
    const stream = rig.stream(options);
    await settle();
    return stream;
  }

  it("runs its requests side by side, and ends when it is half-closed and they have ended", async () => {
    const rig = await started(TENSOR_EXAMPLES);
    const stream = await streamOf(rig);
    stream.send(asked("a", 1, 2), asked("b", 3, 4));
    stream.halfClose();
    await settle();
    await rig.advance(10);
    expect(stream.told).toEqual(["a=1", "b=3"]);
    expect(stream.status).toBeUndefined();
    await rig.advance(10);
    expect(stream.told).toEqual(["a=1", "b=3", "a=2", "b=4"]);
    await rig.advance(0);
    expect(stream.status).toBe("OK");
    expect(await rig.metric("stator_worker_tensor_streams")).toBe(0);
  });

  it("keeps the answers of one id in order", async () => {
    const rig = await started(TENSOR_EXAMPLES);
    const stream = await streamOf(rig);
    stream.send(asked("a", 1, 2), asked("a", 3), asked("", 4), asked("", 5));
    await settle();
    for (let step = 0; step < 4; step++) await rig.advance(10);
    expect(stream.told.filter((each) => each.startsWith("a"))).toEqual(["a=1", "a=2", "a=3"]);
    expect(stream.told.filter((each) => each.startsWith("="))).toEqual(["=4", "=5"]);
  });

  it("says which answer is the last, to who asks for that", async () => {
    const rig = await started(TENSOR_EXAMPLES);
    const stream = await streamOf(rig);
    stream.send(
      inferRequest("repeat_int32", repeat([1, 2], 0), { id: "a", parameters: OPT_IN }),
      inferRequest("repeat_int32", repeat([], 0), { id: "b", parameters: OPT_IN }),
      inferRequest("repeat_int32", repeat([], 0), { id: "c" }),
    );
    for (let step = 0; step < 4; step++) await rig.advance(0);
    expect(stream.told.filter((each) => each.startsWith("a"))).toEqual(["a=1 more", "a=2 more", "a= last"]);
    expect(stream.told.filter((each) => !each.startsWith("a"))).toEqual(["b= last"]);
    const last = stream.messages.at(-1)?.inferResponse;
    expect([last?.outputs, last?.rawOutputContents]).toEqual([[], []]);
    stream.send(
      inferRequest(
        "simple_identity",
        { INPUT0: { datatype: "BYTES", shape: [1, 0], values: [] } },
        { id: "d", parameters: OPT_IN },
      ),
    );
    await settle();
    expect(stream.told.at(-1)).toBe("d= last");
    const { modelStats } = await rig.client.modelStatistics({ name: "repeat_int32" });
    expect(modelStats[0]?.responseStats).toMatchObject({
      0: { success: { count: 1n }, emptyResponse: { count: 1n } },
      1: { success: { count: 1n } },
      2: { emptyResponse: { count: 1n } },
    });
  });

  it("tells an error of one request with its id, and goes on", async () => {
    const rig = await started(TENSOR_EXAMPLES);
    const stream = await streamOf(rig);
    stream.send(inferRequest("wrong", SIMPLE, { id: "x" }), inferRequest("simple", SIMPLE, { id: "y" }));
    await settle();
    expect(stream.messages[0]).toMatchObject({
      errorMessage: "[request id: x] Request for unknown model: 'wrong' is not found.",
      inferResponse: { modelName: "wrong", id: "x" },
    });
    expect(stream.told[1]).toMatch(/^y=1,2,/);
    expect(stream.status).toBeUndefined();
  });

  it("outlives a request that is too much to read", async () => {
    const rig = await started(TENSOR_EXAMPLES, { limits: { cost: { fields: 40, numbers: 40 } } });
    const stream = await streamOf(rig);
    const input = { name: "INPUT0", datatype: "INT32", shape: [1n, 16n] };
    const typed = { ...input, contents: { intContents: new Array<number>(40).fill(1) } };
    stream.send(inferRequest("simple", {}, { id: "x", inputs: [typed] }));
    stream.send(inferRequest("simple", SIMPLE));
    await settle();
    expect(stream.told[0]).toMatch(/^error \[request id: x\] A request to this model has at most 40 typed numbers/);
    expect(stream.told[1]).toMatch(/^=1,2,/);
    expect(stream.status).toBeUndefined();
  });

  it("ends with the status of an error where the client asks for that", async () => {
    const rig = await started(TENSOR_EXAMPLES);
    const stream = await streamOf(rig, { metadata: { triton_grpc_error: "true" } });
    stream.send(asked("a", 1), inferRequest("wrong", SIMPLE, { id: "x" }));
    await settle();
    await rig.advance(50);
    expect([stream.told, stream.status]).toEqual([[], "MODEL_NOT_FOUND"]);
    expect(stream.words).toContain("Request for unknown model");
    expect(await rig.metric("stator_worker_tensor_open")).toBe(0);
  });

  it("frees every place when its client leaves", async () => {
    const rig = await started(TENSOR_EXAMPLES);
    const stream = await streamOf(rig);
    stream.send(...["a", "b", "c"].map((id) => asked(id, 1, 2, 3)));
    await settle();
    expect(await rig.metric("stator_worker_tensor_running")).toBe(3);
    stream.cancel();
    await settle();
    for (const name of ["running", "open", "streams"])
      expect(await rig.metric(`stator_worker_tensor_${name}`), name).toBe(0);
    expect(await rig.metric("stator_worker_tensor_requests_total", '{result="cancelled"}')).toBe(3);
    expect(rig.clock.pending).toBe(0);
  });

  it("takes so many requests at once, and the others when one has ended", async () => {
    const { model, gates } = gated();
    const rig = await started([model], { limits: { mostOnStream: 2 } });
    const stream = await streamOf(rig);
    for (const id of ["a", "b", "c", "d"]) {
      stream.send(inferRequest("gated", one(1), { id }));
      await settle();
    }
    expect(gates).toHaveLength(2);
    gates[1]?.resolve(7);
    await settle();
    expect([stream.told, gates.length]).toEqual([["b=7"], 3]);
  });

  it("that nobody reads holds no place, and is ended after a while", async () => {
    const big = new Uint8Array(200_000);
    const model: TensorModel = {
      name: "big",
      inputs: { X: NUMBER },
      outputs: { Y: { datatype: "UINT8", shape: [-1] } },
      *stream() {
        for (;;) yield { Y: { shape: [big.length], data: big } };
      },
    };
    const rig = await started([model, echo], { limits: { maxRunning: 1, slowMs: 100 } });
    const stream = await streamOf(rig);
    stream.pause();
    stream.send(inferRequest("big", one(1), { id: "a" }));
    await settle();
    expect(await rig.metric("stator_worker_tensor_running")).toBe(0);
    expect(await rig.metric("stator_worker_tensor_open")).toBe(1);
    expect(outputsOf(await rig.client.modelInfer(inferRequest("echo", one(5))))).toEqual({ Y: Int32Array.of(5) });
    await rig.advance(99);
    stream.resume();
    await settle();
    stream.pause();
    await rig.advance(99);
    expect(stream.status).toBeUndefined();
    await rig.advance(1);
    stream.resume();
    await settle();
    expect(stream.status).toBe("SLOW_CLIENT");
    expect(await rig.metric("stator_worker_tensor_slow_total")).toBe(1);
    expect(await rig.metric("stator_worker_tensor_open")).toBe(0);
  });
});
