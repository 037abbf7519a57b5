import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import { EngineClient } from "../../test/conformance/engine-rig.ts";
import { putBlocks, takeBlocks } from "../../test/support/move-blocks.ts";
import { openMock } from "./mock/mock-engine.ts";

const modelPath = fileURLToPath(new URL("../../models/stator-demo-q8_0.gguf", import.meta.url));
const BLOCK_TOKENS = 16;
const PROMPT = Uint32Array.from({ length: 6 * BLOCK_TOKENS + 1 }, (_, at) => at + 300);

async function openClient(blocks = 64) {
  const timing = { kind: "polynomial", speedup: 0, decodeSpeedup: 1 } as const;
  const client = new EngineClient(await openMock({ modelPath, clock: systemClock, log: silentLog, blocks, timing }));
  const { engine } = client;
  return { client, engine, blocks: engine.blocks!, adapters: engine.adapters!, cache: engine.cache! };
}

function hashesOf(adapter: string | undefined): BigUint64Array {
  const hashes = new BigUint64Array(6);
  new TokenHasher().hashBlocks(PROMPT, BLOCK_TOKENS, hashSeed("", adapter), hashes.slice(), hashes);
  return hashes;
}

const ASK = { prompt: PROMPT, adapter: "wave", stopping: { maxTokens: 5 } };
const WANTED = { tokens: PROMPT, blocks: 6, cacheSalt: "", adapter: "wave" };

test("what an adapter computed is found by nobody once its name is free, whoever holds it", async () => {
  const { client, engine, blocks, adapters, cache } = await openClient();
  const source = await openClient();
  for (const each of [adapters, source.adapters]) await each.load("wave", "a.gguf");
  const first = await client.ask(ASK);
  await source.client.ask(ASK);
  const taken = await takeBlocks(source.engine, hashesOf("wave"));
  const run = blocks.pin(hashesOf("wave"));
  const incoming = blocks.open({ ...WANTED, cacheSalt: "other" });
  expect([run.count, await incoming.write(taken.payloads, taken.checksums)]).toEqual([6, 6]);
  await adapters.unload("wave");
  expect(() => blocks.open({ ...WANTED, cacheSalt: "third" })).toThrow("The model wave does not exist");
  expect([blocks.count(hashesOf("wave")), client.stored.size]).toEqual([0, 6]);
  await adapters.load("wave", "a.gguf");
  expect(incoming.close()).toBe(0);
  const again = await client.ask(ASK);
  expect([again.finish.cachedTokens, again.tokens]).toEqual([0, first.tokens]);
  expect(blocks.count(hashesOf("wave"))).toBe(6);
  // Who holds the old ones reads them still, and they go with it.
  const into = taken.payloads.map((bytes) => new Uint8Array(bytes.length));
  expect(await blocks.read(run, 0, into)).toEqual(taken.checksums);
  expect(into).toEqual(taken.payloads);
  run.unpin();
  expect(cache.clear()).toEqual({ cleared: 6, kept: 0 });
  expect((await client.ask({ ...ASK, stopping: { maxTokens: 1 } })).finish.cachedTokens).toBe(0);
  expect(client.metrics.at(-1)).toMatchObject({ usedBlocks: 0 });
  await Promise.all([engine.close(), source.engine.close()]);
});

test("whoever waits for room goes on when blocks are let go", async () => {
  const { client, engine, blocks } = await openClient(16);
  await client.ask({ prompt: PROMPT, stopping: { maxTokens: 1 } });
  const run = blocks.pin(hashesOf(undefined));
  const incoming = blocks.open({ ...WANTED, adapter: undefined, cacheSalt: "other" });
  let isDone = false;
  const waiting = client.ask({ prompt: PROMPT, cacheSalt: "third", stopping: { maxTokens: 1 } });
  const noted = waiting.then(() => (isDone = true));
  for (let at = 0; at < 20; at++) await new Promise((resolve) => setImmediate(resolve));
  expect([isDone, incoming.close()]).toEqual([false, 0]);
  expect([(await waiting).finish.reason, await noted]).toEqual(["length", true]);
  run.unpin();
  await engine.close();
});

test("many readers take turns, and what is closed in the middle fails each of them", async () => {
  const { client, engine, blocks } = await openClient();
  await client.ask({ prompt: PROMPT, stopping: { maxTokens: 1 } });
  const hashes = hashesOf(undefined);
  const [one, two] = await Promise.all([takeBlocks(engine, hashes), takeBlocks(engine, hashes)]);
  expect(two).toEqual(one);
  const target = await openClient();
  expect(await putBlocks(target.blocks, PROMPT, one)).toBe(6);
  const run = blocks.pin(hashes);
  const reading = blocks.read(run, 0, one.payloads);
  const incoming = target.blocks.open({ ...WANTED, adapter: undefined, cacheSalt: "other" });
  const writing = incoming.write(one.payloads, one.checksums);
  const failed = [expect(reading).rejects.toThrow("closed"), expect(writing).rejects.toThrow("closed")];
  await Promise.all([engine.close(), target.engine.close(), ...failed]);
  run.unpin();
  expect(incoming.close()).toBe(0);
});
