import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ModelInferRequestSchema, ModelInferResponseSchema } from "#gen/inference/infer_pb";
import { ModelMetadataResponseSchema } from "#gen/inference/metadata_pb";
import { createNumberTensor } from "#lib/api/kserve/numbers";
import { printTensors } from "#lib/api/kserve/print-tensors";
import type { Tensor } from "#lib/api/kserve/tensor";
import { StatorError } from "#lib/base/errors";
import { RehearsalDispatcher } from "../../../test/support/rehearsal/dispatcher.ts";
import { openRehearsal, type Rehearsal } from "../../../test/support/rehearsal/open.ts";
import type { ForwardAsk, Forwarding, ForwardSink } from "./forwarding.ts";

/** A worker of tensors that answers what a test says. */
class Worker implements Forwarding {
  asks: ForwardAsk[] = [];
  cancelled = 0;
  /** Called with each request. */
  onInfer: (ask: ForwardAsk, sink: ForwardSink) => void = () => {};

  takes = (model: string): boolean => model === "simple";

  infer(ask: ForwardAsk, sink: ForwardSink) {
    this.asks.push(ask);
    setImmediate(() => this.onInfer(ask, sink));
    return { cancel: () => void this.cancelled++, resume() {} };
  }

  async ask(): Promise<Uint8Array> {
    return toBinary(
      ModelMetadataResponseSchema,
      create(ModelMetadataResponseSchema, { name: "simple", versions: ["3"] }),
    );
  }

  answer(tensors: readonly Tensor[]): void {
    this.onInfer = (_, sink) => {
      const response = {
        ...create(ModelInferResponseSchema, { modelName: "simple", modelVersion: "3" }),
        ...printTensors(tensors, "raw"),
      };
      const decision = { rule: "round-robin", at: 1, of: 1 } as const;
      sink.onPlaced?.({ worker: 0xabn, attempt: 1, cachedTokens: 0, decision, waitedMs: undefined });
      sink.onAnswer(toBinary(ModelInferResponseSchema, response));
      sink.onEnd(undefined);
    };
  }
}

const worker = new Worker();
let rehearsal: Rehearsal;
beforeAll(async () => {
  const dispatcher = new RehearsalDispatcher({ reply: () => ({ tokens: new Uint32Array(0) }) });
  const inference = { ledger: { model: () => undefined }, serverName: "stator", forwarding: worker };
  rehearsal = await openRehearsal(dispatcher, { inference });
});
afterAll(() => rehearsal.frontend.close({ drainMs: 0 }));
beforeEach(() => {
  worker.asks = [];
});

const LENGTH = "inference-header-content-length";
const post = (
  body: string | Buffer,
  headers: Record<string, string> = {},
  options: RequestInit = {},
): Promise<Response> =>
  fetch(`${rehearsal.url}/v2/models/simple/versions/3/infer`, {
    ...{ method: "POST", body: body as string, headers: { "content-type": "application/json", ...headers } },
    ...options,
  });
const numbers = (name: string, values: readonly number[]): Tensor =>
  createNumberTensor(name, "INT32", { shape: [values.length], numbers: values });
const asked = () => fromBinary(ModelInferRequestSchema, worker.asks[0]!.bytes);

