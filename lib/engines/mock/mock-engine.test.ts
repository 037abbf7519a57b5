import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { passMsOf } from "#lib/perf/time-prior";
import { GREEDY } from "#lib/tokens/sampling";
import type { EngineFinish, EngineStep, GenerateRequest } from "../engine.ts";
import { MOCK_MODEL, openMock } from "./mock-engine.ts";
import type { MockOptions } from "./mock-options.ts";

const modelPath = fileURLToPath(new URL("../../../models/stator-demo-q8_0.gguf", import.meta.url));

/** A mock on a clock that moves when told, and what it made. */
async function openRig(options: Partial<MockOptions> = {}) {
  const clock = new FakeClock();
  const engine = await openMock({ modelPath, clock, log: silentLog, ...options });
  const steps: EngineStep[] = [];
  const finishes: EngineFinish[] = [];
  engine.listen({
    onStep(step) {
      steps.push(step);
      finishes.push(...step.finishes);
    },
    onKv() {},
    onFailure(error) {
      throw error;
    },
  });
  const advance = async (byMs: number) => {
    clock.advance(byMs);
    await Promise.resolve();
  };
  const tokensOf = (id: number) => {
    const tokens: number[] = [];
    for (const step of steps) {
      let at = 0;
      for (const [entry, owner] of step.ids.entries()) {
        const count = step.counts?.[entry] ?? 1;
        if (owner === id) tokens.push(...step.tokens.subarray(at, at + count));
        at += count;
      }
    }
    return tokens;
  };
  return { clock, engine, steps, finishes, advance, tokensOf };
}

function requestOf(id: number, more: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    kind: "generate",
    id,
    promptTokens: Uint32Array.from({ length: 100 }, (_, at) => at + 300),
    generatedTokens: new Uint32Array(),
    choice: 0,
    sampling: GREEDY,
    stopping: { maxTokens: 16, minTokens: 0, ignoreEos: true, stopTokens: new Uint32Array() },
    guidance: undefined,
    topLogprobs: undefined,
    promptLogprobs: false,
    adapter: undefined,
    cacheSalt: "",
    priority: 0,
    ...more,
  };
}

test("it says that it is a mock, and why it follows no grammar", async () => {
  const { engine } = await openRig();
  expect(engine.card.model).toBe(MOCK_MODEL);
  expect(engine.card.capabilities).toMatchObject({ mock: true, grammar: false });
  expect(() => engine.submit(requestOf(1, { guidance: { kind: "regex", pattern: "[a-z]+" } }))).toThrow(
    "A grammar is not available: the mock makes its text up and follows no grammar.",
  );
});

test("steps take the time that the model says, on any clock", async () => {
  const timing = { kind: "linear", stepMs: 2, prefillTokenMs: 0.1, decodeSequenceMs: 1 } as const;
  const { engine, steps, finishes, advance } = await openRig({ timing });
  engine.submit(requestOf(1, { stopping: { ...requestOf(1).stopping, maxTokens: 3 } }));
  await advance(11.9);
  expect(steps).toHaveLength(0);
  await advance(0.2);
  expect(steps).toHaveLength(1);
  expect(steps[0]!.metrics).toMatchObject({ durationUs: 12_000, prefillTokens: 100, decodeSequences: 0 });
  await advance(6);
  expect(steps.map((step) => step.metrics.durationUs)).toEqual([12_000, 3_000, 3_000]);
  expect(finishes).toMatchObject([{ reason: "length", completionTokens: 3 }]);
});

test("its steps take what its card says, and as much longer as it is told", async () => {
  const lates = [0, 30, 0, 0];
  const timing = { kind: "polynomial", speedup: 2, decodeSpeedup: 1 } as const;
  const { engine, steps, advance } = await openRig({ timing, lateMs: () => lates.shift() ?? 0 });
  engine.submit(requestOf(1, { promptTokens: new Uint32Array(300).fill(5) }));
  for (let ms = 0; ms < 200 && steps.length < 4; ms++) await advance(1);
  const poolTokens = engine.card.totalBlocks * engine.card.blockTokens;
  const seen = steps.slice(0, 4).map(({ metrics }) => metrics);
  const said = seen.map((shape) => passMsOf(engine.card.times!, { ...shape, poolTokens }));
  expect(seen.map(({ durationUs }) => durationUs)).toEqual(
    said.map((ms, at) => Math.round((ms + (at === 1 ? 30 : 0)) * 1000)),
  );
  expect(seen.map(({ decodeSequences }) => decodeSequences)).toEqual([0, 1, 1, 1]);
});

test("several tokens of one step come as one entry with a count", async () => {
  const { engine, steps, advance, tokensOf } = await openRig({ timing: { kind: "instant" }, instantTokens: 16 });
  engine.submit(requestOf(1));
  engine.submit(requestOf(2, { stopping: { ...requestOf(2).stopping, maxTokens: 1 }, cacheSalt: "x" }));
  await advance(0);
  expect(steps).toHaveLength(1);
  expect([...steps[0]!.counts!]).toEqual([16, 1]);
  expect(steps[0]!.finishes).toHaveLength(2);
  const single = await openRig({ timing: { kind: "instant" } });
  single.engine.submit(requestOf(1));
  await single.advance(0);
  expect(tokensOf(1)).toEqual(single.tokensOf(1));
});

