import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Metadata, Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ModelInferResponseSchema, ModelStreamInferResponseSchema } from "#gen/inference/infer_pb";
import { ModelMetadataRequestSchema, ModelMetadataResponseSchema } from "#gen/inference/metadata_pb";
import { equalBytes } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { statusOf } from "#lib/rpc/error-detail";
import { ForwardRig } from "../../../test/support/forward-rig.ts";
import {
  type AnswerTensors,
  inferBytes,
  openTensorServer,
  type TensorServer,
} from "../../../test/support/tensor-server.ts";

let rig: ForwardRig;
const servers: TensorServer[] = [];
beforeEach(() => {
  rig = new ForwardRig();
});
afterEach(async () => {
  await rig.close();
  for (const server of servers.splice(0)) await server.kill();
});

const MiB = 1024 * 1024;
const never: AnswerTensors = () => {};

async function serve(
  id: bigint,
  answer: AnswerTensors,
  more?: Parameters<typeof openTensorServer>[1],
): Promise<TensorServer> {
  const server = await openTensorServer(answer, more);
  servers.push(server);
  await rig.add(id, server.address);
  return server;
}

const streamed = (init: Parameters<typeof create<typeof ModelStreamInferResponseSchema>>[1]) =>
  toBinary(ModelStreamInferResponseSchema, create(ModelStreamInferResponseSchema, init));

