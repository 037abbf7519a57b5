import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEMO_MODEL, EngineDriver, emptyPlan, openNative } from "../../test/support/engine-driver.ts";
import { nativeErrorCode } from "./addon.ts";
import { type Context, type ContextOptions, END, ENTRY, OP, type StepPlan, type StepResult } from "./context.ts";
import type { Model, Vocab } from "./llama.ts";

const native = openNative();
const size: ContextOptions = { cellTokens: 2048, maxSequences: 8, maxBatchTokens: 256 };

describe.skipIf(native.reason !== undefined)(`a context (${native.reason ?? "built"})`, () => {
  const { llama } = native as Extract<typeof native, { addon: unknown }>;
  let model: Model;
  let vocab: Vocab;
  let pieces: string[];
  beforeAll(async () => {
    model = await llama.loadModel(DEMO_MODEL);
    vocab = model.vocab();
    const { bytes, offsets } = vocab.pieceTable();
    pieces = Array.from({ length: vocab.size }, (_, i) =>
      Buffer.from(bytes.subarray(offsets[i], offsets[i + 1])).toString("latin1"),
    );
  });
  afterAll(() => model?.close());

  const chat = (question: string) =>
    vocab.tokenize(`<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`, { parseSpecial: true });
  const textOf = (tokens: Iterable<number>) => [...tokens].map((token) => pieces[token]).join("");
  const capital = "What is the capital of Japan?";

  /** Opens a context whose results are collected, one promise per step. */
  async function openPlain(options: Partial<ContextOptions> = {}) {
    const results: StepResult[] = [];
    let wake: (() => void) | undefined;
    const context = await model.openContext({ ...size, ...options }, (result) => {
      results.push(result);
      wake?.();
    });
    const next = async () => {
      while (results.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return results.shift()!;
    };
    return { context, next };
  }

  const entry = (step: number, slot: number, position: number, tokens: Uint32Array, flags: number): StepPlan => ({
    ...emptyPlan(step),
    slots: Int32Array.of(slot),
    positions: Int32Array.of(position),
    counts: Int32Array.of(flags & ENTRY.chained ? 1 : tokens.length),
    flags: Uint8Array.of(flags),
    tokens: flags & ENTRY.chained ? new Uint32Array(0) : tokens,
  });

  it("answers greedily, alone and in a batch, with one or two steps under way", async () => {
    for (const depth of [1, 2] as const) {
      const driver = await EngineDriver.open(model, size, { depth });
      const questions = [capital, "What is disaggregated serving?", "What is Stator?"];
      const requests = questions.map((each) => ({ prompt: chat(each), sampling: { maxTokens: 80 } }));
      const answers = await driver.generateAll(requests);
      expect(answers.map((answer) => answer.end)).toEqual([END.eog, END.eog, END.eog]);
      expect(textOf(answers[0]!.tokens)).toContain("Tokyo");
      expect(textOf(answers[1]!.tokens)).toContain("Disaggregated serving splits a request into two phases.");
      const again = await driver.generate(5, chat(capital), {});
      expect(again.tokens).toEqual(answers[0]!.tokens);
      driver.context.close();
    }
  });

  it("ends at the limit, at a stop token, and not at an end token that is to be ignored", async () => {
    const driver = await EngineDriver.open(model, size);
    const prompt = chat(capital);
    const limited = await driver.generate(0, prompt, { maxTokens: 3 });
    expect([limited.tokens.length, limited.end]).toEqual([3, END.length]);
    const full = await driver.generate(1, prompt, {});
    const stopped = await driver.generate(2, prompt, { stopTokens: Uint32Array.of(full.tokens[4]!) });
    expect([stopped.tokens, stopped.end]).toEqual([full.tokens.slice(0, 5), END.stop]);
    const ignoring = await driver.generate(3, prompt, { ignoreEos: true, maxTokens: full.tokens.length + 5 });
    expect(ignoring.tokens.slice(0, full.tokens.length)).toEqual(full.tokens);
    expect(ignoring.end).toBe(END.length);
    const longer = await driver.generate(4, prompt, { minTokens: full.tokens.length + 4, maxTokens: 60 });
    expect(longer.tokens.length).toBeGreaterThanOrEqual(full.tokens.length + 4);
    driver.context.close();
  });

  it("draws by seed and position, so that a request continues elsewhere with the same tokens", async () => {
    const driver = await EngineDriver.open(model, size);
    const prompt = chat("Tell me a story.");
    const sampling = { temperature: 0.9, topP: 0.95, seed: 42n, maxTokens: 40, ignoreEos: true } as const;
    const first = await driver.generate(0, prompt, sampling);
    expect((await driver.generate(1, prompt, sampling)).tokens).toEqual(first.tokens);
    expect((await driver.generate(2, prompt, { ...sampling, seed: 43n })).tokens).not.toEqual(first.tokens);
    expect((await driver.generate(3, prompt, { ...sampling, choice: 1 })).tokens).not.toEqual(first.tokens);
    const generated = Uint32Array.from(first.tokens.slice(0, 15));
    const moved = await driver.generate(4, Uint32Array.of(...prompt, ...generated), {
      ...sampling,
      firstPosition: 15,
      generatedTokens: generated,
    });
    expect(moved.tokens).toEqual(first.tokens.slice(15));
    driver.context.close();
  });

  it("applies bias and penalties", async () => {
    const driver = await EngineDriver.open(model, size);
    const prompt = chat(capital);
    const plain = await driver.generate(0, prompt, {});
    const banned = plain.tokens[0]!;
    const logitBias = { ids: Uint32Array.of(banned), values: Float32Array.of(-100) };
    expect((await driver.generate(1, prompt, { logitBias })).tokens[0]).not.toBe(banned);
    const forced = { ids: Uint32Array.of(7), values: Float32Array.of(1000) };
    const sevens = await driver.generate(2, prompt, { logitBias: forced, maxTokens: 4 });
    expect(sevens.tokens).toEqual([7, 7, 7, 7]);
    const presence = await driver.generate(3, prompt, { logitBias: forced, presencePenalty: 2000, maxTokens: 2 });
    expect(presence.tokens[0]).toBe(7);
    expect(presence.tokens[1]).not.toBe(7);
    const repeated = await driver.generate(4, prompt, {
      repetitionPenalty: 50,
      promptTokens: Uint32Array.of(banned),
      maxTokens: 1,
    });
    expect(repeated.tokens[0]).not.toBe(banned);
    driver.context.close();
  });

  it("reports log-probabilities of the raw distribution", async () => {
    const driver = await EngineDriver.open(model, size);
    const answer = await driver.generate(0, chat(capital), { logprobs: 5, maxTokens: 6 });
    expect(answer.logprobs.every((value) => value <= 0 && value > -2)).toBe(true);
    const drawn = driver.results.find((result) => result.top !== undefined)!;
    expect([...drawn.top!.entries]).toEqual([0, 0, 0, 0, 0]);
    expect(drawn.top!.ids[0]).toBe(drawn.tokens[0]);
    expect(drawn.top!.values[0]).toBe(drawn.logprobs![0]);
    expect([...drawn.top!.values]).toEqual([...drawn.top!.values].sort((a, b) => b - a));
    expect(drawn.ranks![0]).toBe(1);
    const total = [...drawn.top!.values].reduce((sum, value) => sum + Math.exp(value), 0);
    expect(total).toBeLessThanOrEqual(1.0001);
    const none = await driver.generate(1, chat(capital), { maxTokens: 2 });
    expect(none.logprobs).toEqual([]);
    driver.context.close();
  });

  it("keeps to a grammar, greedily and by chance, and continues it after a migration", async () => {
    const driver = await EngineDriver.open(model, size);
    const grammar = 'root ::= "{\\"city\\": \\"" [A-Z] [a-z]+ "\\"}"';
    const prompt = chat(capital);
    const greedy = await driver.generate(0, prompt, { grammar, maxTokens: 60 });
    expect(greedy.end).toBe(END.eog);
    expect(JSON.parse(textOf(greedy.tokens.slice(0, -1)))).toHaveProperty("city");
    const sampling = { grammar, temperature: 1.5, seed: 5n, maxTokens: 60 };
    const chance = await driver.generate(1, prompt, sampling);
    expect(textOf(chance.tokens)).toMatch(/^\{"city": "[A-Z][a-z]+/);
    const generated = Uint32Array.from(chance.tokens.slice(0, 3));
    const moved = await driver.generate(2, Uint32Array.of(...prompt, ...generated), {
      ...sampling,
      firstPosition: 3,
      generatedTokens: generated,
    });
    expect(moved.tokens).toEqual(chance.tokens.slice(3));
    const wrong = await driver.generate(3, prompt, { grammar, generatedTokens: Uint32Array.of(5, 5) });
    expect([wrong.end, wrong.message]).toEqual([END.error, "The generated tokens do not follow the grammar."]);
    const bad = await driver.generate(4, prompt, { grammar: "root ::= (((" });
    expect(bad.end).toBe(END.error);
    expect(bad.message).toMatch(/^The grammar does not parse/);
    const refused = [
      'nothing ::= "x"',
      `root ::= ${"(".repeat(300)}`,
      'root ::= "a"{5,2}',
      "root ::= root",
      'root ::= "\0"',
    ];
    for (const each of refused) expect((await driver.generate(5, prompt, { grammar: each })).end).toBe(END.error);
    const dead = await driver.generate(6, prompt, { grammar: 'root ::= "ab"', ignoreEos: true, minTokens: 50 });
    expect([textOf(dead.tokens), dead.end]).toEqual(["ab", END.grammar]);
    driver.context.close();
  });

  it("draws no token under a grammar that breaks a character, however likely it is", async () => {
    const driver = await EngineDriver.open(model, size);
    const ids = Uint32Array.from(pieces.flatMap((piece, id) => (/^[\x80-\xff]$/.test(piece) ? [id] : [])));
    const logitBias = { ids, values: new Float32Array(ids.length).fill(60) };
    const sampling = { grammar: "root ::= [^a]*", temperature: 1, logitBias, maxTokens: 60 };
    for (let seed = 1n; seed <= 8n; seed++) {
      const { tokens } = await driver.generate(0, chat(capital), { ...sampling, seed });
      const bytes = Buffer.from(textOf(tokens), "latin1");
      expect(bytes.length).toBe(60);
      // A stream may end within a character.
      expect(() => new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true })).not.toThrow();
      driver.clear(0);
    }
    driver.context.close();
  });

  it("shares a prefix by a copy op and forgets by a remove op", async () => {
    const driver = await EngineDriver.open(model, size);
    const prompt = chat("What is disaggregated serving?");
    const whole = await driver.generate(0, prompt, {});
    const cut = prompt.length - 3;
    await driver.run([OP.copy, 0, 1, 0, cut]);
    const shared = await driver.generate(1, prompt, {}, cut);
    expect(shared.tokens).toEqual(whole.tokens);
    await driver.run([OP.remove, 0, 0, -1, 0]);
    expect((await driver.generate(0, prompt, {})).tokens).toEqual(whole.tokens);
    driver.context.close();
  });

  it("reports a wrong position or a closed slot for that entry alone", async () => {
    const { context, next } = await openPlain();
    const prompt = chat(capital);
    context.openSequence(0, {});
    context.submitStep({
      ...emptyPlan(1),
      ops: Int32Array.of(OP.copy, 3, 4, 0, 5),
      slots: Int32Array.of(0, 1, 2),
      positions: Int32Array.of(0, 9, 0),
      counts: Int32Array.of(prompt.length, 1, 1),
      flags: Uint8Array.of(ENTRY.sample, 0, ENTRY.sample),
      tokens: Uint32Array.of(...prompt, 5, 6),
    });
    const result = await next();
    expect(result.status).toBe("ok");
    expect([...result.ends]).toEqual([END.none, END.error, END.error]);
    expect(result.errors.map((error) => error.message)).toEqual([
      "Slot 3 does not hold all positions that were to be copied.",
      "Slot 1 continues at position 0, not 9.",
      "Slot 2 is not open.",
    ]);
    expect(pieces[result.tokens[0]!]).toBe("The");
    context.close();
  });

  it.each([{}, { streams: true, pairRows: true }])("scores a prompt's tokens as those it draws: %j", async (cells) => {
    const { context, next } = await openPlain({ maxOutputs: 64, ...cells });
    const prompt = chat(capital);
    context.openSequence(0, { logprobs: 3 });
    const targets = Int32Array.from(prompt, (_, at) => prompt[at + 1] ?? -1);
    context.submitStep({ ...entry(1, 0, 0, prompt, ENTRY.sample | ENTRY.score), targets });
    const { scores, tokens, logprobs } = await next();
    expect([...scores!.entries]).toEqual(Array.from({ length: prompt.length - 1 }, () => 0));
    expect([scores!.topIds.length, scores!.topValues.length]).toEqual(Array(2).fill(3 * (prompt.length - 1)));
    expect([pieces[tokens[0]!], logprobs!.length]).toEqual(["The", 1]);
    for (const at of [1, 4, prompt.length - 1]) {
      // One token more is forced behind what is before it.
      const logitBias = { ids: Uint32Array.of(prompt[at]!), values: Float32Array.of(1000) };
      context.openSequence(1, { logprobs: 3, logitBias });
      const ops = Int32Array.of(OP.remove, 1, 0, -1, 0);
      context.submitStep({ ...entry(2 + at, 1, 0, prompt.subarray(0, at), ENTRY.sample), ops });
      const forced = await next();
      expect(forced.tokens[0]).toBe(prompt[at]);
      expect(scores!.logprobs[at - 1]).toBeCloseTo(forced.logprobs![0]!, 1);
      expect(scores!.topIds[3 * (at - 1)]).toBe(forced.top!.ids[0]);
    }
    context.close();
  });

  it("aborts a running step, discards the next one and goes on", async () => {
    const { context, next } = await openPlain({ cellTokens: 2048, maxBatchTokens: 2048 });
    const long = Uint32Array.from({ length: 2000 }, (_, i) => 300 + (i % 700));
    context.openSequence(0, { ignoreEos: true });
    context.submitStep(entry(1, 0, 0, long, ENTRY.sample));
    context.submitStep(entry(2, 0, 2000, new Uint32Array(0), ENTRY.sample | ENTRY.chained));
    context.abortStep(1);
    expect((await next()).status).toBe("aborted");
    expect((await next()).status).toBe("discarded");
    context.submitStep({ ...entry(3, 0, 0, chat(capital), ENTRY.sample), ops: Int32Array.of(OP.remove, 0, 0, -1, 0) });
    context.abortStep(1);
    const result = await next();
    expect([result.status, pieces[result.tokens[0]!]]).toEqual(["ok", "The"]);
    context.close();
  });

  it("says no_space when the cache is full", async () => {
    const { context, next } = await openPlain({ cellTokens: 256 });
    const tokens = Uint32Array.from({ length: 200 }, (_, i) => 300 + i);
    context.submitStep(entry(1, 0, 0, tokens, 0));
    expect((await next()).status).toBe("ok");
    context.submitStep(entry(2, 1, 0, tokens, 0));
    expect((await next()).status).toBe("no_space");
    context.submitStep({ ...entry(3, 1, 0, tokens, 0), ops: Int32Array.of(OP.remove, 0, 0, -1, 0) });
    expect((await next()).status).toBe("ok");
    context.close();
  });

  it("refuses what breaks a rule before it is queued", async () => {
    const { context, next } = await openPlain();
    const good = entry(1, 0, 0, Uint32Array.of(5, 6), 0);
    const codes = (calls: ((context: Context) => unknown)[]) =>
      calls.map((call) => {
        try {
          call(context);
          return "no error";
        } catch (error) {
          return nativeErrorCode(error);
        }
      });
    const plans: Partial<StepPlan>[] = [
      { tokens: Uint32Array.of(5, 2048) },
      { tokens: Uint32Array.of(5, 0xffffffff) },
      { tokens: Uint32Array.of(5) },
      { counts: Int32Array.of(0) },
      { counts: Int32Array.of(-2) },
      { counts: Int32Array.of(2, 2) },
      { slots: Int32Array.of(8) },
      { slots: Int32Array.of(-1) },
      { positions: Int32Array.of(2047) },
      { positions: Int32Array.of(-1) },
      { flags: Uint8Array.of(4) },
      { flags: Uint8Array.of(ENTRY.chained) },
      { ops: Int32Array.of(OP.copy, 0, 1, 0) },
      { ops: Int32Array.of(2, 0, 1, 0, 1) },
      { ops: Int32Array.of(OP.copy, 0, 0, 0, 1) },
      { ops: Int32Array.of(OP.copy, 0, 1, 5, 5) },
      { ops: Int32Array.of(OP.copy, 0, 8, 0, 5) },
      { ops: Int32Array.of(OP.remove, 0, 5, 5, 0) },
      { ops: Int32Array.of(OP.remove, 0, 0, 4000, 0) },
      { adapter: 3 },
      { adapter: -2 },
      { step: 0.5 },
      { slots: [0] as never },
      { tokens: Int32Array.of(5, 6) as never },
      { ...entry(1, 0, 0, new Uint32Array(300).fill(5), 0) },
      {
        slots: Int32Array.of(0, 0),
        positions: Int32Array.of(0, 1),
        counts: Int32Array.of(1, 1),
        flags: new Uint8Array(2),
      },
    ];
    const refused = codes(plans.map((plan) => (each) => each.submitStep({ ...good, ...plan })));
    expect(refused).toEqual(plans.map(() => "INVALID_ARGUMENT"));
    const samplings = [
      { temperature: -1 },
      { temperature: Number.NaN },
      { topP: Number.NaN },
      { minP: 2 },
      { repetitionPenalty: 0 },
      { presencePenalty: Number.POSITIVE_INFINITY },
      { seed: 5 as never },
      { logprobs: 21 },
      { maxTokens: -1 },
      { stopTokens: Uint32Array.of(2048) },
      { promptTokens: Uint32Array.of(9999) },
      { logitBias: { ids: Uint32Array.of(1), values: new Float32Array(0) } },
      { grammar: " ".repeat(300_000) },
      { grammar: 5 as never },
    ];
    const openings = codes(samplings.map((sampling) => (each) => each.openSequence(0, sampling)));
    expect(openings).toEqual(samplings.map(() => "INVALID_ARGUMENT"));
    context.submitStep(good);
    context.submitStep({ ...entry(2, 0, 2, Uint32Array.of(5), 0) });
    expect(codes([(each) => each.submitStep(entry(3, 0, 3, Uint32Array.of(5), 0))])).toEqual(["INVALID_ARGUMENT"]);
    expect([(await next()).status, (await next()).status]).toEqual(["ok", "ok"]);
    expect(codes([(each) => each.submitStep(entry(2, 0, 3, Uint32Array.of(5), 0))])).toEqual(["INVALID_ARGUMENT"]);
    context.close();
    context.close();
    expect(codes([(each) => each.submitStep(entry(9, 0, 3, Uint32Array.of(5), 0))])).toEqual(["CLOSED"]);
  });

  it("refuses options that make no context", async () => {
    const options = [
      { maxSequences: 0 },
      { maxSequences: 256 },
      { cellTokens: 0 },
      { maxBatchTokens: 4096 },
      { threads: 0 },
      { kvTypeK: "q2_k" as never },
      { kvTypeV: "q8_0" as const, flashAttention: false },
    ];
    for (const each of options) {
      const opened = (async () => model.openContext({ ...size, ...each }, () => {}))();
      expect(await opened.catch(nativeErrorCode)).toBe("INVALID_ARGUMENT");
    }
  });

  it("closes in the middle of work without a trace", async () => {
    const { context } = await openPlain();
    context.openSequence(0, {});
    context.submitStep(entry(1, 0, 0, chat(capital), ENTRY.sample));
    const pending = context
      .exportBlocks(0, 0, [new Uint8Array(4 * context.kvLayout.tokenBytes)])
      .catch(nativeErrorCode);
    const embedding = context.embed([chat(capital)]).catch(nativeErrorCode);
    context.close();
    expect([await pending, await embedding]).toEqual(["CLOSED", "CLOSED"]);
  });
});