test("without a time model it waits for nothing: a step is a turn of the event loop, which others share", async () => {
  const instant = { timing: { kind: "polynomial", speedup: 0, decodeSpeedup: 1 }, clock: systemClock } as const;
  const { engine, steps, finishes } = await openRig(instant);
  engine.submit(requestOf(1, { stopping: { ...requestOf(1).stopping, maxTokens: 400 } }));
  let turns = 0;
  for (; finishes.length === 0; turns++) await new Promise((resolve) => setImmediate(resolve));
  expect(steps).toHaveLength(400);
  expect(turns).toBeGreaterThanOrEqual(399);
  expect(turns).toBeLessThanOrEqual(420);
  await engine.close();
});

test("a step that is late catches up, and never in one turn with another", async () => {
  let nowMs = 0;
  const due: { readonly delayMs: number; readonly call: () => void }[] = [];
  const clock = {
    nowMs: () => nowMs,
    unixMs: () => nowMs,
    after(delayMs: number, call: () => void) {
      due.push({ delayMs, call });
      return { cancel() {} };
    },
    soon: queueMicrotask,
  };
  const timing = { kind: "linear", stepMs: 2, prefillTokenMs: 0, decodeSequenceMs: 0 } as const;
  const { engine } = await openRig({ timing, clock });
  engine.submit(requestOf(1));
  await Promise.resolve();
  const delays: number[] = [];
  for (const lateMs of [8, 0, 0, 0, 0, 0, 0, 0, 0, 0]) {
    const { delayMs, call } = due.pop()!;
    delays.push(delayMs);
    nowMs += delayMs + lateMs;
    call();
    await Promise.resolve();
  }
  expect(delays).toEqual([2, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
});

test("its context is what was asked for, within what its blocks hold", async () => {
  const card = async (options: Partial<MockOptions>) => (await openRig(options)).engine.card;
  expect((await card({})).contextTokens).toBe(32_768);
  expect((await card({ contextTokens: 131_072 })).contextTokens).toBe(131_072);
  const { engine } = await openRig({ contextTokens: 300, blocks: 16 });
  expect(engine.card.contextTokens).toBe(256);
  expect(() => engine.submit(requestOf(1, { promptTokens: new Uint32Array(256) }))).toThrow("256");
});

test("its text is made of words", async () => {
  const { engine, advance, tokensOf } = await openRig({ timing: { kind: "instant" } });
  const stopping = { ...requestOf(1).stopping, maxTokens: 60 };
  engine.submit(requestOf(1, { stopping }));
  await advance(0);
  const text = tokensOf(1)
    .map((token) => Buffer.from(engine.text!.piece(token)).toString())
    .join("");
  expect(text).toMatch(/^( [a-z]+){11}\.( [a-z]+){11}\./);
});

test("an adapter changes the text; it leaves when the last of its requests has ended", async () => {
  const { engine, advance, tokensOf } = await openRig({
    timing: { kind: "linear", stepMs: 1, prefillTokenMs: 0, decodeSequenceMs: 0 },
  });
  await engine.adapters!.load("pirate", "/adapters/pirate.gguf");
  expect(await engine.adapters!.load("pirate", "/adapters/pirate.gguf")).toMatchObject({ alreadyLoaded: true });
  await expect(engine.adapters!.load("pirate", "/adapters/other.gguf")).rejects.toThrow("exists already");
  engine.submit(requestOf(1));
  engine.submit(requestOf(2, { adapter: "pirate" }));
  await advance(5);
  const gone = engine.adapters!.unload("pirate");
  expect(engine.adapters!.list()).toEqual([]);
  expect(() => engine.submit(requestOf(3, { adapter: "pirate" }))).toThrow("does not exist");
  let isGone = false;
  const watch = gone.then(() => {
    isGone = true;
  });
  await advance(5);
  expect(isGone).toBe(false);
  await advance(20);
  await watch;
  expect(tokensOf(2)).toHaveLength(16);
  expect(tokensOf(2)).not.toEqual(tokensOf(1));
  await expect(engine.adapters!.unload("pirate")).rejects.toThrow("was not found");
});

test("a killed request ends its step early", async () => {
  const { engine, steps, finishes, advance } = await openRig({
    timing: { kind: "linear", stepMs: 500, prefillTokenMs: 0, decodeSequenceMs: 0 },
  });
  engine.submit(requestOf(1));
  await advance(10);
  engine.cancel([1], "kill");
  await advance(0);
  await advance(0);
  expect(finishes).toMatchObject([{ id: 1, reason: "cancelled", completionTokens: 0 }]);
  engine.submit(requestOf(2));
  await advance(500);
  expect(steps.at(-1)!.metrics.prefillTokens).toBe(100);
});

test("a model file that is none is refused in one sentence", async () => {
  const clock = new FakeClock();
  const open = (path: string) => openMock({ modelPath: path, clock, log: silentLog });
  await expect(open("/nowhere/model.gguf")).rejects.toThrow("There is no file /nowhere/model.gguf.");
  await expect(open(fileURLToPath(import.meta.url))).rejects.toThrow("it is not a GGUF file");
  await expect(open(fileURLToPath(new URL(".", import.meta.url)))).rejects.toThrow("it is a folder");
});
