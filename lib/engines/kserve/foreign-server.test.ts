import { describe, expect, it } from "vitest";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { StatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { createClient } from "#lib/rpc/client";
import { DirectTransport } from "#lib/rpc/direct";
import { createService, type Handlers } from "#lib/rpc/service";
import { ForeignServer, type ForeignServerOptions, sameView } from "./foreign-server.ts";

const OBSERVED = { clock: systemClock, log: silentLog, metrics: noMetrics };

type ServerHandlers = Handlers<typeof GRPCInferenceService>;

/** A server whose handlers a test changes while it runs. */
function serverOf(handlers: ServerHandlers, options: Partial<ForeignServerOptions> = {}) {
  const service = createService(GRPCInferenceService, handlers, { access: Access.PUBLIC });
  const client = createClient(GRPCInferenceService, new DirectTransport([service], OBSERVED));
  return new ForeignServer({ address: "triton:8001", client, names: [], timeoutMs: 1_000, ...options });
}

const READY: ServerHandlers = {
  serverReady: () => ({ ready: true }),
  serverMetadata: () => ({ name: "triton", version: "2.60" }),
  modelMetadata: ({ name }) => ({ name, platform: "onnxruntime_onnx" }),
  modelConfig: ({ name }) => ({ config: { name, modelTransactionPolicy: { decoupled: name === "repeat" } } }),
};

describe("a foreign server", () => {
  it("tells the models of its index that are ready, each once", async () => {
    const server = serverOf({
      ...READY,
      repositoryIndex: ({ ready }) => ({
        models: [
          { name: "repeat", version: "1", state: "READY" },
          { name: "add", version: "1", state: ready ? "" : "UNAVAILABLE" },
          { name: "add", version: "2", state: "READY" },
          { name: "late", version: "1", state: "LOADING" },
        ],
      }),
    });
    expect(await server.look()).toEqual({
      reason: undefined,
      models: [
        { name: "add", platform: "onnxruntime_onnx", decoupled: false },
        { name: "repeat", platform: "onnxruntime_onnx", decoupled: true },
      ],
      left: 0,
      software: { name: "triton", version: "2.60" },
    });
  });

  it("serves of its index those that were named", async () => {
    const models = [{ name: "one" }, { name: "two" }];
    const server = serverOf({ ...READY, repositoryIndex: () => ({ models }) }, { names: ["two", "three"] });
    expect((await server.look()).models.map(({ name }) => name)).toEqual(["two"]);
  });

  it("has the models that were named and are ready where there is no index, and no configuration", async () => {
    const { modelConfig: _, serverMetadata: __, ...core } = READY;
    const modelReady: ServerHandlers["modelReady"] = ({ name }) => {
      if (name === "gone") throw new StatorError("NOT_FOUND", { what: name });
      return { ready: name !== "late" };
    };
    const server = serverOf({ ...core, modelReady }, { names: ["add", "late", "gone"] });
    expect(await server.look()).toMatchObject({
      models: [{ name: "add", platform: "onnxruntime_onnx", decoupled: false }],
      software: { name: "", version: "" },
    });
  });

  it("says what to do where there is neither an index nor a name", async () => {
    const { reason, models } = await serverOf(READY).look();
    expect(reason).toMatch(/no index .* --kserve-models/);
    expect(models).toEqual([]);
  });

  it("says why it cannot be sent to", async () => {
    expect((await serverOf({ serverReady: () => ({ ready: false }) }).look()).reason).toMatch(
      /says that it is not ready/,
    );
    const gone: ServerHandlers["serverReady"] = () => {
      throw new StatorError("UNAVAILABLE", { what: "It", detail: "nobody listens there" });
    };
    expect((await serverOf({ serverReady: gone }).look()).reason).toMatch(/does not answer: .*nobody listens there/);
  });

  it("leaves out a model that goes while it is described, and is away when the server is", async () => {
    let error = new StatorError("NOT_FOUND", { what: "two" });
    const modelMetadata: ServerHandlers["modelMetadata"] = ({ name }) => {
      if (name === "two") throw error;
      return { name };
    };
    const repositoryIndex = () => ({ models: [{ name: "one" }, { name: "two" }] });
    const server = serverOf({ ...READY, modelMetadata, repositoryIndex });
    expect((await server.look()).models.map(({ name }) => name)).toEqual(["one"]);
    error = new StatorError("DEADLINE", { deadlineMs: 1 });
    expect(await server.look()).toMatchObject({ reason: expect.stringContaining("does not answer"), models: [] });
  });

  it("asks what a model is once, and anew when it was away", async () => {
    const asked: string[] = [];
    let ready = ["a", "b"];
    const server = serverOf({
      ...READY,
      modelMetadata({ name }) {
        asked.push(name);
        return { name };
      },
      repositoryIndex: () => ({ models: ready.map((name) => ({ name })) }),
    });
    await server.look();
    await server.look();
    expect(asked).toEqual(["a", "b"]);
    ready = ["a"];
    await server.look();
    ready = ["a", "b"];
    await server.look();
    expect(asked).toEqual(["a", "b", "b"]);
  });

  it("serves so many models at most, and says how many it leaves", async () => {
    const models = ["c", "a", "b"].map((name) => ({ name }));
    const view = await serverOf({ ...READY, repositoryIndex: () => ({ models }) }, { mostModels: 2 }).look();
    expect(view).toMatchObject({ models: [{ name: "a" }, { name: "b" }], left: 1 });
  });
});

describe("two views", () => {
  const model = { name: "a", platform: "p", decoupled: false };
  const view = { reason: undefined, models: [model], left: 0, software: { name: "s", version: "1" } };

  it("are the same when they say the same", () => {
    expect(sameView(view, { ...view, models: [{ ...model }] })).toBe(true);
    expect(sameView(view, { ...view, reason: "It is away." })).toBe(false);
    expect(sameView(view, { ...view, left: 1 })).toBe(false);
    expect(sameView(view, { ...view, models: [] })).toBe(false);
    expect(sameView(view, { ...view, software: { name: "t", version: "1" } })).toBe(false);
    expect(sameView(view, { ...view, software: { name: "s", version: "2" } })).toBe(false);
    for (const change of [{ name: "b" }, { platform: "q" }, { decoupled: true }]) {
      expect(sameView(view, { ...view, models: [{ ...model, ...change }] })).toBe(false);
    }
  });
});
