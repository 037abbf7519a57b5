import { expect, it } from "vitest";
import type { Span, Tracer } from "#lib/host/telemetry";
import type { Placement } from "#lib/serving/answer";
import type { Dispatcher, ServingSink } from "#lib/serving/dispatcher";
import { plainAsk } from "#lib/serving/plain-ask";
import { Client } from "../../test/support/dispatch-rig.ts";
import { createTracedDispatcher } from "./traced-dispatcher.ts";

it("says on its span who computed the prompt and who answered", () => {
  const told: string[] = [];
  const span: Span = {
    traceparent: "trace of the span",
    set: (key, value) => void told.push(`${key} ${value}`),
    end: (failure) => void told.push(`end ${failure ?? "in order"}`),
  };
  const tracer: Tracer = { start: () => span, close: async () => {} };
  let sink: ServingSink | undefined;
  const usage = { promptTokens: 1, cachedTokens: 0, completionTokens: 1 };
  const inner: Dispatcher = {
    start(ask, inside) {
      expect(ask.traceparent).toBe("trace of the span");
      sink = inside;
      return { usage, cancel() {}, finishChoice() {} };
    },
  };
  const client = new Client();
  createTracedDispatcher(inner, tracer).start(plainAsk(), client);
  const place = (worker: bigint, attempt: number): Placement => {
    return { worker, attempt, cachedTokens: 2, decision: { rule: "pinned" }, waitedMs: undefined };
  };
  told.length = 0;
  sink?.onPlaced({ ...place(1n, 1), leg: "prefill" });
  sink?.onPlaced({ ...place(2n, 2), leg: "decode" });
  sink?.onDone(usage);
  const [one, two] = ["0000000000000001", "0000000000000002"];
  expect(told).toEqual([
    ...[`stator.worker ${one}`, `stator.prefill_worker ${one}`, "stator.attempt 1", "stator.cached_tokens 2"],
    ...[`stator.worker ${two}`, `stator.decode_worker ${two}`, "stator.attempt 2", "stator.cached_tokens 2"],
    "end in order",
  ]);
  expect(client.placements.map(({ leg }) => leg)).toEqual(["prefill", "decode"]);
});
