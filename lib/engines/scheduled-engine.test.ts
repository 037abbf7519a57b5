import { expect, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { EngineClient } from "../../test/conformance/engine-rig.ts";
import { takeBlocks } from "../../test/support/move-blocks.ts";
import { StillClock } from "../../test/support/still-clock.ts";
import { requireAbility } from "./ability.ts";
import type { SizedCard } from "./engine.ts";
import type { BlocksPlace, Executor, ExecutorListener, ReadBlocks, WrittenBlocks } from "./executor.ts";
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
  reads = 0;
  beforeMove: (() => Promise<void>) | undefined;
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

  async readBlocks({ index }: BlocksPlace, into: readonly Uint8Array[]): Promise<ReadBlocks> {
    this.reads += into.length;
    await this.beforeMove?.();
    for (const [at, bytes] of into.entries()) bytes.fill(index + at);
    return { checksums: BigUint64Array.from(into, (_, at) => BigInt(index + at)), durationUs: 1 };
  }

  async writeBlocks(
    { index }: BlocksPlace,
    from: readonly Uint8Array[],
    checksums: BigUint64Array | undefined,
  ): Promise<WrittenBlocks> {
    if (index + from.length > this.failWriteAt) throw new StatorError("ENGINE_FAILED", { detail: "no room" });
    await this.beforeMove?.();
    const wrong = from.findIndex((bytes, at) => checksums && checksums[at] !== BigInt(bytes[0]!));
    const count = wrong < 0 ? from.length : wrong;
    for (let at = 0; at < count; at++) this.written.push(index + at);
    return { count, durationUs: 1 };
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
  const blocks = engine.blocks!;
  const run = blocks.pin(BigUint64Array.of());
  executor.listener!.onFailure(new StatorError("ENGINE_FAILED", { detail: "the device is gone" }));
  executor.listener!.onFailure(new StatorError("ENGINE_FAILED", { detail: "again" }));
  expect(client.failures.map((error) => error.message)).toEqual(["The engine failed: the device is gone."]);
  expect(() => client.start({ prompt })).toThrow("the device is gone");
  expect(() => blocks.pin(BigUint64Array.of(1n))).toThrow("the device is gone");
  expect(() => blocks.open({ ...WANTED, blocks: 1 })).toThrow("the device is gone");
  run.unpin();
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

const WANTED = { tokens: Uint32Array.from({ length: 41 }, (_, at) => at), cacheSalt: "", adapter: undefined };

/** A rig whose cache holds the ten blocks of the wanted tokens. */
async function filledRig() {
  const rig = openRig();
  const { done } = rig.client.start({ prompt: WANTED.tokens, stopping: { maxTokens: 1 } });
  await turn();
  rig.executor.end();
  rig.executor.end();
  await done;
  return { ...rig, blocks: rig.engine.blocks!, hashes: BigUint64Array.from(rig.client.stored) };
}

test("of blocks that arrive in part those before the first loss are kept", async () => {
  const { engine, hashes } = await filledRig();
  const taken = await takeBlocks(engine, hashes);
  expect(taken.payloads).toHaveLength(10);
  for (const [failWriteAt, checksumAt] of [
    [9, undefined],
    [20, 9],
  ] as const) {
    const other = openRig();
    other.executor.failWriteAt = failWriteAt;
    const incoming = other.engine.blocks!.open({ ...WANTED, blocks: 10 });
    if (checksumAt === undefined) expect(await incoming.write(taken.payloads.slice(0, 9), undefined)).toBe(9);
    const arrived = checksumAt === undefined ? 9 : 0;
    const checksums = taken.checksums.map((checksum, at) => (at === checksumAt ? checksum + 1n : checksum));
    const writing = incoming.write(taken.payloads.slice(arrived), checksums.subarray(arrived));
    // What is damaged is told by how many are good, and all else that goes wrong as it is.
    if (checksumAt === undefined) await expect(writing).rejects.toThrow("no room");
    else expect(await writing).toBe(9);
    // Nothing comes behind a hole.
    expect(await incoming.write(taken.payloads.slice(9), undefined)).toBe(0);
    expect(incoming.close()).toBe(9);
    await turn();
    expect(other.client.stored.size).toBe(9);
    expect(other.client.start({ prompt: WANTED.tokens }).cachedTokens).toBe(36);
  }
});

test("a run keeps its blocks and all before them, and is let go once", async () => {
  const { blocks, hashes, engine, client } = await filledRig();
  expect([blocks.count(hashes), blocks.count(BigUint64Array.of(1n)), blocks.count(hashes.slice(4))]).toEqual([
    10, 0, 6,
  ]);
  const run = blocks.pin(hashes.slice(4, 7));
  expect([run.index, run.count]).toEqual([4, 3]);
  expect(engine.cache.clear()).toEqual({ cleared: 3, kept: 7 });
  const into = [new Uint8Array(64), new Uint8Array(64)];
  expect(await blocks.read(run, 1, into)).toEqual(BigUint64Array.of(5n, 6n));
  expect(into.map((bytes) => bytes[63])).toEqual([5, 6]);
  const reading = blocks.read(run, 0, into);
  expect(() => run.unpin()).toThrow("not while it is read");
  await reading;
  run.unpin();
  await turn();
  expect([client.stored.size, blocks.count(hashes)]).toEqual([0, 0]);
  expect(() => run.unpin()).toThrow("once");
  await expect(blocks.read(run, 0, into)).rejects.toThrow("while it is pinned");
  await expect(blocks.read(blocks.pin(hashes), 0, into)).rejects.toThrow("the blocks of a run");
});

test("blocks on their way have places, whoever computes them meanwhile, and more do not fit", async () => {
  const { engine, hashes } = await filledRig();
  const taken = await takeBlocks(engine, hashes);
  const other = openRig();
  const blocks = other.engine.blocks!;
  const incoming = blocks.open({ ...WANTED, blocks: 8 });
  expect([incoming.from, blocks.count(hashes)]).toEqual([0, 0]);
  expect(() => blocks.open({ ...WANTED, cacheSalt: "b", blocks: 9 })).toThrow("has reached its limit of 16");
  expect(await incoming.write(taken.payloads.slice(0, 5), taken.checksums.subarray(0, 5))).toBe(5);
  other.engine.cache.clear();
  const { done } = other.client.start({ prompt: WANTED.tokens.slice(0, 13), stopping: { maxTokens: 1 } });
  await turn();
  other.executor.end();
  await done;
  expect(blocks.count(hashes)).toBe(3);
  expect(incoming.close()).toBe(5);
  await turn();
  expect([blocks.count(hashes), other.client.stored.size]).toEqual([5, 5]);
  const more = blocks.open({ ...WANTED, blocks: 10 });
  expect(more.from).toBe(5);
  await expect(more.write(taken.payloads, undefined)).rejects.toThrow("no more blocks come than were wanted");
  expect(more.close()).toBe(5);
  expect(() => more.close()).toThrow("once");
});

test("a step that is taken back takes back what was moved behind it", async () => {
  const { blocks, hashes, executor, client, engine } = await filledRig();
  const taken = await takeBlocks(engine, hashes);
  executor.reads = 0;
  let abortions = 1;
  executor.beforeMove = async () => {
    if (abortions-- === 1) executor.end("aborted");
  };
  client.start({ prompt: Uint32Array.of(90) });
  await turn();
  const run = blocks.pin(hashes.slice(0, 2));
  const into = [new Uint8Array(64), new Uint8Array(64)];
  expect(await blocks.read(run, 0, into)).toEqual(BigUint64Array.of(0n, 1n));
  expect(executor.reads).toBe(4);
  run.unpin();
  await turn();
  abortions = 1;
  const incoming = blocks.open({ ...WANTED, cacheSalt: "b", blocks: 3 });
  await expect(incoming.write(taken.payloads.slice(0, 3), undefined)).rejects.toThrow("a step was taken back");
  expect(incoming.close()).toBe(0);
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
