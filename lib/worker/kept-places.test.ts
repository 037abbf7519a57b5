import { beforeEach, expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import type { EngineRequest } from "#lib/engines/engine";
import { silentLog as log } from "#lib/host/log";
import { noTracer as tracer } from "#lib/host/telemetry";
import { FakeEngine } from "../../test/support/fake-engine.ts";
import { type Board, createBoard } from "./board.ts";
import type { BoardSink, PreparationListener } from "./board-sink.ts";

const SINK: BoardSink = { onTokens() {}, onLogprobs() {}, onEmbedding() {}, onFinish() {}, endStep() {} };
const ASKED = { requestId: "r", traceparent: undefined };

let engine: FakeEngine;
let board: Board;

beforeEach(() => {
  engine = new FakeEngine({ maxRunningRequests: 2, maxWaitingRequests: 1 });
  const nobody = { onFailure() {}, onMetrics() {}, onIdle() {}, onKv() {} };
  board = createBoard(engine, nobody, { log, tracer });
});

const make = (id: number): EngineRequest => ({
  ...{ kind: "embed", id, promptTokens: Uint32Array.of(1), adapter: undefined, pooling: "last", normalize: true },
});
const submit = () => board.submit(SINK, 1, { ...ASKED, make });
function prepare(): PreparationListener {
  let on: PreparationListener | undefined;
  const begin = (listener: PreparationListener) => {
    on = listener;
    return () => {};
  };
  board.submit(SINK, 1, { ...ASKED, make: { begin } });
  return on!;
}

it("what is prepared has its place in the engine, whoever comes meanwhile", () => {
  const prepared = prepare();
  submit();
  submit();
  expect(submit).toThrow("Every place for waiting requests is taken");
  expect(prepare).toThrow("Every place for waiting requests is taken");
  prepared.onReady(make);
  expect([engine.open.size, board.open, board.refused]).toEqual([3, 3, 2]);
});

it("leaves it to the engine to say when it is full, once nothing is prepared any more", () => {
  const [ready, failed, ended] = [prepare(), prepare(), prepare()];
  ready.onReady(make);
  failed.onFailed(new StatorError("STREAM_LOST", { detail: "gone" }));
  board.interrupt(new StatorError("DRAINING", { what: "it" }));
  ended.onReady(make);
  for (let more = 0; more < 4; more++) submit();
  expect(engine.open.size).toBe(5);
  expect(prepare).toThrow("Every place for waiting requests is taken");
});
