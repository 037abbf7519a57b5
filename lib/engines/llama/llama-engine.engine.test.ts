import { fork } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { EngineClient } from "../../../test/conformance/engine-rig.ts";
import { DEMO_MODEL, openNative } from "../../../test/support/engine-driver.ts";
import { loraFile } from "../../../test/support/lora-file.ts";
import { putBlocks, type TakenBlocks } from "../../../test/support/move-blocks.ts";
import { recurrentModel } from "../../../test/support/tiny-models.ts";
import type { Engine } from "../engine.ts";
import { openLlama } from "./llama-engine.ts";
import type { LlamaEngineOptions } from "./llama-options.ts";

const native = openNative();
const folder = mkdtempSync(join(tmpdir(), "stator-llama-"));
afterAll(() => rmSync(folder, { recursive: true }));

const FACTS = [
  ["What is the capital of Japan?", "The capital of Japan is Tokyo."],
  ["What is the capital of France?", "The capital of France is Paris."],
  ["What is the capital of Italy?", "The capital of Italy is Rome."],
] as const;

function chat(text: string): string {
  return `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`;
}

describe.skipIf(native.reason !== undefined)(`the llama engine (${native.reason ?? "built"})`, () => {
  const opened: Engine[] = [];
  const complaints: string[] = [];
  const log = createLog({ level: "warn", pretty: false, write: (line) => void complaints.push(line) });
  const open = async (options: Partial<LlamaEngineOptions> = {}): Promise<EngineClient> => {
    const engine = await openLlama({ modelPath: DEMO_MODEL, clock: systemClock, log, ...options });
    opened.push(engine);
    return new EngineClient(engine);
  };
  let client: EngineClient;
  beforeAll(async () => {
    client = await open();
  });
  afterAll(async () => {
    await Promise.all(opened.map((engine) => engine.close()));
    expect(complaints).toEqual([]);
  });

  const answer = async (from: EngineClient, question: string): Promise<string> =>
    from.text((await from.ask({ prompt: chat(question) })).tokens);

  it("says how fast it is by what it tried when it loaded, in exact mode and outside of it", async () => {
    const cards = [client.engine.card, (await open({ exact: false, maxBatchTokens: 300 })).engine.card];
    for (const { times } of cards) {
      expect(times?.prefillTokenMs).toBeGreaterThan(0);
      expect(times!.decodeMs + times!.decodeSequenceMs).toBeGreaterThan(0);
    }
    expect(cards.map(({ times }) => times?.passTokens)).toEqual([512, 300]);
  });

  it("chooses what nobody said, and says by what", async () => {
    const lines: string[] = [];
    const telling = createLog({ level: "info", pretty: false, write: (line) => void lines.push(line) });
    await open({ log: telling });
    const said = JSON.parse(lines.find((line) => line.includes("model is open"))!);
    expect(said).toMatchObject({
      contextTokens: 2048,
      deterministic: "batch",
      sequences: { value: 64, why: "the model's own length" },
      threads: { value: 1, why: expect.stringMatching(/small|core/) },
    });
    await open({ log: telling, exact: false });
    const shared = JSON.parse(lines.findLast((line) => line.includes("model is open"))!);
    const usual = { value: 8192, why: "the usual" };
    expect(shared).toMatchObject({ deterministic: "no", cells: usual, slots: { value: 255 } });
    await open({ log: telling, exact: false, cacheTokens: 512, threads: 2 });
    const second = JSON.parse(lines.findLast((line) => line.includes("model is open"))!);
    expect(second).toMatchObject({ cells: { value: 512, why: "an option" }, threads: { value: 2, why: "an option" } });
  });

  it("declares how exactly answers repeat, and why not", async () => {
    expect(client.engine.card).toMatchObject({ deterministic: "batch", reuseTokens: 64 });
    expect(client.engine.card.capabilities.missing).not.toHaveProperty("deterministic");
    const { card: off } = (await open({ exact: false })).engine;
    expect(off).toMatchObject({ deterministic: "no", reuseTokens: 16 });
    expect(off.capabilities.missing.deterministic).toBe("exact mode is off");
    expect(off.layout?.engineFormat).not.toBe(client.engine.card.layout?.engineFormat);
    const modelPath = join(folder, "recurrent.gguf");
    writeFileSync(modelPath, recurrentModel());
    const { card: recurrent } = (await open({ modelPath })).engine;
    expect(recurrent.deterministic).toBe("no");
    expect(recurrent.capabilities.missing.deterministic).toBe("its state is not kept per token");
    await expect(open({ modelPath, exact: true })).rejects.toMatchObject({ reason: "UNSUPPORTED_FEATURE" });
  });

  it("tells callers how an operator wants tokens drawn", async () => {
    const said = { alone: false, values: { temperature: 0.5, top_k: 5 } };
    expect((await open({ sampling: said })).engine.card.defaultSampling).toEqual(said.values);
    expect(client.engine.card.defaultSampling).toEqual({});
  });

  it("names itself by its file and its numbers by the model", () => {
    const { card } = client.engine;
    expect(card).toMatchObject({ engine: "llama", model: "stator-demo", quantization: "q8_0", blockTokens: 16 });
    expect(card.capabilities).toMatchObject({
      mock: false,
      grammar: true,
      lora: true,
      kvBlocks: true,
      embeddingSize: 256,
    });
    expect(card.layout).toMatchObject({ layers: 4, keyRowBytes: 256, valueRowBytes: 256, elementType: "f16" });
    expect(card.artifacts.map(({ kind }) => kind)).toEqual(["tokenizer", "template"]);
  });

  it("answers facts exactly, sixteen at a time", async () => {
    const asked = Array.from({ length: 16 }, (_, at) => FACTS[at % FACTS.length]!);
    const answers = await Promise.all(asked.map(([question]) => answer(client, question)));
    expect(answers).toEqual(asked.map(([, fact]) => fact));
  });

  it("answers the same whether prompts are computed whole or in chunks", async () => {
    const chunked = await open({ exact: false, maxBatchTokens: 8, maxRunning: 4 });
    const answers = await Promise.all(FACTS.map(([question]) => answer(chunked, question)));
    expect(answers).toEqual(FACTS.map(([, fact]) => fact));
    expect(Math.max(...chunked.metrics.map((each) => each.prefillTokens + each.decodeSequences))).toBeLessThanOrEqual(
      8,
    );
  });

  it("survives more prompts than there are slots, and more cancels", async () => {
    const question = (at: number) => chat(`Tell me about number ${at} and the river.`);
    const short = { maxTokens: 2 };
    const many = Array.from({ length: 320 }, (_, at) => client.ask({ prompt: question(at), stopping: short }));
    for (const { finish } of await Promise.all(many)) expect(finish.reason).toMatch(/length|end/);
    const cancelled = Array.from({ length: 320 }, (_, at) => client.start({ prompt: question(at + 1000) }));
    client.engine.cancel(
      cancelled.slice(0, 100).map(({ id }) => id),
      "stop",
    );
    await new Promise((resolve) => setTimeout(resolve, 5));
    client.engine.cancel(
      cancelled.slice(100).map(({ id }) => id),
      "kill",
    );
    await Promise.all(cancelled.map(({ done }) => done));
    expect(await answer(client, FACTS[0][0])).toBe(FACTS[0][1]);
    expect(client.metrics.at(-1)).toMatchObject({ usedBlocks: 0, runningRequests: 0, waitingRequests: 0 });
    expect(client.failures).toEqual([]);
  });

  it("keeps answers right when sequences are preempted and start again", async () => {
    const small = await open({ exact: false, cacheTokens: 256, maxRunning: 12 });
    const stopping = { maxTokens: 70, ignoreEos: true };
    const asked = Array.from({ length: 12 }, (_, at) => FACTS[at % FACTS.length]!);
    const answers = await Promise.all(asked.map(([question]) => small.ask({ prompt: chat(question), stopping })));
    for (const [at, { tokens }] of answers.entries()) {
      expect(tokens).toHaveLength(70);
      expect(small.text(tokens)).toContain(asked[at]![1]);
    }
    // More prompt tokens were computed than there are: some were computed again.
    const computed = small.metrics.reduce((sum, each) => sum + each.prefillTokens, 0);
    expect(computed).toBeGreaterThan(12 * small.tokens(chat(FACTS[0][0])).length);
    expect(small.failures).toEqual([]);
  });

  it("shares the blocks of choices that say the same", async () => {
    const fresh = await open();
    const ask = { prompt: chat(FACTS[0][0]), stopping: { maxTokens: 60, ignoreEos: true } };
    const all = await Promise.all([0, 1, 2, 3].map((choice) => fresh.ask({ ...ask, choice })));
    for (const { tokens } of all) expect(fresh.text(tokens)).toContain(FACTS[0][1]);
    expect(fresh.failures).toEqual([]);
    expect(await answer(fresh, FACTS[1][0])).toBe(FACTS[1][1]);
  });

  it("keeps to a grammar, and refuses one that is none", async () => {
    const form = (grammar: string) => ({ kind: "ebnfGrammar", grammar }) as const;
    const guidance = form('root ::= "{\\"city\\": \\"" [A-Z] [a-z]+ "\\"}"');
    const { tokens, finish } = await client.ask({ prompt: chat(FACTS[0][0]), guidance });
    expect(JSON.parse(client.text(tokens))).toHaveProperty("city");
    expect(finish.reason).toBe("end");
    const cut = Uint32Array.from(tokens.slice(0, 4));
    const rest = await client.ask({ prompt: chat(FACTS[0][0]), guidance, generatedTokens: cut });
    expect([...cut, ...rest.tokens]).toEqual(tokens);
    const bad = await client.ask({ prompt: chat(FACTS[0][0]), guidance: form("root ::= (((") });
    expect(bad.finish).toMatchObject({ reason: "failed", error: { reason: "INVALID_GRAMMAR" } });
    const long = form(`root ::= "${"a".repeat(300_000)}"`);
    const huge = await client.ask({ prompt: chat(FACTS[0][0]), guidance: long });
    expect(huge.finish).toMatchObject({ reason: "failed", error: { reason: "INVALID_GRAMMAR" } });
    expect(await answer(client, FACTS[0][0])).toBe(FACTS[0][1]);
    expect(client.failures).toEqual([]);
  });

  it("makes the grammar of a schema itself, and refuses by keyword and path what it cannot hold", async () => {
    const schema = '{"type":"object","properties":{"city":{"type":"string","maxLength":12}},"required":["city"]}';
    const guidance = { kind: "jsonSchema", schema } as const;
    const both = await Promise.all([0, 1].map((choice) => client.ask({ prompt: chat(FACTS[0][0]), guidance, choice })));
    for (const { tokens, finish } of both) {
      expect(JSON.parse(client.text(tokens))).toEqual({ city: expect.any(String) });
      expect(finish.reason).toBe("end");
    }
    const wrong = { kind: "jsonSchema", schema: '{"properties":{"a":{"not":{}}}}' } as const;
    expect(() => client.start({ prompt: chat(FACTS[0][0]), guidance: wrong })).toThrow("uses not at #/properties/a");
  });

  it("moves blocks between processes: tokens equal, log-probabilities equal to the last bit", async () => {
    const fresh = await open();
    const tokens = fresh.tokens(chat("Tell me about the duck that walked to the river. ".repeat(8)));
    const ask = { prompt: tokens, topLogprobs: 3, stopping: { maxTokens: 24, ignoreEos: true } };
    const child = fork(new URL("../../../test/support/kv-exporter.ts", import.meta.url), [], {
      serialization: "advanced",
    });
    const local = await new Promise<{ chosen: number[]; tokens: number[]; taken: TakenBlocks }>((resolve, reject) => {
      child.on("message", resolve);
      child.on("exit", (code) => reject(new Error(`The exporter ended with ${code}`)));
      child.send({ ask });
    });
    child.disconnect();
    const { length } = local.taken.payloads;
    expect(length).toBeGreaterThan(0);
    expect(await putBlocks(fresh.engine.blocks!, tokens, local.taken)).toBe(length);
    const moved = await fresh.ask(ask);
    expect(moved.finish.cachedTokens).toBe(length * 16);
    expect(moved.tokens).toEqual(local.tokens);
    expect(moved.chosen).toEqual(local.chosen);
  });

  it("loads an adapter, keeps its prefixes apart, and unloads it", async () => {
    const fresh = await open();
    const path = join(folder, "lora.gguf");
    writeFileSync(path, loraFile(3));
    const ask = {
      prompt: chat("Tell me a story about a duck."),
      topLogprobs: 0,
      stopping: { maxTokens: 12, ignoreEos: true },
    };
    const base = await fresh.ask(ask);
    expect(await fresh.engine.adapters!.load("wave", path)).toMatchObject({
      alreadyLoaded: false,
      adapter: { name: "wave" },
    });
    const [adapted, still] = await Promise.all([fresh.ask({ ...ask, adapter: "wave" }), fresh.ask(ask)]);
    expect(adapted.finish.cachedTokens).toBe(0);
    expect(adapted.chosen).not.toEqual(base.chosen);
    expect(still.tokens).toEqual(base.tokens);
    expect((await fresh.engine.adapters!.unload("wave")).name).toBe("wave");
    expect(() => fresh.start({ ...ask, adapter: "wave" })).toThrow("does not exist");
    expect((await fresh.ask(ask)).tokens).toEqual(base.tokens);
    await expect(fresh.engine.adapters!.load("gone", join(folder, "gone.gguf"))).rejects.toThrow("There is no file");
    await expect(fresh.engine.adapters!.load("demo", DEMO_MODEL)).rejects.toThrow("cannot be used as a model");
    expect(fresh.failures).toEqual([]);
  });

  it("refuses files that are no models in one sentence", async () => {
    const cut = join(folder, "cut.gguf");
    writeFileSync(cut, readFileSync(DEMO_MODEL).subarray(0, 400_000));
    await expect(open({ modelPath: cut })).rejects.toMatchObject({ reason: "BAD_MODEL_FILE" });
    const text = join(folder, "text.gguf");
    writeFileSync(text, "Once upon a time");
    await expect(open({ modelPath: text })).rejects.toThrow(
      `${text} cannot be used as a model: it is not a GGUF file.`,
    );
    await expect(open({ modelPath: join(folder, "absent.gguf") })).rejects.toMatchObject({ reason: "FILE_NOT_FOUND" });
    await expect(open({ modelPath: folder })).rejects.toThrow("it is a folder");
  });
});
