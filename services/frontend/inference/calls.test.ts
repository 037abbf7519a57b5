import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import {
  ModelInferRequestSchema,
  ModelInferResponseSchema,
  ModelStreamInferResponseSchema,
} from "#gen/inference/infer_pb";
import { ModelMetadataResponseSchema } from "#gen/inference/metadata_pb";
import { ModelConfigResponseSchema } from "#gen/inference/model_config_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { InstanceState, ModelInput } from "#gen/stator/discovery/v1/discovery_pb";
import { StatorError } from "#lib/base/errors";
import type { Metadata } from "#lib/rpc/metadata";
import { inferRequest, outputText } from "../../../test/support/infer-client.ts";
import { encodeBytes } from "../../../test/support/rehearsal/byte-text.ts";
import { RehearsalDispatcher, type RehearsalOptions } from "../../../test/support/rehearsal/dispatcher.ts";
import { type InferenceRehearsal, openInference } from "../../../test/support/rehearsal/inference.ts";
import { rehearsalRecords } from "../../../test/support/rehearsal/open.ts";
import type { FrontendInference } from "../frontend.ts";
import type { FrontendLimits } from "../limits.ts";
import type { ForwardAsk, Forwarding, ForwardSink } from "./forwarding.ts";

const closes: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closes.splice(0)) await close();
});

async function open(
  options: Partial<RehearsalOptions> & { limits?: Partial<FrontendLimits>; inference?: FrontendInference } = {},
): Promise<{ dispatcher: RehearsalDispatcher; inference: InferenceRehearsal }> {
  const { limits, inference: more, ...others } = options;
  const reply: RehearsalOptions["reply"] = ({ input }) => ({ tokens: input.prompts[0]!.subarray(1) });
  const dispatcher = new RehearsalDispatcher({ running: true, reply, ...others });
  const inference = await openInference(dispatcher, { limits, inference: more });
  closes.push(() => inference.close());
  return { dispatcher, inference };
}

const reasonOf = async (promise: Promise<unknown>) =>
  promise.then(
    () => "answered",
    (error: unknown) => (error instanceof StatorError ? error.reason : String(error)),
  );

