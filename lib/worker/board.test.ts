import { beforeEach, describe, expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import type { EngineFinish, EngineRequest } from "#lib/engines/engine";
import { createLog, silentLog } from "#lib/host/log";
import { noTracer } from "#lib/host/telemetry";
import { GREEDY } from "#lib/tokens/sampling";
import { FakeEngine } from "../../test/support/fake-engine.ts";
import { type Board, createBoard } from "./board.ts";
import type { BoardSink, PreparationListener } from "./board-sink.ts";

function make(id: number): EngineRequest {
  return {
    kind: "generate",
    id,
    promptTokens: Uint32Array.of(1),
    generatedTokens: new Uint32Array(0),
    choice: 0,
    sampling: GREEDY,
    stopping: { maxTokens: 8, minTokens: 0, ignoreEos: false, stopTokens: new Uint32Array(0) },
    guidance: undefined,
    topLogprobs: undefined,
    promptLogprobs: false,
    adapter: undefined,
    cacheSalt: "",
    priority: 0,
  };
}

const REQUEST = { requestId: "r", traceparent: undefined, make };

class Told implements BoardSink {
  readonly said: string[] = [];
  readonly finishes: EngineFinish[] = [];
  broken: string | undefined;

  #say(what: string, text: string): void {
    if (this.broken === what) throw new Error("a bug");
    this.said.push(text);
  }

  onTokens(key: number, tokens: Uint32Array): void {
    this.#say("tokens", `${key}: ${[...tokens].join(" ")}`);
  }

  onLogprobs(key: number): void {
    this.#say("logprobs", `${key} logprobs`);
  }

  onEmbedding(key: number, values: Float32Array): void {
    this.#say("embedding", `${key} embedding of ${values.length}`);
  }

  onFinish(key: number, finish: EngineFinish): void {
    this.finishes.push(finish);
    this.#say("finish", `${key} ${finish.reason} ${finish.error?.reason ?? ""}`.trim());
  }

  endStep(): void {
    this.#say("step", "step");
  }
}

let engine: FakeEngine;
let board: Board;
let failures: string[];
let idle: number;

beforeEach(() => {
  engine = new FakeEngine();
  failures = [];
  idle = 0;
  board = createBoard(
    engine,
    {
      onFailure: (error) => void failures.push(error.reason),
      onMetrics() {},
      onIdle: () => void idle++,
      onKv() {},
    },
    { log: silentLog, tracer: noTracer },
  );
});

