import type { Clock, Timer } from "#lib/base/clock";
import { assert, StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import { pause } from "#lib/host/pause";
import { checkSampling } from "#lib/tokens/sampling";
import type { Admission, Engine, EngineCard, EngineFinish, EngineListener, GenerateRequest } from "../engine.ts";
import { AnswerRun, type RunRequest } from "./answer-run.ts";
import { TEXT_ENGINE_LIMITS, type TextEngineLimits } from "./limits.ts";
import { plainCard } from "./plain-card.ts";
import { plainStep } from "./plain-step.ts";
import type { EngineGiven, TextEngine } from "./text-engine.ts";

/** What an engine of text is opened with. */
export interface TextAdapterOptions {
  /** What it is told. */
  readonly given: EngineGiven;
  /** Of its turns and waits. */
  readonly clock: Clock;
  /** Told what it throws. */
  readonly log: Log;
  /** What differs from `TEXT_ENGINE_LIMITS`. */
  readonly limits?: Partial<TextEngineLimits>;
}

/** Opens an engine of text as an engine of any kind. Throws BAD_MODEL_FILE with what its `open` threw, and the reason of the signal. */
export async function openTextEngine(engine: TextEngine, options: TextAdapterOptions): Promise<Engine> {
  const { given } = options;
  try {
    await engine.open?.(given);
  } catch (cause) {
    if (cause instanceof StatorError || given.signal.aborted) throw cause;
    const detail = `its open threw: ${cause instanceof Error ? cause.message : "something"}`;
    const hint = "The model was not opened.";
    throw new StatorError("BAD_MODEL_FILE", { path: engine.name, detail, hint }, { cause });
  }
  return new TextAdapter(engine, options);
}

/** A request that waits or runs. */
interface Open extends RunRequest {
  /** Undefined while it waits. */
  run: AnswerRun | undefined;
}

/** What came in one turn, and is told at its end. */
interface Turn {
  texts: { id: number; text: string }[];
  finishes: EngineFinish[];
}

class TextAdapter implements Engine {
  readonly card: EngineCard;
  readonly #engine: TextEngine;
  readonly #options: TextAdapterOptions;
  readonly #limits: TextEngineLimits;
  readonly #open = new Map<number, Open>();
  /** In the order in which they are to run. */
  #waiting: Open[] = [];
  /** Iterators that have not ended, also of answers that have. */
  #taken = 0;
  /** Those of them that were told to end and did not. */
  #stuck = 0;
  #turn: Turn = { texts: [], finishes: [] };
  #willTell = false;
  #steps = 0;
  #listener: EngineListener | undefined;
  #isClosed = false;

  constructor(engine: TextEngine, options: TextAdapterOptions) {
    this.#engine = engine;
    this.#options = options;
    const limits = { ...TEXT_ENGINE_LIMITS, ...options.limits };
    this.#limits = { ...limits, maxRunning: Math.min(limits.maxRunning, engine.maxRunning ?? limits.maxRunning) };
    const { maxRunning, maxWaiting } = this.#limits;
    this.card = plainCard({
      engine: "module",
      software: engine.software ?? { name: "", version: "" },
      model: options.given.model ?? engine.name,
      input: "text",
      contextTokens: engine.contextTokens,
      maxRunningRequests: maxRunning,
      maxWaitingRequests: maxWaiting,
      facts: [{ what: "requests", value: `${maxRunning} at once`, by: "its module or --module-max-running" }],
    });
  }

  listen(listener: EngineListener): void {
    assert(!this.#listener, "an engine has one listener");
    this.#listener = listener;
  }

  submit(request: GenerateRequest): Admission {
    if (this.#isClosed) throw new StatorError("ENGINE_FAILED", { detail: "it has been closed" });
    checkAsk(request);
    const open: Open = { request, ...this.#measure(request), run: undefined };
    const isFull = this.#taken + this.#waiting.length >= this.#limits.maxRunning + this.#limits.maxWaiting;
    if (isFull) throw new StatorError("OVERLOADED", { what: `requests of ${this.card.model}` });
    const place = this.#waiting.findIndex((other) => other.request.priority < request.priority);
    const ahead = place < 0 ? this.#waiting.length : place;
    this.#open.set(request.id, open);
    this.#waiting.splice(ahead, 0, open);
    // Nothing comes from inside a call to the engine.
    this.#options.clock.soon(() => this.#begin());
    return { cachedTokens: 0, queuedAhead: ahead };
  }

  cancel(ids: readonly number[]): void {
    for (const id of ids) {
      const open = this.#open.get(id);
      if (!open) continue;
      if (open.run) open.run.cancel();
      else this.#cancelWaiting(open);
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#end();
    const { clock, log } = this.#options;
    const { closeMs } = this.#limits;
    const closed = Promise.resolve(this.#engine.close?.()).catch((error: unknown) => {
      log.error("the module threw", { model: this.card.model, error });
    });
    const waited = new AbortController();
    const late = pause(clock, closeMs, waited.signal).then(
      () => log.warn("the module does not close", { model: this.card.model }),
      () => {},
    );
    await Promise.race([closed, late]);
    waited.abort();
  }

  #measure({ promptText = "", stopping }: GenerateRequest): { promptTokens: number; most: number } {
    const { contextTokens, model } = this.card;
    const promptTokens = this.#count(promptText);
    if (contextTokens !== undefined && promptTokens >= contextTokens) {
      throw new StatorError("CONTEXT_LENGTH", { promptTokens, contextTokens, model });
    }
    const room = contextTokens === undefined ? Number.POSITIVE_INFINITY : contextTokens - promptTokens;
    return { promptTokens, most: Math.min(stopping.maxTokens, room) };
  }

  #count(prompt: string): number {
    const { countTokens } = this.#engine;
    if (!countTokens) return prompt.match(/\S+/g)?.length ?? 1;
    let cause: unknown;
    try {
      const count: unknown = countTokens.call(this.#engine, prompt);
      if (Number.isSafeInteger(count) && (count as number) > 0) return count as number;
    } catch (caught) {
      cause = caught;
    }
    const detail = "its countTokens gave no whole number from 1";
    throw new StatorError("ENGINE_FAILED", { detail }, { cause });
  }

  #cancelWaiting(open: Open): void {
    const { id } = open.request;
    this.#waiting = this.#waiting.filter((other) => other !== open);
    this.#finish({
      id,
      reason: "cancelled",
      stopToken: undefined,
      promptTokens: open.promptTokens,
      cachedTokens: 0,
      completionTokens: 0,
      error: undefined,
    });
  }

  /** Gives free places to those that wait. */
  #begin(): void {
    while (!this.#isClosed && this.#taken < this.#limits.maxRunning && this.#waiting.length > 0) {
      this.#run(this.#waiting.shift()!);
    }
  }

  #run(open: Open): void {
    const { clock } = this.#options;
    const { id } = open.request;
    let overdue: Timer | undefined;
    let isStuck = false;
    const deps = { ...this.#options, engine: this.#engine, limits: this.#limits };
    const run = new AnswerRun(open, deps, {
      onText: (text) => {
        this.#turn.texts.push({ id, text });
        this.#tellSoon();
      },
      onFinish: (finish) => {
        overdue = clock.after(this.#limits.cancelMs, () => {
          isStuck = true;
          this.#overdue();
        });
        this.#finish(finish);
      },
      onFreed: () => {
        overdue?.cancel();
        if (isStuck) this.#stuck--;
        this.#taken--;
        this.#begin();
      },
    });
    open.run = run;
    this.#taken++;
    // Nobody can wait for an iterator that may never end.
    run.run().catch((error: unknown) => this.#options.log.error("request failed inside", { error }));
  }

  #overdue(): void {
    this.#stuck++;
    const { model } = this.card;
    this.#options.log.warn("the module does not end what was cancelled", { model, places: this.#stuck });
    if (this.#isClosed || this.#stuck < this.#limits.maxRunning) return;
    this.#end();
    const detail = "its module ended none of the answers that it was told to end, and no place is left";
    this.#listener?.onFailure(new StatorError("ENGINE_FAILED", { detail }));
  }

  #finish(finish: EngineFinish): void {
    this.#open.delete(finish.id);
    this.#turn.finishes.push(finish);
    this.#tellSoon();
  }

  /** What came in this turn is one step. */
  #tellSoon(): void {
    if (this.#willTell) return;
    this.#willTell = true;
    this.#options.clock.soon(() => {
      this.#willTell = false;
      if (this.#isClosed) return;
      const turn = this.#turn;
      this.#turn = { texts: [], finishes: [] };
      this.#listener?.onStep(plainStep(turn, this.#load(turn.texts.length)));
    });
  }

  #end(): void {
    this.#isClosed = true;
    for (const { run } of this.#open.values()) run?.abandon();
    this.#open.clear();
    this.#waiting = [];
  }

  #load(decodeSequences: number): Parameters<typeof plainStep>[1] {
    const waitingTokens = this.#waiting.reduce((sum, { promptTokens }) => sum + promptTokens, 0);
    const waitingRequests = this.#waiting.length;
    const runningRequests = this.#open.size - waitingRequests;
    return { step: ++this.#steps, decodeSequences, runningRequests, waitingRequests, waitingTokens };
  }
}

const unsupported = (feature: string): never => {
  throw new StatorError("UNSUPPORTED_FEATURE", {
    feature,
    detail: "the engine of its model takes text and gives text",
  });
};

/** Refuses what an engine of text does not hear of. */
function checkAsk(request: GenerateRequest): void {
  const { promptText, guidance, topLogprobs, adapter, sampling, stopping, generatedTokens } = request;
  if (!promptText) throw new StatorError("INVALID_ARGUMENT", { detail: "The prompt is empty" });
  checkSampling(sampling);
  if (adapter !== undefined) throw new StatorError("MODEL_NOT_FOUND", { model: adapter });
  if (guidance) unsupported("An answer that is held to a form");
  if (topLogprobs !== undefined) unsupported("Log-probabilities");
  if (sampling.biasTokens.length > 0) unsupported("logit_bias");
  if (stopping.stopTokens.length > 0) unsupported("A stop token");
  if (generatedTokens.length > 0) unsupported("Going on with an answer");
}