describe("a request of tensors", () => {
  it("goes to a worker as it came, and its answer comes back as that said it", async () => {
    // No message that anybody here could read.
    const answer = Uint8Array.of(0xff, 0xff, 1, 2, 3);
    const server = await serve(1n, ({ channel }) => {
      channel.send(answer);
      channel.end();
    });
    const bytes = inferBytes({ rawInputContents: [Uint8Array.of(1, 2, 3)] });
    const traceparent = `00-${"1".repeat(32)}-${"2".repeat(16)}-01`;
    const client = rig.infer(bytes, { headers: { traceparent } });
    expect(client.ended, "nothing is told from inside").toBe(false);
    expect(await client.end).toBeUndefined();
    expect([rig.forwarding.takes("simple"), rig.forwarding.takes("m")]).toEqual([true, false]);
    expect(client.answers.map((one) => [...one])).toEqual([[...answer]]);
    expect(equalBytes(server.calls[0]!.bytes, bytes)).toBe(true);
    const { metadata } = server.calls[0]!.call;
    expect([metadata.get("x-request-id"), metadata.get("traceparent")]).toEqual(["r1", traceparent]);
    expect(client.placements).toMatchObject([{ worker: 1n, attempt: 1 }]);
    expect(rig.dispatcher.ledger.latest(2)).toMatchObject([
      { requestId: "r1", route: "kserve", model: "simple", workers: [1n], outcome: "finished" },
    ]);
    expect([rig.dispatcher.openRequests, rig.dispatcher.placedChoices]).toEqual([0, 0]);
  });

  it("may be 8 MiB long, and its answer as well; one beyond the limit of a message is refused", async () => {
    const outputs = toBinary(
      ModelInferResponseSchema,
      create(ModelInferResponseSchema, { modelName: "simple", rawOutputContents: [Buffer.alloc(8 * MiB, 7)] }),
    );
    await serve(1n, ({ channel }) => {
      channel.send(outputs);
      channel.end();
    });
    const client = rig.infer(inferBytes({ rawInputContents: [Buffer.alloc(8 * MiB, 9)] }));
    expect(await client.end).toBeUndefined();
    expect(equalBytes(client.answers[0]!, outputs)).toBe(true);
    const long = rig.infer(inferBytes({ rawInputContents: [Buffer.alloc(16 * MiB)] }));
    expect(await long.end).toMatchObject({ reason: "LIMIT" });
    expect(await rig.infer(inferBytes()).end, "the session goes on").toBeUndefined();
    expect(rig.dispatcher.ledger.totals).toMatchObject({ finished: 2, failed: 1 });
  });

  it("ends with the death of its worker, which nobody can tell from one that ran; the next goes elsewhere", async () => {
    const dying = await serve(1n, never);
    await serve(2n, ({ channel }) => channel.end(new StatorError("INVALID_ARGUMENT", { detail: "two" })));
    const client = rig.infer(inferBytes());
    await rig.until(() => dying.calls.length === 1);
    await dying.kill();
    const error = await client.end;
    expect(error && statusOf(error)).toMatchObject({
      code: 14,
      details: "The connection to the worker was lost: it ended.",
    });
    for (let count = 0; count < 2; count++)
      expect(await rig.infer(inferBytes()).end).toMatchObject({ message: "two." });
    expect(rig.dispatcher.ledger.latest(3).map(({ workers }) => workers)).toEqual([[2n], [2n], [1n]]);
    expect(rig.dispatcher.tensorWorkers("simple").map(({ instance }) => instance.instanceId)).toEqual([2n]);
  });

  it("that is cancelled is cancelled at its worker, and its place is free at once", async () => {
    const server = await serve(1n, never);
    const client = rig.infer(inferBytes());
    await rig.until(() => server.calls.length === 1);
    const aborted = new Promise((resolve) => server.calls[0]!.call.signal.addEventListener("abort", resolve));
    client.handle?.cancel();
    expect([rig.dispatcher.openRequests, rig.dispatcher.placedChoices]).toEqual([0, 0]);
    await aborted;
    expect([client.ended, client.answers]).toEqual([false, []]);
    // Before it was handed over nothing goes anywhere.
    rig.infer(inferBytes()).handle?.cancel();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([server.calls.length, rig.dispatcher.openRequests]).toEqual([1, 0]);
    expect(rig.dispatcher.ledger.totals).toMatchObject({ cancelled: 2, requests: 2 });
  });

  it("has what its parameters and its call say: a deadline, a worker, and no sequence", async () => {
    const server = await serve(1n, never);
    const timeout = { parameterChoice: { case: "int64Param", value: 30_000n } } as const;
    expect(await rig.infer(inferBytes({ parameters: { timeout } })).end).toMatchObject({
      reason: "DEADLINE",
      facts: { deadlineMs: 30 },
    });
    await rig.until(() => server.calls.every(({ call }) => call.signal.aborted));
    const text = (value: string) => ({ parameterChoice: { case: "stringParam", value } }) as const;
    const pinned = rig.infer(inferBytes({ parameters: { stator_worker: text("9") } }));
    expect(await pinned.end).toMatchObject({ reason: "WORKER_NOT_FOUND" });
    const header = rig.infer(inferBytes({ parameters: { stator_worker: text("9") } }), {
      headers: { "x-stator-worker": "1" },
    });
    await rig.until(() => header.placements.length === 1);
    header.handle?.cancel();
    const refused = (parameters: Parameters<typeof inferBytes>[0] & {}) => rig.infer(inferBytes(parameters)).end;
    const errors = [
      refused({ parameters: { stator_worker: text("?") } }),
      refused({ parameters: { timeout: text("1") } }),
      refused({ parameters: { sequence_id: timeout } }),
      refused({ parameters: { stator_session: timeout } }),
    ];
    expect((await Promise.all(errors)).map((error) => error?.message)).toEqual([
      "stator_worker: is not an instance id.",
      "timeout: is a number of microseconds.",
      "sequence_id is not available: models of sequences are not served.",
      "stator_session: is a text.",
    ]);
  });

  it("under an alias goes to its worker under the model's own name", async () => {
    const server = await serve(1n, ({ channel }) => {
      channel.send(Uint8Array.of(1));
      channel.end();
    });
    expect(rig.forwarding.takes("easy")).toBe(true);
    expect(
      await rig.infer(inferBytes({ modelName: "easy", rawInputContents: [Uint8Array.of(5)] })).end,
    ).toBeUndefined();
    const { modelName, rawInputContents } = server.calls[0]!.request;
    expect([modelName, rawInputContents.map((bytes) => [...bytes])]).toEqual(["simple", [[5]]]);
    expect(rig.dispatcher.ledger.latest(1)).toMatchObject([{ model: "easy" }]);
  });

  it("is told what is wrong with it and its worker in the worker's words", async () => {
    const error = new StatorError("INVALID_FIELD", { field: "INPUT0", detail: "has 3 elements, and 16 are needed" });
    await serve(1n, ({ channel }) => channel.end(error));
    expect(await rig.infer(inferBytes()).end).toMatchObject({ reason: "INVALID_FIELD", message: error.message });
    await serve(1n, ({ channel }) => channel.end());
    expect(await rig.infer(inferBytes()).end).toMatchObject({ reason: "STREAM_LOST" });
  });

  it.each([
    [3, "unexpected shape for input 'INPUT0'"],
    [5, "Request for unknown model: 'simple' is not found"],
    [14, "Request for model 'simple' is not ready."],
    [2, ""],
  ])("is told the status %i of a stranger as it was said", async (code, details) => {
    const stranger = new Server();
    const whole = (bytes: Buffer) => bytes;
    const handle = (call: ServerDuplexStream<Buffer, Buffer>): void => {
      call.on("data", () => {});
      call.emit("error", { code, details, metadata: new Metadata() });
    };
    stranger.register("/inference.GRPCInferenceService/ModelInfer", handle, whole, whole, "bidi");
    const port = await new Promise<number>((resolve, reject) => {
      stranger.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    await rig.add(1n, `127.0.0.1:${port}`);
    const error = await rig.infer(inferBytes()).end;
    expect(error && statusOf(error)).toMatchObject({ code, details });
    stranger.forceShutdown();
  });
});

describe("a request of tensors on a stream", () => {
  it("gets as many answers as its worker gives, and ends with them", async () => {
    const server = await serve(1n, ({ channel, request }) => {
      for (const modelVersion of ["1", "2", "3"])
        channel.send(streamed({ inferResponse: { id: request.id, modelVersion } }));
      channel.end();
    });
    const requests = ["a", "b"].map((id) => rig.infer(inferBytes({ id }), { method: "modelStreamInfer" }));
    for (const [at, client] of requests.entries()) {
      expect(await client.end).toBeUndefined();
      const answers = client.answers.map((bytes) => fromBinary(ModelStreamInferResponseSchema, bytes).inferResponse);
      expect(answers.map((one) => `${one?.id}${one?.modelVersion}`)).toEqual(
        ["1", "2", "3"].map((version) => "ab"[at] + version),
      );
    }
    expect(server.calls.map(({ call }) => call.method.localName)).toEqual(["modelStreamInfer", "modelStreamInfer"]);
    expect(rig.dispatcher.ledger.totals).toMatchObject({ finished: 2 });
  });

  it("of a model that gives none ends without", async () => {
    await serve(1n, ({ channel }) => channel.end());
    const client = rig.infer(inferBytes(), { method: "modelStreamInfer" });
    expect([await client.end, client.answers]).toEqual([undefined, []]);
    expect(rig.dispatcher.ledger.totals).toMatchObject({ finished: 1 });
  });

  it("is told an error as its worker tells it: in an answer, or as a status where the client asked for that", async () => {
    const boom = streamed({ errorMessage: "boom", inferResponse: { id: "7" } });
    await serve(1n, ({ channel, call }) => {
      if (call.metadata.get("triton_grpc_error") === "true") {
        channel.end(new StatorError("INVALID_ARGUMENT", { detail: "boom" }));
        return;
      }
      channel.send(boom);
      channel.end();
    });
    const told = rig.infer(inferBytes(), { method: "modelStreamInfer" });
    expect(await told.end).toBeUndefined();
    expect(told.answers.map((bytes) => [...bytes])).toEqual([[...boom]]);
    const headers = { triton_grpc_error: "true" };
    const status = rig.infer(inferBytes(), { method: "modelStreamInfer", headers });
    expect(await status.end).toMatchObject({ message: "boom." });
    expect(rig.dispatcher.ledger.latest(2)).toMatchObject([
      { outcome: "failed", reason: "INVALID_ARGUMENT" },
      { outcome: "failed", reason: "ENGINE_FAILED" },
    ]);
  });

  it("whose client reads slowly holds its worker back, and no other request", async () => {
    const answer = streamed({ inferResponse: { rawOutputContents: [new Uint8Array(256 * 1024)] } });
    let sent = 0;
    await serve(1n, ({ channel, request }) => {
      if (request.id === "quick") {
        channel.send(answer);
        channel.end();
        return;
      }
      const more = (): void => {
        while (sent < 200) {
          sent++;
          if (!channel.send(answer)) return void setTimeout(more, 1);
        }
        channel.end();
      };
      more();
    });
    // The worker's own buffer grows: what matters is what is read of it here.
    const slow = rig.infer(inferBytes(), { method: "modelStreamInfer" });
    slow.full = true;
    await slow.until(1);
    const quick = rig.infer(inferBytes({ id: "quick" }), { method: "modelStreamInfer" });
    expect(await quick.end).toBeUndefined();
    expect(slow.answers.length).toBeLessThan(4);
    slow.full = false;
    slow.handle?.resume();
    expect(await slow.end).toBeUndefined();
    expect(slow.answers.length).toBe(200);
  });
});

describe("what a model of tensors is", () => {
  const request = toBinary(
    ModelMetadataRequestSchema,
    create(ModelMetadataRequestSchema, { name: "easy", version: "1" }),
  );
  const ask = async () => {
    const bytes = await rig.forwarding.ask("modelMetadata", "easy", request);
    return fromBinary(ModelMetadataResponseSchema, bytes);
  };

  it("is asked of a worker of it, of the next where one is gone, and nothing is recorded", async () => {
    const first = await serve(1n, never, {
      modelMetadata: ({ name, version }) => ({ name, versions: [version, "one"] }),
    });
    await serve(2n, never, { modelMetadata: ({ name }) => ({ name, versions: ["two"] }) });
    expect(await ask()).toMatchObject({ name: "simple", versions: ["1", "one"] });
    const killed = first.kill();
    expect(await ask()).toMatchObject({ versions: ["two"] });
    await killed;
    expect(rig.dispatcher.ledger.totals.requests).toBe(0);
  });

  it("is refused in the worker's words, and where nobody is there to be asked", async () => {
    await expect(ask()).rejects.toMatchObject({ reason: "MODEL_NOT_FOUND" });
    const server = await serve(1n, never, {
      modelMetadata: () => {
        throw new StatorError("NOT_FOUND", { what: "Version 1" });
      },
    });
    await expect(ask()).rejects.toMatchObject({ message: "Version 1 was not found." });
    await server.kill();
    await rig.until(() => rig.dispatcher.tensorWorkers().length === 0);
    await expect(ask()).rejects.toMatchObject({ reason: "NO_WORKERS" });
  });
});
