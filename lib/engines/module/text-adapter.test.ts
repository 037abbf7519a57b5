import { afterEach, describe, expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { GREEDY } from "#lib/tokens/sampling";
import type { Engine, EngineFinish, GenerateRequest, StepMetrics } from "../engine.ts";
import type { TextEngineLimits } from "./limits.ts";
import { mistakeInEngine } from "./mistakes.ts";
import { openTextEngine } from "./text-adapter.ts";
import type { EngineGiven, TextCall, TextEngine } from "./text-engine.ts";

const opened: Engine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

const given: EngineGiven = {
  ...{ model: undefined, modelPath: undefined, log: silentLog, onProgress: () => {} },
  signal: new AbortController().signal,
};

/** An engine with what it says, in order. */
class Rig {
  readonly texts = new Map<number, string>();
  readonly finishes: EngineFinish[] = [];
  readonly failures: string[] = [];
  metrics: StepMetrics | undefined;
  readonly engine: Engine;
  #id = 0;

  constructor(engine: Engine) {
    opened.push(engine);
    this.engine = engine;
    engine.listen({
      onStep: ({ texts = [], finishes, metrics }) => {
        for (const { id, text } of texts) this.texts.set(id, (this.texts.get(id) ?? "") + text);
        this.finishes.push(...finishes);
        this.metrics = metrics;
      },
      onFailure: ({ message }) => void this.failures.push(message),
      onKv: () => {},
    });
  }

  submit(promptText: string, more: Partial<GenerateRequest> = {}): number {
    const id = ++this.#id;
    this.engine.submit({
      ...{ kind: "generate", id, promptTokens: new Uint32Array(0), promptText, generatedTokens: new Uint32Array(0) },
      stopping: { maxTokens: 1000, minTokens: 0, ignoreEos: false, stopTokens: new Uint32Array(0) },
      ...{ sampling: GREEDY, choice: 0, guidance: undefined, topLogprobs: undefined, promptLogprobs: false },
      ...{ adapter: undefined, cacheSalt: "", priority: 0, ...more },
    } as GenerateRequest);
    return id;
  }

  async ended(id: number): Promise<EngineFinish & { readonly text: string }> {
    const of = () => this.finishes.filter((finish) => finish.id === id);
    await expect.poll(of).toHaveLength(1);
    return { ...of()[0]!, text: this.texts.get(id) ?? "" };
  }

  ask(promptText: string, more?: Partial<GenerateRequest>) {
    return this.ended(this.submit(promptText, more));
  }
}

type Generate = TextEngine["generate"];

async function open(generate: Generate, more: Partial<TextEngine> = {}, limits?: Partial<TextEngineLimits>) {
  const clock = systemClock;
  return new Rig(await openTextEngine({ name: "mine", generate, ...more }, { given, clock, log: silentLog, limits }));
}

const most = (maxTokens: number) => ({
  stopping: { maxTokens, minTokens: 0, ignoreEos: false, stopTokens: new Uint32Array(0) },
});

async function* words(prompt: string): AsyncGenerator<string> {
  for (const word of prompt.split(" ")) {
    await new Promise((resolve) => setImmediate(resolve));
    yield `${word.toUpperCase()} `;
  }
}

/** Waits until its signal aborts, and longer where `isDeaf`. */
const waiting = (isDeaf: boolean): Generate =>
  async function* (_, { signal }) {
    yield "on";
    await new Promise<void>((resolve) => {
      if (!isDeaf) signal.addEventListener("abort", () => resolve());
    });
  };

describe("an engine of text", () => {
  it("has a whole card and answers piece by piece, each of them one token, many requests side by side", async () => {
    const rig = await open(words);
    expect(mistakeInEngine(rig.engine)).toBeUndefined();
    expect(rig.engine.card).toMatchObject({ model: "mine", engine: "module", input: "text" });
    const answers = await Promise.all(["once upon", "a time there was"].map((prompt) => rig.ask(prompt)));
    expect(answers).toMatchObject([
      { text: "ONCE UPON ", reason: "end", promptTokens: 2, completionTokens: 2, cachedTokens: 0 },
      { text: "A TIME THERE WAS ", reason: "end", promptTokens: 4, completionTokens: 4 },
    ]);
    expect(rig.metrics).toMatchObject({ runningRequests: 0, waitingRequests: 0 });
  });

  it("ends an answer at its length, and the generator there", async () => {
    let closed = 0;
    function* endless({ maxTokens }: TextCall) {
      try {
        for (let at = 0; ; at++) yield `${maxTokens}.${at} `;
      } finally {
        closed++;
      }
    }
    const rig = await open((_, call) => endless(call), { contextTokens: 6, countTokens: ({ length }) => length });
    expect(await rig.ask("abc", most(2))).toMatchObject({ text: "2.0 2.1 ", reason: "length", completionTokens: 2 });
    expect(await rig.ask("abcd")).toMatchObject({ text: "2.0 2.1 ", reason: "length", promptTokens: 4 });
    await expect.poll(() => closed).toBe(2);
    expect(() => rig.submit("abcdef")).toThrow("The input has 6 tokens");
  });

  it("cuts no character in two, whatever its pieces are, and counts no empty one", async () => {
    const rig = await open(() => ["\ud83d", "", "\ude00!", "\ud83d"]);
    expect(await rig.ask("a")).toMatchObject({ text: "😀!\ufffd", completionTokens: 3 });
  });

  it("is told how to draw, each choice with a seed of its own", async () => {
    const rig = await open((_, { sampling }) => [`${sampling.temperature} ${sampling.seed}`]);
    const [one, same, other] = await Promise.all([0, 0, 1].map((choice) => rig.ask("a", { choice })));
    expect(one?.text).toBe(same?.text);
    expect(one?.text).not.toBe(other?.text);
  });
});

describe("an engine of text that goes wrong", () => {
  it.each<[string, Generate, string]>([
    [
      "throws",
      () => {
        throw new Error("a prompt");
      },
      "it threw while it answered, and the worker's log has its words",
    ],
    [
      "rejects",
      async function* () {
        yield await Promise.reject<string>(new Error("x"));
      },
      "it threw while it answered",
    ],
    ["gives no text", () => [7] as unknown as string[], "it gave something that is no text"],
    [
      "gives a promise",
      (async () => {
        throw new Error("later");
      }) as unknown as Generate,
      "nothing that can be iterated",
    ],
    ["gives a text as a whole", () => "text", "nothing that can be iterated"],
    [
      "never stops",
      function* () {
        for (;;) yield "12345";
      },
      "more than 12 characters",
    ],
    [
      "knows a reason",
      () => {
        throw new StatorError("CONTEXT_LENGTH", { promptTokens: 9, contextTokens: 8, model: "m" });
      },
      "has 9 tokens",
    ],
    ["refuses", (_, { refuse }) => refuse("the prompt is no JSON"), "The prompt is no JSON".slice(1)],
  ])("fails the answer at which it %s, and no other", async (_, generate, words) => {
    const good: Generate = () => ["fine"];
    const wrong: Generate = (prompt, call) => (prompt === "wrong" ? generate : good)(prompt, call);
    const rig = await open(wrong, {}, { answerUnits: 12 });
    const [failed, other] = await Promise.all([rig.ask("wrong", most(9)), rig.ask("right")]);
    expect(failed).toMatchObject({ reason: "failed", error: { message: expect.stringContaining(words) } });
    expect(other).toMatchObject({ reason: "end", text: "fine" });
    expect(rig.failures).toEqual([]);
  });

  it("is not opened when its open throws, and says why", async () => {
    const fails = open(words, { open: () => Promise.reject(new Error("no weights")) });
    await expect(fails).rejects.toThrow("mine cannot be used as a model: its open threw: no weights");
  });

  it("counts a prompt in whole numbers, or the request is refused", async () => {
    const rig = await open(words, { countTokens: () => 1.5 });
    expect(() => rig.submit("a")).toThrow("its countTokens gave no whole number from 1");
  });

  it.each<[Partial<GenerateRequest>, string]>([
    [{ promptText: "" }, "INVALID_ARGUMENT"],
    [{ topLogprobs: 0 }, "UNSUPPORTED_FEATURE"],
    [{ guidance: { kind: "jsonObject" } }, "UNSUPPORTED_FEATURE"],
    [{ adapter: "a" }, "MODEL_NOT_FOUND"],
    [{ generatedTokens: Uint32Array.of(1) }, "UNSUPPORTED_FEATURE"],
  ])("does not take %j", async (more, reason) => {
    const rig = await open(words);
    expect(() => rig.submit("a", more)).toThrow(expect.objectContaining({ reason }));
  });
});

describe("bounds of an engine of text", () => {
  it("so many run, by their priority, so many wait, and one more is refused", async () => {
    const order: string[] = [];
    const go: (() => void)[] = [];
    const rig = await open(
      async function* (prompt) {
        order.push(prompt);
        await new Promise<void>((resolve) => go.push(resolve));
        yield prompt;
      },
      { maxRunning: 1 },
      { maxRunning: 4, maxWaiting: 2 },
    );
    expect(rig.engine.card).toMatchObject({ maxRunningRequests: 1, maxWaitingRequests: 2 });
    const first = rig.submit("first");
    await expect.poll(() => order).toEqual(["first"]);
    const late = rig.submit("late");
    const soon = rig.submit("soon", { priority: 1 });
    expect(() => rig.submit("more")).toThrow(expect.objectContaining({ reason: "OVERLOADED" }));
    rig.engine.cancel([late], "stop");
    expect(await rig.ended(late)).toMatchObject({ reason: "cancelled", completionTokens: 0 });
    go[0]!();
    expect(await rig.ended(first)).toMatchObject({ reason: "end" });
    await expect.poll(() => order).toEqual(["first", "soon"]);
    go[1]!();
    expect(await rig.ended(soon)).toMatchObject({ text: "soon" });
  });

  it("what is cancelled ends at once, hears of it by its signal, and gives its place to the next", async () => {
    const rig = await open(waiting(false), {}, { maxRunning: 1 });
    const first = rig.submit("first");
    await expect.poll(() => rig.texts.get(first)).toBe("on");
    const next = rig.submit("next");
    rig.engine.cancel([first, 99], "stop");
    expect(await rig.ended(first)).toMatchObject({ reason: "cancelled", completionTokens: 1 });
    await expect.poll(() => rig.texts.get(next)).toBe("on");
  });

  it("an engine that ends nothing of what it was told to end has failed when no place is left", async () => {
    const rig = await open(waiting(true), {}, { maxRunning: 2, cancelMs: 5 });
    const ids = [rig.submit("a"), rig.submit("b")];
    await expect.poll(() => rig.texts.size).toBe(2);
    rig.engine.cancel(ids.slice(0, 1), "stop");
    await rig.ended(ids[0]!);
    expect(rig.failures).toEqual([]);
    rig.engine.cancel(ids.slice(1), "kill");
    await rig.ended(ids[1]!);
    await expect.poll(() => rig.failures).toEqual([expect.stringContaining("no place is left")]);
  });

  it("it is closed whatever still runs, once, and not waited for when it does not close", async () => {
    let closes = 0;
    const close = () => {
      closes++;
      return new Promise<void>(() => {});
    };
    const rig = await open(waiting(true), { close }, { closeMs: 5 });
    const id = rig.submit("a");
    await expect.poll(() => rig.texts.get(id)).toBe("on");
    await Promise.all([rig.engine.close(), rig.engine.close()]);
    expect([closes, rig.finishes]).toEqual([1, []]);
    expect(() => rig.submit("b")).toThrow("it has been closed");
  });
});