describe("a board", () => {
  it("routes what a step made to whoever asked, one step for each", () => {
    const [left, right, other] = [new Told(), new Told(), new Told()];
    const a = board.submit(left, 7, REQUEST).id;
    const b = board.submit(right, 7, REQUEST).id;
    const c = board.submit(left, 8, REQUEST).id;
    board.submit(other, 1, REQUEST);
    expect(new Set([a, b, c]).size).toBe(3);
    engine.step({ tokens: { [a]: [1, 2], [b]: [3], [c]: [4] }, finishes: [{ id: c, reason: "end" }] });
    expect(left.said).toEqual(["7: 1 2", "8: 4", "8 end", "step"]);
    expect(right.said).toEqual(["7: 3", "step"]);
    expect(other.said).toEqual([]);
    expect(board.open).toBe(3);
    expect(board.ended.end).toBe(1);
  });

  it("routes text of an engine that has a tokenizer to itself, behind everything else of a step but its end", () => {
    const told = Object.assign(new Told(), {
      onText: (key: number, text: string) => void told.said.push(`${key}: ${text}`),
    });
    const deaf = new Told();
    const a = board.submit(told, 7, REQUEST).id;
    const b = board.submit(deaf, 8, REQUEST).id;
    const texts = [
      { id: a, text: "Once " },
      { id: b, text: "nobody hears it" },
      { id: a, text: "upon" },
    ];
    engine.step({ texts, finishes: [{ id: a, reason: "end" }] });
    expect(told.said).toEqual(["7: Once ", "7: upon", "7 end", "step"]);
    expect(deaf.said).toEqual(["step"]);
  });

  it("tells when the last request has ended, after its sink", () => {
    const told = new Told();
    const { id } = board.submit(told, 1, REQUEST);
    engine.step({ tokens: { [id]: [1] } });
    expect(idle).toBe(0);
    engine.step({ finishes: [{ id, reason: "length" }] });
    expect(idle).toBe(1);
    engine.step({});
    expect(idle).toBe(1);
  });

  it("forgets a request that the engine refused, and counts it", () => {
    engine.refuse = new StatorError("OVERLOADED", { what: "the engine" });
    expect(() => board.submit(new Told(), 1, REQUEST)).toThrow(engine.refuse);
    expect(board.open).toBe(0);
    expect(board.refused).toBe(1);
    expect(board.ended.failed).toBe(0);
  });

  it("takes an answer that comes later, for each request its own", () => {
    engine.answersLater = true;
    const told = new Told();
    const [a, b] = [board.submit(told, 1, REQUEST), board.submit(told, 2, REQUEST)];
    expect([a.admission, b.admission]).toEqual([undefined, undefined]);
    engine.admit(a.id);
    engine.refuseLate(b.id, new StatorError("OVERLOADED", { what: "the server" }));
    expect(told.said, "without onRefused it is a request that failed").toEqual(["2 failed OVERLOADED", "step"]);
    expect([board.refused, board.ended.failed, board.open, idle]).toEqual([1, 0, 1, 0]);
    engine.step({ tokens: { [a.id]: [5] }, finishes: [{ id: a.id, reason: "end" }] });
    expect(told.said.slice(2)).toEqual(["1: 5", "1 end", "step"]);
    expect(idle).toBe(1);
  });

  it("tells a sink that asks for it what was refused later, and when nothing is open any more", () => {
    engine.answersLater = true;
    const refused: string[] = [];
    const told = Object.assign(new Told(), {
      onRefused: (key: number, error: StatorError) => void refused.push(`${key} ${error.reason}`),
    });
    const { id } = board.submit(told, 9, REQUEST);
    engine.refuseLate(id, new StatorError("CONTEXT_LENGTH", { promptTokens: 9, contextTokens: 8, model: "m" }));
    expect([refused, told.finishes, idle]).toEqual([["9 CONTEXT_LENGTH"], [], 1]);
    engine.refuseLate(id, new StatorError("OVERLOADED", { what: "the server" }));
    expect([refused.length, board.refused, idle], "once").toEqual([1, 1, 1]);
  });

  it("counts a request that was taken and is given back as failed, and passes a cancel on before the answer", () => {
    engine.answersLater = true;
    const told = Object.assign(new Told(), { onRefused: () => void told.said.push("refused") });
    const [a, b] = [board.submit(told, 1, REQUEST).id, board.submit(told, 2, REQUEST).id];
    board.cancel([b], "stop");
    expect(engine.cancels).toEqual([{ ids: [b], mode: "stop" }]);
    engine.admit(a);
    engine.refuseLate(a, new StatorError("ENGINE_FAILED", { detail: "it hung up" }));
    expect([board.refused, board.ended.failed]).toEqual([0, 1]);
    engine.finishCancelled();
    expect(told.said).toEqual(["1 failed ENGINE_FAILED", "step", "2 cancelled", "step"]);
  });

  it("ends what the engine has not answered with the rest, and hears no answer after that", () => {
    engine.answersLater = true;
    const told = new Told();
    const { id } = board.submit(told, 1, REQUEST);
    board.end(new StatorError("DRAINING", { what: "The worker" }));
    engine.admit(id);
    engine.refuseLate(id, new StatorError("OVERLOADED", { what: "the server" }));
    expect(told.said).toEqual(["1 failed DRAINING", "step"]);
    expect([board.refused, idle]).toEqual([0, 1]);
  });

  it("gives every request one finish when the engine fails, and refuses what comes later", () => {
    const [left, right] = [new Told(), new Told()];
    const { id } = board.submit(left, 1, REQUEST);
    board.submit(left, 2, REQUEST);
    board.submit(right, 1, REQUEST);
    engine.fail(new StatorError("ENGINE_FAILED", { detail: "out of memory" }));
    expect(left.said).toEqual(["1 failed ENGINE_FAILED", "2 failed ENGINE_FAILED", "step"]);
    expect(right.said).toEqual(["1 failed ENGINE_FAILED", "step"]);
    expect(failures).toEqual(["ENGINE_FAILED"]);
    expect(idle).toBe(1);
    expect(() => board.submit(left, 3, REQUEST)).toThrow("out of memory");
    board.cancel([id], "kill");
    expect(engine.cancels).toEqual([]);
    engine.step({ finishes: [{ id, reason: "end" }] });
    expect(left.finishes).toHaveLength(2);
  });

  it("ends everything for a reason of the worker's own", () => {
    const told = new Told();
    board.submit(told, 1, REQUEST);
    board.end(new StatorError("DRAINING", { what: "The worker" }));
    expect(told.said).toEqual(["1 failed DRAINING", "step"]);
    expect(failures).toEqual([]);
    expect(board.open).toBe(0);
  });

  it("cancels everything that is open", () => {
    const ids = [board.submit(new Told(), 1, REQUEST).id, board.submit(new Told(), 1, REQUEST).id];
    board.cancelAll();
    expect(engine.cancels).toEqual([{ ids, mode: "stop" }]);
    engine.finishCancelled();
    expect(board.ended.cancelled).toBe(2);
  });

  it.each(["tokens", "logprobs", "embedding"])("keeps a bug of one sink (%s) from everybody else", (what) => {
    const [broken, well] = [new Told(), new Told()];
    broken.broken = what;
    const a = board.submit(broken, 1, REQUEST).id;
    const b = board.submit(well, 1, REQUEST).id;
    const numbers = { chosen: Float32Array.of(0), topTokens: new Uint32Array(0), topValues: new Float32Array(0) };
    const values = Float32Array.of(1);
    const both = {
      logprobs: [a, b].map((id) => ({ id, ...numbers })),
      embeddings: [a, b].map((id) => ({ id, values })),
    };
    engine.step({ tokens: { [a]: [1], [b]: [2] }, ...both });
    expect(broken.finishes.map(({ error }) => error?.reason)).toEqual(["INTERNAL"]);
    expect(engine.cancels).toEqual([{ ids: [a], mode: "kill" }]);
    expect(well.said).toEqual(["1: 2", "1 logprobs", "1 embedding of 1", "step"]);
    engine.step({ tokens: { [b]: [3] }, finishes: [{ id: a, reason: "cancelled" }] });
    expect(broken.finishes).toHaveLength(1);
    expect(board.open).toBe(1);
  });

  it("keeps a bug at the end of a request or step from everybody else", () => {
    const [broken, well] = [new Told(), new Told()];
    broken.broken = "finish";
    const a = board.submit(broken, 1, REQUEST).id;
    const b = board.submit(well, 1, REQUEST).id;
    engine.step({ finishes: [{ id: a, reason: "end" }] });
    broken.broken = "step";
    const c = board.submit(broken, 2, REQUEST).id;
    engine.step({ tokens: { [c]: [1], [b]: [1] } });
    engine.step({ finishes: [{ id: b, reason: "end" }] });
    expect(well.said).toEqual(["1: 1", "step", "1 end", "step"]);
    expect(board.open).toBe(1);
  });

  it("says what became of a request in the log and in a span", () => {
    const lines: string[] = [];
    const spans: string[] = [];
    const tracer = {
      ...noTracer,
      start: (name: string, traceparent: string | undefined) => {
        spans.push(`${name} under ${traceparent}`);
        const set = (key: string, value: unknown) => void (key === "stator.leg" && spans.push(`leg ${value}`));
        return { traceparent, set, end: (failure?: string) => void spans.push(`ended ${failure ?? "well"}`) };
      },
    };
    const log = createLog({ level: "debug", pretty: false, write: (line) => void lines.push(line) });
    const other = new FakeEngine();
    const listener = { onFailure() {}, onMetrics() {}, onIdle() {}, onKv() {} };
    const watched = createBoard(other, listener, { log, tracer });
    const { id } = watched.submit(new Told(), 1, { ...REQUEST, requestId: "r1", traceparent: "00-a", part: "prefill" });
    other.step({ finishes: [{ id, reason: "end", completionTokens: 3 }] });
    other.refuse = new StatorError("OVERLOADED", { what: "the engine" });
    expect(() => watched.submit(new Told(), 1, REQUEST)).toThrow();
    expect(spans).toEqual([
      "stator.worker under 00-a",
      "leg prefill",
      "ended well",
      "stator.worker under undefined",
      "ended OVERLOADED",
    ]);
    expect(JSON.parse(lines[0]!)).toMatchObject({ request: "r1", reason: "end", tokens: 3 });
  });
});

