import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { EngineFinish, GenerateRequest } from "../engine.ts";
import { seedOf } from "../openengine/ask.ts";
import type { TextEngineLimits } from "./limits.ts";
import type { TextCall, TextEngine } from "./text-engine.ts";

/** Whom an answer tells. Nothing of it comes behind its finish, but `onFreed`. */
export interface RunListener {
  /** A piece of its text, as it may be sent: no character is cut in two. */
  onText(text: string): void;
  /** It ended; once. */
  onFinish(finish: EngineFinish): void;
  /** Its iterator has ended too, so that its place is free; once. */
  onFreed(): void;
}

/** What an answer is made with. */
export interface RunDeps {
  /** Makes it. */
  readonly engine: TextEngine;
  /** Ends its turns: one piece is taken in each. */
  readonly clock: Clock;
  /** Told what the engine throws. */
  readonly log: Log;
  /** Of one answer. */
  readonly limits: Pick<TextEngineLimits, "answerUnits">;
}

/** A request as it was taken. */
export interface RunRequest {
  /** With its prompt as text. */
  readonly request: GenerateRequest;
  /** Its length as the engine counts. */
  readonly promptTokens: number;
  /** Pieces that it may have. */
  readonly most: number;
}

/** One answer of an engine of text, from its first piece to its end. */
export class AnswerRun {
  readonly #deps: RunDeps;
  readonly #of: RunRequest;
  readonly #listener: RunListener;
  readonly #abort = new AbortController();
  #iterator: AsyncIterator<unknown> | Iterator<unknown> | undefined;
  #pieces = 0;
  #units = 0;
  /** The first half of a character whose second half is still to come. */
  #half = "";
  #isOver = false;
  #isFreed = false;

  constructor(of: RunRequest, deps: RunDeps, listener: RunListener) {
    this.#of = of;
    this.#deps = deps;
    this.#listener = listener;
  }

  /** It has its finish. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Its iterator has ended. */
  get isFreed(): boolean {
    return this.#isFreed;
  }

  /** Runs it. Never rejects, and resolves when its iterator has ended, which may be never. */
  async run(): Promise<void> {
    try {
      await this.#take();
    } catch (caught) {
      if (!this.#isOver) this.#finish({ reason: "failed", error: this.#errorOf(caught) });
    }
    this.#isFreed = true;
    this.#listener.onFreed();
  }

  /** Ends it now, on behalf of whoever asked. */
  cancel(): void {
    if (this.#isOver) return;
    this.#finish({ reason: "cancelled" });
    this.#end();
  }

  /** Ends it without a word. */
  abandon(): void {
    this.#isOver = true;
    this.#end();
  }

  async #take(): Promise<void> {
    const { engine } = this.#deps;
    this.#iterator = iteratorOf(engine.generate(this.#of.request.promptText ?? "", this.#call()));
    while (!this.#isOver) {
      const { done, value } = await this.#iterator.next();
      if (this.#isOver) break;
      if (done) {
        this.#finish({ reason: "end" });
        return;
      }
      this.#add(value);
      await this.#turn();
    }
    await this.#iterator.return?.();
  }

  /** An engine that never waits would leave nobody else a turn. */
  #turn(): Promise<void> {
    return new Promise((resolve) => this.#deps.clock.soon(resolve));
  }

  #add(value: unknown): void {
    if (typeof value !== "string") throw this.#ended("it gave something that is no text");
    if (value === "") return;
    const { answerUnits } = this.#deps.limits;
    this.#units += value.length;
    if (this.#units > answerUnits) throw this.#ended(`an answer of it has more than ${answerUnits} characters`);
    this.#pieces++;
    const text = this.#half + value;
    this.#half = /[\ud800-\udbff]$/.exec(text)?.[0] ?? "";
    this.#tell(text.slice(0, text.length - this.#half.length));
    if (this.#pieces < this.#of.most) return;
    this.#finish({ reason: "length" });
    this.#abort.abort(new StatorError("CANCELLED"));
  }

  #ended(detail: string): StatorError {
    this.#end();
    return broken(detail);
  }

  #tell(text: string): void {
    if (text !== "") this.#listener.onText(text.toWellFormed());
  }

  #finish(how: Pick<EngineFinish, "reason"> & Partial<EngineFinish>): void {
    this.#tell(this.#half);
    this.#isOver = true;
    this.#listener.onFinish({
      id: this.#of.request.id,
      stopToken: undefined,
      promptTokens: this.#of.promptTokens,
      cachedTokens: 0,
      completionTokens: this.#pieces,
      error: undefined,
      ...how,
    });
  }

  /** A generator that waits hears of it by its signal alone: its `return` comes behind the wait. */
  #end(): void {
    this.#abort.abort(new StatorError("CANCELLED"));
    if (!this.#iterator) return;
    // What it says to that is told nobody: the answer has its end.
    try {
      Promise.resolve(this.#iterator.return?.()).catch(() => {});
    } catch {}
  }

  #call(): TextCall {
    const { request, most } = this.#of;
    const { biasTokens: _, biasValues: __, ...sampling } = request.sampling;
    return {
      maxTokens: most,
      minTokens: Math.min(request.stopping.minTokens, most),
      sampling: { ...sampling, seed: seedOf(sampling.seed, request.choice) },
      signal: this.#abort.signal,
      refuse(detail) {
        throw new StatorError("INVALID_ARGUMENT", { detail: detail.replace(/\.$/, "") });
      },
    };
  }

  /** What a module throws may hold a prompt: callers hear that it failed, and the log has the words. */
  #errorOf(caught: unknown): StatorError {
    if (caught instanceof StatorError) return caught;
    const { engine, log } = this.#deps;
    log.error("the module threw", { model: engine.name, error: caught });
    return broken("it threw while it answered, and the worker's log has its words");
  }
}

function broken(detail: string): StatorError {
  return new StatorError("ENGINE_FAILED", { detail });
}

function iteratorOf(made: unknown): AsyncIterator<unknown> | Iterator<unknown> {
  const sequence = made as Partial<AsyncIterable<unknown> & Iterable<unknown>> | null | undefined;
  if (typeof made !== "string") {
    const open = sequence?.[Symbol.asyncIterator] ?? sequence?.[Symbol.iterator];
    if (typeof open === "function") return Reflect.apply(open, sequence, []) as AsyncIterator<unknown>;
  }
  // A promise that is refused may fail later, and nobody else hears of that.
  if (made instanceof Promise) made.catch(() => {});
  throw broken("its generate gave nothing that can be iterated: write `async *generate(prompt)` and yield text");
}