describe("a call of ModelInfer", () => {
  it("answers with id, model and version, and says beside it where the request ran", async () => {
    const { inference, dispatcher } = await open();
    let headers: Metadata | undefined;
    const answer = await inference.infer(
      { id: "r1", text: "hello" },
      {
        metadata: { "x-stator-worker": "ab", "x-stator-session": "s", "x-request-id": "mine" },
        onHeaders: (sent) => {
          headers = sent;
        },
      },
    );
    expect(answer).toMatchObject({ id: "r1", modelName: "rehearsal", modelVersion: "1" });
    expect(outputText(answer)).toBe("hello");
    const { route, requestId, target, wishes } = dispatcher.requests.at(-1)!;
    expect({ route, requestId, target }).toEqual({
      ...{ route: "kserve", requestId: "mine" },
      target: { worker: 0xabn, rank: undefined },
    });
    expect(wishes.session).toBe("s");
    expect(headers?.get("x-stator-worker")).toBe("0000000000005f3a");
    expect(headers?.get("x-request-id")).toBe("mine");
  });

  it("is named by its id, where that can stand in a log", async () => {
    const { inference, dispatcher } = await open();
    for (const id of ["r-1", "not a name", ""]) await inference.infer({ id });
    const [named, ...drawn] = dispatcher.requests.map(({ requestId }) => requestId);
    expect(named).toBe("r-1");
    for (const name of drawn) expect(name).toMatch(/^[0-9a-f]{24}$/);
  });

  it("of an unknown model is NOT_FOUND before anything of it is read, and so is another version", async () => {
    const { inference } = await open();
    expect(await reasonOf(inference.infer({ model: "nobody", stream: true }))).toBe("MODEL_NOT_FOUND");
    expect(await reasonOf(inference.infer({ version: "2" }))).toBe("NOT_FOUND");
    expect(await reasonOf(inference.infer({ version: "1" }))).toBe("answered");
    expect(await reasonOf(inference.infer({ stream: true }))).toBe("UNSUPPORTED_FIELD");
  });

  it("is refused without a place among the requests of all doors, or without room for its bytes", async () => {
    const { inference, dispatcher } = await open({ running: false, limits: { concurrentRequests: 1 } });
    const first = inference.infer({});
    await expect.poll(() => dispatcher.open).toBe(1);
    expect(await reasonOf(inference.infer({}))).toBe("OVERLOADED");
    const health = await fetch(`${inference.rehearsal.url}/v1/completions`, {
      method: "POST",
      body: JSON.stringify({ model: "rehearsal", prompt: "a" }),
    });
    expect(health.status).toBe(429);
    for (let step = 0; step < 5; step++) dispatcher.step();
    await first;
    const small = await open({ limits: { allBodiesBytes: 100 } });
    expect(await reasonOf(small.inference.infer({ text: "x".repeat(100) }))).toBe("OVERLOADED");
    for (let again = 0; again < 3; again++)
      expect(await reasonOf(small.inference.infer({ text: "x" }))).toBe("answered");
  });

  it("frees its place when its client leaves or its deadline passes", async () => {
    const { inference, dispatcher } = await open({ running: false });
    const leave = new AbortController();
    const left = reasonOf(inference.infer({}, { signal: leave.signal }));
    const late = reasonOf(inference.infer({}, { timeoutMs: 100 }));
    await expect.poll(() => dispatcher.requests.length).toBe(2);
    leave.abort();
    expect([await left, await late]).toEqual(["CANCELLED", "DEADLINE"]);
    await expect.poll(() => dispatcher.open).toBe(0);
    expect(await inference.rehearsal.metrics.print()).toMatch(/active_requests 0\n/);
  });

  it("tells an error of the worker by the call's status", async () => {
    const error = new StatorError("ENGINE_FAILED", { detail: "it broke" });
    const { inference } = await open({ reply: () => ({ tokens: encodeBytes("a"), error }) });
    expect(await reasonOf(inference.infer({}))).toBe("ENGINE_FAILED");
  });

  it("counts bytes both ways", async () => {
    const { inference } = await open();
    const request = { id: "r1", text: "some text" };
    const answer = await inference.infer(request);
    const metrics = await inference.rehearsal.metrics.print();
    const bytes = (direction: string) =>
      Number(new RegExp(`bytes_total\\{route="kserve",direction="${direction}"\\} (\\d+)`).exec(metrics)?.[1]);
    expect(bytes("in")).toBe(toBinary(ModelInferRequestSchema, inferRequest(request)).length);
    expect(bytes("out")).toBe(toBinary(ModelInferResponseSchema, answer).length);
  });

  it("of bytes that are no request is INVALID_ARGUMENT", async () => {
    const { inference } = await open();
    const wrong = [
      Buffer.from("0aff", "hex"),
      // A name that is not UTF-8.
      Buffer.from("0a01ff", "hex"),
      Buffer.concat([Buffer.from("0a0972656865617273616c", "hex"), Buffer.from("2a03080808", "hex").subarray(0, 4)]),
      Buffer.concat([Buffer.from("0a0972656865617273616c", "hex"), Buffer.from("2a00".repeat(10_000), "hex")]),
    ];
    for (const bytes of wrong) {
      const channel = inference.channel.openBytes(GRPCInferenceService.method.modelInfer);
      const ended = new Promise<StatorError | undefined>((resolve) =>
        channel.receive({ onMessage() {}, onEnd: resolve }),
      );
      channel.send(bytes);
      channel.end();
      expect((await ended)?.reason).toBe("INVALID_ARGUMENT");
      const stream = inference.channel.openBytes(GRPCInferenceService.method.modelStreamInfer);
      const told = new Promise<Uint8Array>((onMessage) => stream.receive({ onMessage, onEnd() {} }));
      stream.send(bytes);
      expect(fromBinary(ModelStreamInferResponseSchema, await told).errorMessage).not.toBe("");
      stream.end();
    }
  });
});

/** A way of tensors whose workers a test is. */
class FakeForwarding implements Forwarding {
  readonly asks: { readonly ask: ForwardAsk; readonly sink: ForwardSink }[] = [];
  readonly names = new Set(["simple"]);
  cancelled = 0;
  resumed = 0;

  takes(model: string): boolean {
    return this.names.has(model);
  }

  infer(ask: ForwardAsk, sink: ForwardSink) {
    this.asks.push({ ask, sink });
    return { cancel: () => void this.cancelled++, resume: () => void this.resumed++ };
  }

  async ask(method: "modelMetadata" | "modelConfig", model: string): Promise<Uint8Array> {
    return method === "modelMetadata"
      ? toBinary(ModelMetadataResponseSchema, create(ModelMetadataResponseSchema, { name: model, platform: "far" }))
      : toBinary(ModelConfigResponseSchema, create(ModelConfigResponseSchema, { config: { name: model } }));
  }
}

async function openForwarding(limits: Partial<FrontendLimits> = {}) {
  const forwarding = new FakeForwarding();
  const opened = await open({ limits, inference: { forwarding, ledger: { model: () => undefined }, serverName: "s" } });
  return { ...opened, forwarding };
}

