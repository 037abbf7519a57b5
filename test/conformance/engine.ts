import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import { putBlocks, takeBlocks } from "../support/move-blocks.ts";
import { EngineClient, type EngineRig, type MeasuredEngine, reusable, sequenceHashes } from "./engine-rig.ts";

/** Why a request is refused, at once or a little later; "none" when it is taken. */
async function refusalOf(call: () => { readonly taken: Promise<void> }): Promise<string> {
  try {
    await call().taken;
  } catch (error) {
    if (error instanceof StatorError) return error.reason;
    throw error;
  }
  return "none";
}

/** Every engine with token input and output holds this. */
export function engineConformance(name: string, rig: EngineRig): void {
  describe(`engine ${name}`, { timeout: 120_000 }, () => {
    const opened: MeasuredEngine[] = [];
    const open = async (...args: Parameters<EngineRig["open"]>): Promise<EngineClient> => {
      const engine = await rig.open(...args);
      opened.push(engine);
      return new EngineClient(engine);
    };
    let client: EngineClient;
    beforeAll(async () => {
      client = await open();
    });
    afterAll(async () => {
      await Promise.all(opened.map((engine) => engine.close()));
    });

    /** How far the same log-probability may lie apart, computed in other company. */
    const tolerance = (): number => (client.engine.card.deterministic === "batch" ? 0 : 0.2);

    it("says what it is", () => {
      const { card } = client.engine;
      expect(card.artifacts.map(({ kind }) => kind)).toContain("tokenizer");
      for (const { digest, content } of card.artifacts) {
        expect(Buffer.from(digest)).toEqual(createHash("sha256").update(content).digest());
      }
      expect([0, 32]).toContain(card.modelDigest.length);
      expect(card.contextTokens).toBeLessThanOrEqual(card.totalBlocks * card.blockTokens);
      expect(card.layout !== undefined).toBe(card.capabilities.kvBlocks);
      const { text, adapters, blocks, embeddings } = client.engine;
      const { lora, kvBlocks, embed } = card.capabilities;
      expect(text, "what takes ids of a tokenizer that it shows has that tokenizer").toBeDefined();
      expect([adapters, blocks, embeddings].map((one) => one !== undefined)).toEqual([lora, kvBlocks, embed]);
      for (const [feature, reason] of Object.entries(card.capabilities.missing)) {
        if (feature !== "gpu" && feature !== "deterministic") expect(card.capabilities).toHaveProperty(feature, false);
        expect(reason.length).toBeGreaterThan(10);
      }
    });

    it("answers the same alone and among others, and each request ends once", async () => {
      const alone: number[][] = [];
      for (const prompt of rig.prompts) alone.push((await client.ask({ prompt })).tokens);
      const crowd = Array.from({ length: 16 }, (_, at) => rig.prompts[at % rig.prompts.length]!);
      const answers = await Promise.all(crowd.map((prompt) => client.ask({ prompt })));
      for (const [at, answer] of answers.entries()) {
        expect(client.text(answer.tokens)).toBe(client.text(alone[at % rig.prompts.length]!));
        expect(answer.finish.completionTokens).toBe(answer.tokens.length);
        expect(answer.finish.promptTokens).toBe(client.tokens(crowd[at]!).length);
      }
      expect(client.failures).toEqual([]);
    });

    it("stops at the limit, and before it only at an end", async () => {
      const [prompt = ""] = rig.prompts;
      const short = await client.ask({ prompt, stopping: { maxTokens: 3 } });
      expect(short.tokens).toHaveLength(3);
      expect(short.finish).toMatchObject({ reason: "length", completionTokens: 3, stopToken: undefined });
      const on = await client.ask({ prompt, stopping: { maxTokens: 150, ignoreEos: true } });
      expect(on.tokens).toHaveLength(150);
      const whole = await client.ask({ prompt, stopping: { maxTokens: 150 } });
      expect(whole.finish.reason).toBe("end");
      expect(whole.finish.stopToken).toBeDefined();
      expect(whole.tokens).not.toContain(whole.finish.stopToken);
      expect(on.tokens.slice(0, whole.tokens.length)).toEqual(whole.tokens);
    });

    it("ends at a stop token, which is not part of the answer, but not before the least length", async () => {
      const [prompt = ""] = rig.prompts;
      const { tokens } = await client.ask({ prompt });
      const stop = tokens[2]!;
      const first = tokens.indexOf(stop);
      const stopped = await client.ask({ prompt, stopping: { stopTokens: Uint32Array.of(stop) } });
      expect(stopped.tokens).toEqual(tokens.slice(0, first));
      expect(stopped.finish).toMatchObject({ reason: "stop_token", stopToken: stop, completionTokens: first });
      const later = await client.ask({ prompt, stopping: { stopTokens: Uint32Array.of(stop), minTokens: 8 } });
      expect(later.tokens.length).toBeGreaterThanOrEqual(8);
      expect(later.tokens).not.toContain(stop);
    });

    it("reuses the blocks of a prefix that it has computed, within one salt", async () => {
      const tokens = client.tokens(rig.longPrompt);
      const whole = reusable(client, tokens.length - 1);
      const first = await client.ask({ prompt: tokens, cacheSalt: "a", stopping: { maxTokens: 4 } });
      expect(first.finish.cachedTokens).toBe(0);
      const again = client.start({ prompt: tokens, cacheSalt: "a", stopping: { maxTokens: 4 } });
      expect([whole, undefined]).toContain(again.cachedTokens);
      expect((await again.done).finish.cachedTokens).toBe(whole);
      expect((await again.done).tokens).toEqual(first.tokens);
      const salted = await client.ask({ prompt: tokens, cacheSalt: "b", stopping: { maxTokens: 4 } });
      expect(salted.finish.cachedTokens).toBe(0);
      expect(salted.tokens).toEqual(first.tokens);
    });

    it("computes a prompt once for all its choices", async () => {
      const before = client.metrics.length;
      const tokens = client.tokens(rig.longPrompt);
      const ask = { prompt: tokens, cacheSalt: "choices", stopping: { maxTokens: 4 } };
      await Promise.all([0, 1, 2].map((choice) => client.ask({ ...ask, choice })));
      const prefill = client.metrics.slice(before).reduce((sum, each) => sum + each.prefillTokens, 0);
      // Each choice computes what is not reused, and at least its last token.
      expect(prefill).toBeLessThanOrEqual(tokens.length + 2 * (tokens.length - reusable(client, tokens.length - 1)));
    });

    it("draws by seed, choice and position alone, and goes on after a cut as if there had been none", async () => {
      const [prompt = ""] = rig.prompts;
      const sampling = { temperature: 0.9, topP: 0.95, seed: 42n };
      const ask = { prompt, sampling, stopping: { maxTokens: 24, ignoreEos: true } };
      const whole = await client.ask(ask);
      expect((await client.ask(ask)).tokens).toEqual(whole.tokens);
      expect((await client.ask({ ...ask, choice: 1 })).tokens).not.toEqual(whole.tokens);
      expect((await client.ask({ ...ask, sampling: { ...sampling, seed: 43n } })).tokens).not.toEqual(whole.tokens);
      const generatedTokens = Uint32Array.from(whole.tokens.slice(0, 10));
      const rest = await client.ask({ ...ask, generatedTokens });
      expect(rest.tokens).toEqual(whole.tokens.slice(10));
      expect(rest.finish.completionTokens).toBe(24);
      const greedy = await client.ask({ prompt });
      const cut = Uint32Array.from(greedy.tokens.slice(0, 5));
      expect((await client.ask({ prompt, generatedTokens: cut })).tokens).toEqual(greedy.tokens.slice(5));
    });

    it("tells log-probabilities: the chosen one's, and the most likely ones in order", async () => {
      const [prompt = ""] = rig.prompts;
      const answer = await client.ask({ prompt, topLogprobs: 4, stopping: { maxTokens: 6 } });
      expect(answer.chosen).toHaveLength(answer.tokens.length);
      for (const [at, top] of answer.top.entries()) {
        expect(top).toHaveLength(4);
        expect(top[0]).toEqual({ token: answer.tokens[at], logprob: answer.chosen[at] });
        expect(top.map((each) => each.logprob)).toEqual(top.map((each) => each.logprob).sort((a, b) => b - a));
        expect(top.reduce((sum, each) => sum + Math.exp(each.logprob), 0)).toBeLessThanOrEqual(1.0001);
      }
      const bare = await client.ask({ prompt, topLogprobs: 0, stopping: { maxTokens: 6 } });
      for (const [at, value] of bare.chosen.entries()) expect(value).toBeCloseTo(answer.chosen[at]!, 2);
      expect(bare.top.flat()).toEqual([]);
      expect((await client.ask({ prompt, stopping: { maxTokens: 6 } })).chosen).toEqual([]);
    });

    it("scores the tokens of a prompt as if each were drawn after those before it", async () => {
      if (!client.engine.card.capabilities.promptLogprobs) return;
      const prompt = client.tokens(rig.prompts[0]!);
      const scored = { topLogprobs: 3, promptLogprobs: true, stopping: { maxTokens: 2, ignoreEos: true } };
      const [{ scores }] = await Promise.all([
        client.ask({ ...scored, prompt }),
        client.ask({ prompt: rig.prompts[1]! }),
        client.ask({ ...scored, prompt: rig.longPrompt }),
      ]);
      expect(scores.chosen).toHaveLength(prompt.length - 1);
      for (const [at, token] of prompt.subarray(1).entries()) {
        const sampling = { biasTokens: Uint32Array.of(token), biasValues: Float32Array.of(100) };
        const one = { maxTokens: 1, ignoreEos: true };
        const before = prompt.subarray(0, at + 1);
        const forced = await client.ask({ prompt: before, topLogprobs: 3, sampling, stopping: one });
        expect(forced.tokens).toEqual([token]);
        expect(Math.abs(scores.chosen[at]! - forced.chosen[0]!)).toBeLessThanOrEqual(tolerance());
        expect(Math.abs(scores.top[at]![0]!.logprob - forced.top[0]![0]!.logprob)).toBeLessThanOrEqual(tolerance());
        expect(scores.top[at]).toHaveLength(3);
      }
    });

    it("scores a prompt whole and the same, cached or not and in whatever pieces, and keeps its blocks", async () => {
      if (!client.engine.card.capabilities.promptLogprobs) return;
      const small = await open({ contextTokens: 512, maxRunning: 4, maxBatchTokens: 16 });
      const prompt = client.tokens(rig.longPrompt);
      const scored = { prompt, topLogprobs: 0, promptLogprobs: true, stopping: { maxTokens: 1 }, cacheSalt: "scored" };
      const first = await client.ask(scored);
      const whole = reusable(client, prompt.length - 1);
      expect(client.start({ ...scored, promptLogprobs: false }).cachedTokens).toBe(whole);
      const again = client.start(scored);
      expect([again.cachedTokens, (await again.done).finish.cachedTokens]).toEqual([0, 0]);
      const plain = await client.ask({ ...scored, promptLogprobs: false, cacheSalt: "plain" });
      expect(Math.abs(plain.chosen[0]! - first.chosen[0]!)).toBeLessThanOrEqual(tolerance());
      const pieces = await Promise.all([small.ask(scored), small.ask({ ...scored, cacheSalt: "other" })]);
      for (const { scores } of [first, await again.done, ...pieces]) {
        expect(scores.chosen).toHaveLength(prompt.length - 1);
        for (const [at, value] of scores.chosen.entries())
          expect(Math.abs(value - first.scores.chosen[at]!)).toBeLessThanOrEqual(tolerance());
      }
    });

    it("takes a bias, or refuses it", async () => {
      const [prompt = ""] = rig.prompts;
      const { tokens } = await client.ask({ prompt });
      const wanted = tokens[3]!;
      const sampling = { biasTokens: Uint32Array.of(wanted), biasValues: Float32Array.of(100) };
      if (rig.lacks?.includes("bias")) {
        expect(await refusalOf(() => client.start({ prompt, sampling }))).toBe("UNSUPPORTED_FEATURE");
        return;
      }
      const forced = await client.ask({ prompt, sampling, stopping: { maxTokens: 4, ignoreEos: true } });
      expect(forced.tokens).toEqual([wanted, wanted, wanted, wanted]);
      const banned = { biasTokens: Uint32Array.of(tokens[0]!), biasValues: Float32Array.of(-100) };
      expect((await client.ask({ prompt, sampling: banned })).tokens[0]).not.toBe(tokens[0]);
    });

    it("ends what is cancelled, running or waiting, and gives its blocks back", async () => {
      const small = await open({ maxRunning: 2, maxWaiting: 8 });
      const long = { prompt: rig.prompts[0]!, stopping: { maxTokens: 200, ignoreEos: true } };
      const started = Array.from({ length: 6 }, () => small.start(long));
      await new Promise((resolve) => setTimeout(resolve, 20));
      small.engine.cancel([started[0]!.id, started[5]!.id, 999_999], "stop");
      small.engine.cancel([started[1]!.id, started[2]!.id], "kill");
      const cancelled = await Promise.all([0, 1, 2, 5].map((at) => started[at]!.done));
      for (const { finish, tokens } of cancelled) {
        expect(finish.reason).toBe("cancelled");
        expect(finish.completionTokens).toBe(tokens.length);
      }
      for (const at of [3, 4]) expect((await started[at]!.done).tokens).toHaveLength(200);
      const idle = { usedBlocks: 0, runningRequests: 0, waitingRequests: 0 };
      await expect.poll(() => small.metrics.at(-1)).toMatchObject(idle);
    });

    it("refuses at the door what cannot be done", async () => {
      const small = await open({ maxRunning: 1, maxWaiting: 1, contextTokens: 128 });
      const { card } = small.engine;
      const prompt = rig.prompts[0]!;
      const reason = (ask: Parameters<EngineClient["start"]>[0]) => refusalOf(() => small.start(ask));
      expect(await reason({ prompt: new Uint32Array() })).toBe("INVALID_ARGUMENT");
      expect(await reason({ prompt: Uint32Array.of(4_000_000_000) })).toBe("INVALID_ARGUMENT");
      expect(await reason({ prompt: new Uint32Array(card.contextTokens).fill(5) })).toBe("CONTEXT_LENGTH");
      for (const sampling of [{ temperature: Number.NaN }, { topP: 0 }, { minP: 2 }, { repetitionPenalty: 0 }]) {
        expect(await reason({ prompt, sampling })).toBe("INVALID_ARGUMENT");
      }
      expect(await reason({ prompt, adapter: "nobody" })).toBe("MODEL_NOT_FOUND");
      expect(await reason({ prompt, topLogprobs: 1000 })).toBe("INVALID_ARGUMENT");
      if (!card.capabilities.grammar) {
        const guidance = { kind: "ebnfGrammar", grammar: 'root ::= "a"' } as const;
        expect(await reason({ prompt, guidance })).toBe("UNSUPPORTED_FEATURE");
      }
      const running = [small.start({ prompt }), small.start({ prompt })];
      expect(await reason({ prompt })).toBe("OVERLOADED");
      await Promise.all(running.map(({ done }) => done));
      expect(await reason({ prompt })).toBe("none");
    });

    it("tells which blocks it stores, by the hashes of the scheme", async () => {
      const fresh = await open();
      const { blockTokens } = fresh.engine.card;
      const tokens = fresh.tokens(rig.longPrompt);
      await fresh.ask({ prompt: tokens, stopping: { maxTokens: 2, ignoreEos: true } });
      const kept = reusable(fresh, tokens.length) / blockTokens;
      expect(kept).toBeGreaterThan(0);
      const names = sequenceHashes(tokens, blockTokens).slice(0, kept);
      await expect.poll(() => names.every((hash) => fresh.stored.has(hash))).toBe(true);
      const [first] = fresh.notices;
      expect(first).toMatchObject({ kind: "stored", parent: undefined, cacheSalt: "", adapter: undefined });
      if (first?.kind === "stored") expect(first.tokens).toEqual(tokens.slice(0, first.hashes.length * blockTokens));
    });

    it("forgets its cache when it is told to, what is in use as soon as it is not, and tells of both", async () => {
      const fresh = await open();
      const { cache } = fresh.engine;
      if (!cache) return;
      const ask = { prompt: rig.longPrompt, stopping: { maxTokens: 2, ignoreEos: true } };
      await fresh.ask(ask);
      expect((await fresh.ask(ask)).finish.cachedTokens).toBeGreaterThan(0);
      const { size } = fresh.stored;
      expect(cache.clear()).toEqual({ cleared: size, kept: 0 });
      expect((await fresh.ask(ask)).finish.cachedTokens).toBe(0);
      expect(fresh.notices.map(({ kind }) => kind)).toContain("cleared");
      const running = fresh.start({ ...ask, stopping: { maxTokens: 60, ignoreEos: true } });
      const salted = fresh.start({ ...ask, cacheSalt: "other", stopping: { maxTokens: 60, ignoreEos: true } });
      while (fresh.metrics.at(-1)?.runningRequests !== 2) await fresh.ask({ ...ask, prompt: rig.prompts[0]! });
      const { kept } = cache.clear();
      expect(kept).toBeGreaterThan(0);
      await Promise.all([running.done, salted.done]);
      expect((await fresh.ask(ask)).finish.cachedTokens).toBe(0);
      // What is told is what is there: all of it goes at once now that nothing runs.
      const left = fresh.stored.size;
      expect(cache.clear()).toEqual({ cleared: left, kept: 0 });
      await fresh.ask({ ...ask, prompt: rig.prompts[0]!, stopping: { maxTokens: 1 } });
    });

    it("keeps going when memory is short, evicting and waiting, and counts blocks right", async () => {
      const small = await open({ contextTokens: 256, maxRunning: 8, maxWaiting: 64 });
      const asks = Array.from({ length: 12 }, (_, at) =>
        small.ask({ prompt: rig.prompts[at % rig.prompts.length]!, cacheSalt: `${at}`, stopping: { maxTokens: 60 } }),
      );
      const answers = await Promise.all(asks);
      for (const [at, { tokens }] of answers.entries()) {
        const prompt = rig.prompts[at % rig.prompts.length]!;
        const alone = await client.ask({ prompt, stopping: { maxTokens: 60 } });
        expect(small.text(tokens)).toBe(client.text(alone.tokens));
      }
      for (const each of small.metrics) expect(each.usedBlocks).toBeLessThanOrEqual(each.totalBlocks);
      await expect.poll(() => small.metrics.at(-1)!.usedBlocks).toBe(0);
      expect(small.stored.size).toBeLessThanOrEqual(small.engine.card.totalBlocks);
    });

    it("moves blocks to another engine, which goes on with them as with its own", async () => {
      if (!client.engine.card.capabilities.kvBlocks) return;
      const [from, to] = [await open(), await open()];
      const { blockTokens } = from.engine.card;
      const tokens = from.tokens(rig.longPrompt);
      const ask = { prompt: tokens, topLogprobs: 2, stopping: { maxTokens: 20, ignoreEos: true } };
      const local = await from.ask(ask);
      const hashes = sequenceHashes(tokens, blockTokens).slice(0, reusable(from, tokens.length - 1) / blockTokens);
      const taken = await takeBlocks(from.engine, hashes);
      expect(taken.payloads).toHaveLength(hashes.length);
      expect(await putBlocks(to.engine.blocks!, tokens, taken)).toBe(hashes.length);
      expect(to.engine.blocks!.count(hashes)).toBe(hashes.length);
      await new Promise((resolve) => setImmediate(resolve));
      expect([...to.stored].sort()).toEqual([...hashes].sort());
      const moved = await to.ask(ask);
      expect(moved.finish.cachedTokens).toBe(hashes.length * blockTokens);
      expect(moved.tokens).toEqual(local.tokens);
      expect(moved.chosen).toEqual(local.chosen);
      expect(moved.top).toEqual(local.top);
      expect(await putBlocks(to.engine.blocks!, tokens, taken)).toBe(hashes.length);
      expect((await takeBlocks(to.engine, BigUint64Array.of(1n, 2n))).payloads).toEqual([]);
    });

    it("takes of blocks those before the first that is damaged, and keeps them apart by salt", async () => {
      if (!client.engine.card.capabilities.kvBlocks) return;
      const tokens = client.tokens(rig.longPrompt);
      await client.ask({ prompt: tokens, stopping: { maxTokens: 1 } });
      const { blockTokens } = client.engine.card;
      const hashes = sequenceHashes(tokens, blockTokens).slice(0, reusable(client, tokens.length - 1) / blockTokens);
      const taken = await takeBlocks(client.engine, hashes);
      const last = taken.payloads.length - 1;
      const { blocks } = (await open()).engine;
      for (let at = 0; at < 40; at++) {
        const payloads = [...taken.payloads];
        const byte = Math.floor((payloads[last]!.length * at) / 40);
        payloads[last] = payloads[last]!.with(byte, payloads[last]![byte]! ^ 0x10);
        const cacheSalt = `salt ${at}`;
        expect(await putBlocks(blocks!, tokens, { ...taken, payloads }, { cacheSalt })).toBe(last);
        const salted = sequenceHashes(tokens, blockTokens, cacheSalt).slice(0, hashes.length);
        expect(blocks!.count(salted)).toBe(last);
      }
      expect(blocks!.count(hashes)).toBe(0);
      expect(await putBlocks(blocks!, tokens, taken)).toBe(hashes.length);
    });

    it("embeds, the same each time, scaled to length 1 where asked", async () => {
      const { embed, embeddingSize } = client.engine.card.capabilities;
      if (!embed) return;
      const [one, two, other] = await Promise.all(
        ["A red fox.", "A red fox.", "A blue whale."].map((text) => client.embed(text)),
      );
      expect(one!.finish).toMatchObject({ reason: "done", completionTokens: 0 });
      expect(one!.embedding).toHaveLength(embeddingSize!);
      expect(two!.embedding).toEqual(one!.embedding);
      expect(other!.embedding).not.toEqual(one!.embedding);
      expect(Math.hypot(...one!.embedding!)).toBeCloseTo(1, 4);
      const raw = await client.embed("A red fox.", { normalize: false });
      expect(Math.abs(Math.hypot(...raw.embedding!) - 1)).toBeGreaterThan(0.01);
    });

    it("takes nothing after it was closed", async () => {
      const gone = await open();
      await gone.engine.close();
      expect(await refusalOf(() => gone.start({ prompt: rig.prompts[0]! }))).toBe("ENGINE_FAILED");
      await gone.engine.close();
    });
  });
}