describe("a model of tensors", () => {
  it("is sent the message that JSON and tensors behind it are, and answers in JSON", async () => {
    worker.answer([numbers("OUTPUT0", [3, 5])]);
    const json = JSON.stringify({
      id: "r1",
      inputs: [
        { name: "INPUT0", shape: [2], datatype: "INT32", data: [1, 2] },
        { name: "INPUT1", shape: [2], datatype: "INT32", parameters: { binary_data_size: 8 } },
      ],
      parameters: { priority: 2 },
    });
    const response = await post(Buffer.concat([Buffer.from(json), numbers("", [2, 3]).data]), {
      [LENGTH]: String(json.length),
    });
    expect(response.headers.get("x-stator-worker")).toBe("00000000000000ab");
    expect(await response.json()).toEqual({
      ...{ model_name: "simple", model_version: "3" },
      outputs: [{ name: "OUTPUT0", datatype: "INT32", shape: [2], data: [3, 5] }],
    });
    const { modelName, modelVersion, id, rawInputContents } = asked();
    expect([modelName, modelVersion, id]).toEqual(["simple", "3", "r1"]);
    expect(rawInputContents.map((raw) => [...raw])).toEqual([
      [1, 0, 0, 0, 2, 0, 0, 0],
      [2, 0, 0, 0, 3, 0, 0, 0],
    ]);
    const { route, head } = worker.asks[0]!;
    expect([route, head.modelName, head.parameters.get("priority")]).toEqual(["infer", "simple", 2n]);
  });

  it("takes and gives megabytes behind the JSON as they are", async () => {
    const data = Buffer.alloc(3 << 20, "stator");
    const tensor: Tensor = { name: "T", datatype: "UINT8", shape: [data.length], data };
    worker.answer([tensor]);
    const inputs = [
      { name: "T", shape: [data.length], datatype: "UINT8", parameters: { binary_data_size: data.length } },
    ];
    const json = JSON.stringify({ inputs, parameters: { binary_data_output: true } });
    const response = await post(Buffer.concat([Buffer.from(json), data]), { [LENGTH]: String(json.length) });
    const bytes = Buffer.from(await response.arrayBuffer());
    expect(bytes.subarray(Number(response.headers.get(LENGTH))).equals(data)).toBe(true);
    expect(Buffer.from(asked().rawInputContents[0]!).equals(data)).toBe(true);
  });

  it("takes and gives many numbers as JSON by way of the thread", async () => {
    const values = Array.from({ length: 100_000 }, (_, at) => at - 50_000);
    worker.answer([numbers("T", values)]);
    const inputs = [{ name: "T", shape: [values.length], datatype: "INT32", data: values }];
    const response = await post(JSON.stringify({ inputs }));
    const { outputs } = (await response.json()) as { outputs: { data: number[] }[] };
    expect(outputs[0]!.data).toEqual(values);
    expect(Buffer.from(asked().rawInputContents[0]!).equals(numbers("", values).data)).toBe(true);
  });

  it("is described by its worker", async () => {
    const response = await fetch(`${rehearsal.url}/v2/models/simple`);
    expect(await response.json()).toMatchObject({ name: "simple", versions: ["3"] });
  });
});

describe("what goes wrong", () => {
  const told = async (response: Response) => [response.status, ((await response.json()) as { error: string }).error];
  const body = JSON.stringify({ inputs: [{ name: "A", shape: [1], datatype: "INT32", data: [1] }] });

  it("in a body is told before anything is sent", async () => {
    expect(await told(await post("{}"))).toEqual([400, expect.stringContaining("inputs")]);
    expect(await told(await post(body, { [LENGTH]: "9999" }))).toEqual([400, expect.stringContaining("9999")]);
    expect(await told(await post(`{"inputs":[${" ".repeat(70_000)}`))).toEqual([400, expect.stringContaining("JSON")]);
    expect(worker.asks).toEqual([]);
  });

  it("at the worker is told as its error, and an answer that is none as damaged", async () => {
    worker.onInfer = (_, sink) => sink.onEnd(new StatorError("INVALID_ARGUMENT", { detail: "no such input" }));
    expect(await told(await post(body))).toEqual([400, "no such input."]);
    worker.onInfer = (_, sink) => sink.onEnd(undefined);
    expect(await told(await post(body))).toEqual([503, expect.stringContaining("without an answer")]);
    worker.onInfer = (_, sink) => {
      sink.onAnswer(Uint8Array.of(0xff));
      sink.onEnd(undefined);
    };
    expect(await told(await post(body))).toEqual([500, expect.stringContaining("damaged")]);
  });

  it("a client that leaves is told to the worker", async () => {
    const before = worker.cancelled;
    const leave = new AbortController();
    worker.onInfer = () => leave.abort();
    await expect(post(body, {}, { signal: leave.signal })).rejects.toThrow();
    while (worker.cancelled === before) await new Promise(setImmediate);
    expect(worker.cancelled).toBe(before + 1);
  });
});
