import { expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import type { Span, Tracer } from "#lib/host/telemetry";
import { plainTensorAsk, TensorClient, TensorRig } from "../../test/support/tensor-dispatch-rig.ts";
import { createTracedTensors } from "./traced-tensors.ts";

/** Spans as lines of text. */
function tracing(): { tracer: Tracer; told: string[] } {
  const told: string[] = [];
  const tracer: Tracer = {
    start(name, traceparent): Span {
      told.push(`${name} under ${traceparent}`);
      return {
        traceparent: "trace of the span",
        set: (key, value) => void told.push(`${key} ${value}`),
        end: (failure) => void told.push(`end ${failure ?? "in order"}`),
      };
    },
    close: async () => {},
  };
  return { tracer, told };
}

it("is a span for each request, which its worker goes on and which says where it ran and how it ended", () => {
  const cluster = new TensorRig();
  cluster.addTensor(1n);
  const { tracer, told } = tracing();
  const traced = createTracedTensors(cluster.dispatcher, tracer);
  const start = () => {
    const client = new TensorClient();
    const handle = traced.startTensor(plainTensorAsk({ traceparent: "trace of the client" }), client);
    cluster.clock.settle();
    return { client, handle };
  };
  const { client, handle } = start();
  expect(client.places[0]?.traceparent).toBe("trace of the span");
  handle.answered();
  handle.finished();
  const asked = ["stator.kserve under trace of the client", "stator.request_id r1", "stator.model simple"];
  expect(told.splice(0)).toEqual([...asked, "stator.worker 0000000000000001", "stator.attempt 1", "end in order"]);
  start().handle.finished(new StatorError("ENGINE_FAILED", { detail: "x" }));
  expect(told.splice(0).at(-1)).toBe("end ENGINE_FAILED");
  start().handle.cancel();
  expect(told.splice(0).at(-1)).toBe("end CANCELLED");
  expect(() => traced.startTensor({ ...plainTensorAsk(), kind: "embed" }, new TensorClient())).toThrow(StatorError);
  expect(told.at(-1)).toBe("end StatorError");
  expect(traced.tensorWorkers("simple")).toHaveLength(1);
});
