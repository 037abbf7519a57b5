import { expect, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { EngineClient } from "../../test/conformance/engine-rig.ts";
import { StillClock } from "../../test/support/still-clock.ts";
import { requireAbility } from "./ability.ts";
import type { SizedCard } from "./engine.ts";
import type { Executor, ExecutorListener } from "./executor.ts";
import { mockLayout } from "./mock/memory.ts";
import { ENTRY_END, type StepOutcome, type StepPlan } from "./schedule/plan.ts";
import { pagedSpace } from "./schedule/space.ts";
import { ScheduledEngine } from "./scheduled-engine.ts";

const CARD: SizedCard = {
  engine: "fake",
  software: { name: "fake", version: "1.0" },
  model: "fake",
  contextTokens: 64,
  blockTokens: 4,
  reuseTokens: 4,
  totalBlocks: 16,
  maxRunningRequests: 4,
  maxWaitingRequests: 4,
  hashScheme: "xxh3-1337-v1",
  quantization: "none",
  modelDigest: new Uint8Array(32),
  input: "tokens",
  capabilities: {
    generate: true,
    embed: true,
    grammar: true,
    logprobs: false,
    promptLogprobs: false,
    lora: false,
    kvBlocks: true,
    mock: true,
    embeddingSize: 1,
    maxTopLogprobs: 0,
    missing: { logprobs: "it is a fake", lora: "it is a fake" },
  },
  deterministic: "batch",
  defaultSampling: {},
  artifacts: [],
  layout: mockLayout(4),
  times: undefined,
  facts: [],
};

/** An executor that does what the test says; every entry draws the token 7. */
class FakeExecutor implements Executor {
  readonly plans: StepPlan[] = [];
  readonly written: number[] = [];
  listener: ExecutorListener | undefined;
  failWriteAt = Number.POSITIVE_INFINITY;
  isClosed = false;

  start(listener: ExecutorListener): void {
    this.listener = listener;
  }

  submit(plan: StepPlan): void {
    this.plans.push(plan);
  }

  /** Ends the oldest step. */
  end(status: StepOutcome["status"] = "ok", entryEnd: number = ENTRY_END.none): void {
    const plan = this.plans.shift()!;
    const counts = Uint8Array.from(plan.entries, (entry) => (entryEnd === ENTRY_END.failed ? 0 : entry.draws));
    const drawn = counts.reduce((sum, count) => sum + count, 0);
    this.listener!.onOutcome({
      step: plan.step,
      status,
      durationUs: 5,
      counts,
      tokens: new Uint32Array(drawn).fill(7),
      ends: new Uint8Array(plan.entries.length).fill(entryEnd),
      logprobs: [],
      promptLogprobs: [],
      errors: [],
    });
  }

  abort(): void {}

  async readBlock(): Promise<Uint8Array> {
    return new Uint8Array(64).fill(3);
  }

  async writeBlock({ index }: { index: number }): Promise<void> {
    if (index >= this.failWriteAt) throw new StatorError("ENGINE_FAILED", { detail: "no room" });
    this.written.push(index);
  }

  async embed(): Promise<readonly Float32Array[]> {
    throw new StatorError("ENGINE_FAILED", { detail: "no embeddings today" });
  }

  async loadAdapter(): Promise<Uint8Array> {
    return new Uint8Array(32);
  }

  unloadAdapter(): void {}

  checkGrammar(grammar: string): void {
    throw new StatorError("INVALID_GRAMMAR", { detail: grammar });
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

function openRig() {
  const executor = new FakeExecutor();
  const engine = new ScheduledEngine({
    card: CARD,
    executor,
    scheduler: {
      blocks: 16,
      blockTokens: 4,
      contextTokens: 64,
      maxRunning: 4,
      maxWaiting: 4,
      maxBatchTokens: 32,
      maxScoredTokens: 0,
      tokensPerStep: 1,
      outstandingSteps: 1,
      oneAdapterPerStep: false,
      reusesPrefixes: true,
      maxCachedBlocks: 16,
      chunkTokens: 0,
      space: () => pagedSpace,
    },
    text: { vocabularySize: 100, tokenize: () => Uint32Array.of(1), piece: () => new Uint8Array() },
    embedTokens: 16,
    clock: new StillClock(),
    log: silentLog,
  });
  return { executor, engine, client: new EngineClient(engine) };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const prompt = Uint32Array.from({ length: 10 }, (_, at) => at);

test("requests of one turn of the event loop share a step", async () => {
  const { executor, client } = openRig();
  for (let at = 0; at < 3; at++) client.start({ prompt: Uint32Array.of(at) });
  expect(executor.plans).toHaveLength(0);
  await turn();
  expect(executor.plans[0]!.entries).toHaveLength(3);
});

test("an engine that cannot go on says so once and takes nothing more", async () => {
  const { executor, engine, client } = openRig();
  client.start({ prompt });
  await turn();
  const exporting = engine.blocks!.export(BigUint64Array.of(1n));
  executor.listener!.onFailure(new StatorError("ENGINE_FAILED", { detail: "the device is gone" }));
  executor.listener!.onFailure(new StatorError("ENGINE_FAILED", { detail: "again" }));
  expect(client.failures.map((error) => error.message)).toEqual(["The engine failed: the device is gone."]);
  expect(() => client.start({ prompt })).toThrow("the device is gone");
  expect(await exporting).toEqual([]);
  await expect(engine.blocks!.export(BigUint64Array.of(1n))).rejects.toThrow("the device is gone");
});

test("a step that found no room is tried again, but not for ever", async () => {
  const { executor, client } = openRig();
  const { done } = client.start({ prompt, stopping: { maxTokens: 1 } });
  await turn();
  executor.end("no_space");
  executor.end();
  expect((await done).finish.reason).toBe("length");
  client.start({ prompt });
  await turn();
  for (let at = 0; at < 4; at++) executor.end("no_space");
  expect(client.failures.map((error) => error.message)).toEqual(["The engine failed: its cache is full."]);
});

test("an entry that fails ends its request alone", async () => {
  const { executor, client } = openRig();
  const { done } = client.start({ prompt });
  await turn();
  executor.end("ok", ENTRY_END.failed);
  expect((await done).finish).toMatchObject({ reason: "failed", error: { reason: "ENGINE_FAILED" } });
  expect(client.failures).toEqual([]);
});

test("what the card does not have is refused with the card's reason", () => {
  const { engine, client } = openRig();
  expect(() => client.start({ prompt, topLogprobs: 0 })).toThrow("Log-probabilities is not available: it is a fake.");
  const grammar = { kind: "ebnfGrammar", grammar: "root" } as const;
  expect(() => client.start({ prompt, guidance: grammar })).toThrow("The grammar cannot be used: root.");
  const schema = { kind: "jsonSchema", schema: '{"not":{}}' } as const;
  expect(() => client.start({ prompt, guidance: schema })).toThrow("The JSON schema uses not at #");
  expect(engine.adapters).toBeUndefined();
  expect(() => requireAbility(engine, "adapters")).toThrow("LoRA is not available: it is a fake.");
});

test("an embedding that fails ends its own request", async () => {
  const { client } = openRig();
  const answer = await client.embed("text");
  expect(answer.finish).toMatchObject({ reason: "failed", error: { reason: "ENGINE_FAILED" } });
});

test("of blocks that arrive in part those before the first loss are kept", async () => {
  const { executor, engine, client } = openRig();
  const tokens = Uint32Array.from({ length: 41 }, (_, at) => at);
  const { done } = client.start({ prompt: tokens, stopping: { maxTokens: 1 } });
  await turn();
  executor.end();
  executor.end();
  await done;
  const envelopes = await engine.blocks!.export(BigUint64Array.from([...client.stored]));
  expect(envelopes).toHaveLength(10);
  const other = openRig();
  other.executor.failWriteAt = 9;
  expect(await other.engine.blocks!.import(tokens, envelopes, { cacheSalt: "", adapter: undefined })).toBe(9);
  expect(other.client.stored.size).toBe(9);
  expect(other.client.start({ prompt: tokens }).cachedTokens).toBe(36);
});

test("closing ends what waits and closes the executor", async () => {
  const { executor, engine, client } = openRig();
  client.start({ prompt });
  await turn();
  await engine.close();
  await engine.close();
  expect(executor.isClosed).toBe(true);
  expect(() => client.start({ prompt })).toThrow("it has been closed");
});