describe("a request for a model of tensors", () => {
  it("goes on as it came, and its answer comes back as it is", async () => {
    const { inference, forwarding } = await openForwarding();
    const asked = inference.infer({ model: "simple", id: "7" }, { metadata: { "x-stator-worker": "ab" } });
    await expect.poll(() => forwarding.asks.length).toBe(1);
    const [{ ask, sink }] = forwarding.asks as [(typeof forwarding.asks)[number]];
    expect(fromBinary(ModelInferRequestSchema, ask.bytes)).toEqual(inferRequest({ model: "simple", id: "7" }));
    expect(ask).toMatchObject({ method: "modelInfer", requestId: "7", route: "kserve" });
    expect([ask.head.modelName, ask.header("x-stator-worker")]).toEqual(["simple", "ab"]);
    const answer = create(ModelInferResponseSchema, {
      modelName: "simple",
      id: "7",
      rawOutputContents: [Uint8Array.of(1)],
    });
    sink.onAnswer(toBinary(ModelInferResponseSchema, answer));
    sink.onEnd(undefined);
    expect((await asked).rawOutputContents).toEqual(answer.rawOutputContents.map((bytes) => Buffer.from(bytes)));
    expect(forwarding.cancelled).toBe(0);
  });

  it("answers any number of times on a stream, and its errors are told there", async () => {
    const { inference, forwarding } = await openForwarding();
    const stream = inference.stream();
    stream.send({ model: "simple", id: "a" }, { model: "simple", id: "b" });
    await expect.poll(() => forwarding.asks.length).toBe(2);
    const [a, b] = forwarding.asks.map(({ sink }) => sink);
    const told = (id: string) =>
      toBinary(ModelStreamInferResponseSchema, create(ModelStreamInferResponseSchema, { inferResponse: { id } }));
    expect([a!.onAnswer(told("a")), b!.onAnswer(told("b")), a!.onAnswer(told("a"))]).toEqual([true, true, true]);
    a!.onEnd(undefined);
    b!.onEnd(new StatorError("STREAM_LOST", { detail: "it went away" }));
    stream.halfClose();
    expect(await stream.ended).toBeUndefined();
    expect(stream.answers.map(({ inferResponse }) => inferResponse?.id)).toEqual(["a", "b", "a", "b"]);
    expect(stream.errors).toEqual([expect.stringMatching(/^\[request id: b\] .*it went away/)]);
  });

  it("is cancelled when its client leaves", async () => {
    const { inference, forwarding } = await openForwarding();
    const stream = inference.stream();
    stream.send({ model: "simple", id: "a" });
    const leave = new AbortController();
    const left = reasonOf(inference.infer({ model: "simple" }, { signal: leave.signal }));
    await expect.poll(() => forwarding.asks.length).toBe(2);
    stream.cancel(new StatorError("CANCELLED"));
    leave.abort();
    await left;
    await expect.poll(() => forwarding.cancelled).toBe(2);
  });

  it("has a place like any other, and is told why where it is refused or cut off", async () => {
    const { inference, forwarding } = await openForwarding();
    const asked = inference.infer({ model: "simple" });
    const refused = reasonOf(inference.infer({ model: "simple" }));
    await expect.poll(() => forwarding.asks.length).toBe(2);
    expect(await inference.rehearsal.metrics.print()).toMatch(/active_requests 2\n/);
    forwarding.asks[1]!.sink.onEnd(new StatorError("NO_WORKERS", { model: "simple" }));
    expect(await refused).toBe("NO_WORKERS");
    const closed = inference.rehearsal.frontend.close({ drainMs: 0 });
    expect(await reasonOf(asked)).toBe("DRAINING");
    await closed;
    expect(forwarding.cancelled).toBe(1);
  });

  it("counts its bytes until it is answered, and is refused where there is no room for them", async () => {
    const request = { model: "simple", id: "7" };
    const bytes = toBinary(ModelInferRequestSchema, inferRequest(request)).byteLength;
    const { inference, forwarding } = await openForwarding({ allBodiesBytes: 2 * bytes - 1 });
    const counted = async () => /body_bytes (\d+)/.exec(await inference.rehearsal.metrics.print())?.[1];
    const asked = reasonOf(inference.infer(request));
    await expect.poll(() => forwarding.asks.length).toBe(1);
    expect([await counted(), await reasonOf(inference.infer(request))]).toEqual([String(bytes), "OVERLOADED"]);
    forwarding.asks[0]!.sink.onEnd(new StatorError("STREAM_LOST", { detail: "it went away" }));
    expect([await asked, await counted()]).toEqual(["STREAM_LOST", "0"]);
    expect(forwarding.asks.length).toBe(1);
  });

  it("that loads is waited for, and goes its way when it is known what it takes", async () => {
    const { inference, forwarding } = await openForwarding();
    const { watch } = inference.rehearsal;
    watch.put(...rehearsalRecords("late", { id: 77n, state: InstanceState.LOADING, loaded: false }));
    const asked = reasonOf(inference.infer({ model: "late" }));
    await expect
      .poll(async () => /loading_requests (\d+)/.exec(await inference.rehearsal.metrics.print())?.[1])
      .toBe("1");
    forwarding.names.add("late");
    const records = rehearsalRecords("late", { id: 77n });
    for (const { value } of records) if (value.case === "model") value.value.input = ModelInput.TENSOR;
    watch.put(...records);
    await expect.poll(() => forwarding.asks.length).toBe(1);
    forwarding.asks[0]!.sink.onEnd(new StatorError("STREAM_LOST", { detail: "it went away" }));
    expect(await asked).toBe("STREAM_LOST");
  });

  it("asks its workers what it is", async () => {
    const { inference } = await openForwarding();
    expect(await inference.client.modelMetadata({ name: "simple" })).toMatchObject({ name: "simple", platform: "far" });
    expect((await inference.client.modelConfig({ name: "simple" })).config?.name).toBe("simple");
  });
});