describe("what comes before a request", () => {
  let on: PreparationListener;
  let ended: number;
  const prepared = {
    ...REQUEST,
    make: {
      begin(listener: PreparationListener) {
        on = listener;
        return () => void ended++;
      },
    },
  };

  beforeEach(() => {
    ended = 0;
  });

  it("is waited for: it is open meanwhile, and then the engine is asked", () => {
    const told = new Told();
    expect(board.submit(told, 7, prepared).admission).toBeUndefined();
    expect([board.open, engine.open.size]).toEqual([1, 0]);
    on.onReady(make);
    expect([board.open, engine.ids]).toEqual([1, [1]]);
    engine.step({ tokens: { 1: [5] }, finishes: [{ id: 1, reason: "end" }] });
    expect(told.said).toEqual(["7: 5", "7 end", "step"]);
  });

  it("may fail, and the engine may refuse then: the request ends so, once", () => {
    const told = new Told();
    board.submit(told, 1, prepared);
    on.onFailed(new StatorError("STREAM_LOST", { detail: "gone" }));
    board.submit(told, 2, prepared);
    engine.refuse = new StatorError("OVERLOADED", { what: "the engine" });
    on.onReady(make);
    expect(told.said).toEqual(["1 failed STREAM_LOST", "step", "2 failed OVERLOADED", "step"]);
    expect([board.open, board.refused, idle]).toEqual([0, 1, 2]);
  });

  it.each(["onReady", "onFailed"] as const)("is ended by a cancel; %s is too late then", (how) => {
    const told = new Told();
    const { id } = board.submit(told, 1, prepared);
    board.cancel([id], "kill");
    expect([ended, engine.cancels, told.said]).toEqual([1, [], []]);
    if (how === "onReady") on.onReady(make);
    else on.onFailed(new StatorError("CANCELLED"));
    expect([told.said, engine.open.size, idle]).toEqual([["1 cancelled", "step"], 0, 1]);
  });

  it.each(["end", "interrupt"] as const)("is ended by %s, and what is told of it later is not heard", (how) => {
    const told = new Told();
    board.submit(told, 1, prepared);
    board[how](new StatorError("DRAINING", { what: "it" }));
    on.onReady(make);
    expect([told.said, ended, engine.open.size, idle]).toEqual([["1 failed DRAINING", "step"], 1, 0, 1]);
    if (how === "end") expect(() => board.submit(told, 2, prepared)).toThrow("shutting down");
    else board.submit(told, 2, prepared);
  });
});

it("an interruption ends what is open now, and nothing that comes later", () => {
  const told = new Told();
  const { id } = board.submit(told, 1, REQUEST);
  board.interrupt(new StatorError("DRAINING", { what: "it" }));
  expect([told.said, engine.cancels]).toEqual([["1 failed DRAINING", "step"], [{ ids: [id], mode: "kill" }]]);
  board.submit(told, 2, REQUEST);
  engine.step({ tokens: { [id]: [5], [id + 1]: [6] }, finishes: [{ id, reason: "cancelled" }] });
  expect(told.said.slice(2)).toEqual(["2: 6", "step"]);
});
