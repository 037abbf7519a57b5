import { asStatorError, type StatorError } from "#lib/base/errors";
import { submitTo } from "#lib/engines/ability";
import type {
  Admission,
  EndReason,
  Engine,
  EngineFinish,
  EngineListener,
  EngineRequest,
  EngineStep,
  StepMetrics,
} from "#lib/engines/engine";
import type { Log } from "#lib/host/log";
import type { Span, Tracer } from "#lib/host/telemetry";
import type { BoardRequest, BoardSink, Preparation } from "./board-sink.ts";
import { KeptPlaces } from "./kept-places.ts";
import { cancelledFinish, failedFinish, loadAfter } from "./outside-steps.ts";

interface Open {
  readonly sink: BoardSink;
  readonly key: number;
  readonly requestId: string;
  readonly span: Span;
  /** The engine has not said yet whether it takes it. */
  isAsked: boolean;
  /** Ends what is done before the engine is asked; undefined once it is. */
  endPreparation: (() => void) | undefined;
  /** It was cancelled while that was done. */
  isCancelled: boolean;
}

/** Joins many callers to one engine: gives ids, routes what comes back, and ends everybody's requests when it fails. */
export interface Board {
  /** Requests that have not ended. */
  readonly open: number;
  /** Load as of the last step; undefined before the first. */
  readonly metrics: StepMetrics | undefined;
  /** Requests that ended, by reason. */
  readonly ended: Readonly<Record<EndReason, number>>;
  /** Requests that were refused: certainly not executed. */
  readonly refused: number;
  /**
   * Submits for a sink under its own key. Throws what the engine throws; then nothing ran. Where the engine answers later,
   * or something comes before it is asked, the admission is undefined: the request may run from now on, or its sink hears
   * that it was refused.
   */
  submit(sink: BoardSink, key: number, request: BoardRequest): { id: number; admission: Admission | undefined };
  /** Ends requests by id; each still gets its finish. */
  cancel(ids: readonly number[], mode: "stop" | "kill"): void;
  /** Ends all requests of all callers; each still gets its finish. */
  cancelAll(): void;
  /** Gives every open request its finish now, with this error; what comes later is taken. */
  interrupt(error: StatorError): void;
  /** Gives every open request its finish now, with this error, and refuses what comes later. */
  end(error: StatorError): void;
}

/** Whom a board tells beside its sinks. */
export interface BoardListener {
  /** Once, when the engine cannot go on; every open request has got its finish then. */
  onFailure(error: StatorError): void;
  /** After every step, with its load. */
  onMetrics(metrics: StepMetrics): void;
  /** The last open request has ended, and its sink was told. */
  onIdle(): void;
  /** What entered or left the engine's cache, in order. */
  onKv: EngineListener["onKv"];
  /** The engine takes nothing for now, or takes requests again. */
  onStanding?: EngineListener["onStanding"];
}

/** What a board writes to. */
export interface BoardDeps {
  /** Told of requests that ended, and of sinks that threw. */
  readonly log: Log;
  /** Makes one span per request. */
  readonly tracer: Tracer;
}

/** A board over an engine; it becomes the engine's listener. */
export function createBoard(engine: Engine, listener: BoardListener, deps: BoardDeps): Board {
  const board = new EngineBoard(engine, listener, deps);
  engine.listen({
    onStep: (step) => board.onStep(step),
    onAdmitted: (id) => board.onAdmitted(id),
    onRefused: (id, error) => board.onRefused(id, error),
    onKv: listener.onKv,
    onFailure: (error) => board.onFailure(error),
    onStanding: (standing) => listener.onStanding?.(standing),
  });
  return board;
}

class EngineBoard implements Board {
  readonly ended: Record<EndReason, number> = { end: 0, stop_token: 0, length: 0, cancelled: 0, done: 0, failed: 0 };
  readonly #engine: Engine;
  readonly #listener: BoardListener;
  readonly #deps: BoardDeps;
  readonly #opened = new Map<number, Open>();
  readonly #touched = new Set<BoardSink>();
  readonly #places: KeptPlaces;
  #nextId = 1;
  #last: StepMetrics | undefined;
  /** Set when nothing can run any more. */
  #over: StatorError | undefined;
  refused = 0;

  constructor(engine: Engine, listener: BoardListener, deps: BoardDeps) {
    this.#engine = engine;
    this.#listener = listener;
    this.#deps = deps;
    this.#places = new KeptPlaces(engine.card);
  }

  get open() {
    return this.#opened.size;
  }

  get metrics() {
    return this.#last;
  }

  submit(sink: BoardSink, key: number, { requestId, traceparent, part, make }: BoardRequest) {
    const id = this.#drawId();
    const span = this.#deps.tracer.start("stator.worker", traceparent);
    span.set("stator.request_id", requestId);
    if (part) span.set("stator.leg", part);
    // Known before the engine is, so that nothing it makes during the call could be lost.
    const open: Open = { sink, key, requestId, span, isAsked: true, endPreparation: undefined, isCancelled: false };
    this.#opened.set(id, open);
    try {
      if (this.#over) throw this.#over;
      this.#places.check(this.#opened.size, typeof make !== "function");
      if (typeof make !== "function") return { id, admission: this.#prepare(id, open, make) };
      const admission = submitTo(this.#engine, make(id));
      if (admission === "later") return { id, admission: undefined };
      open.isAsked = false;
      return { id, admission };
    } catch (caught) {
      const error = asStatorError(caught);
      this.#opened.delete(id);
      this.refused++;
      span.end(error.reason);
      throw error;
    }
  }

  #prepare(id: number, open: Open, preparation: Preparation): undefined {
    // Whoever has ended meanwhile was told so.
    const isOpen = (): boolean => this.#opened.get(id) === open;
    open.endPreparation = preparation.begin({
      onReady: (make) => {
        if (isOpen()) this.#prepared(id, open, make);
      },
      onFailed: (error) => {
        if (isOpen()) this.#endHere(open.isCancelled ? cancelledFinish(id) : failedFinish(id, error));
      },
    });
    this.#places.keep();
  }

  #prepared(id: number, open: Open, make: (id: number) => EngineRequest): void {
    open.endPreparation = undefined;
    this.#places.giveBack();
    try {
      if (open.isCancelled) this.#endHere(cancelledFinish(id));
      else open.isAsked = submitTo(this.#engine, make(id)) === "later";
    } catch (caught) {
      this.onRefused(id, asStatorError(caught));
    }
  }

  /** Ends a request that the engine does not know, outside of its steps. */
  #endHere(end: EngineFinish): void {
    this.#finish(end);
    this.#endStep(loadAfter(this.#last));
    if (this.#opened.size === 0) this.#listener.onIdle();
  }

  cancel(ids: readonly number[], mode: "stop" | "kill"): void {
    if (this.#over || ids.length === 0) return;
    const asked = ids.filter((id) => {
      const open = this.#opened.get(id);
      if (!open?.endPreparation) return true;
      open.isCancelled = true;
      open.endPreparation();
      return false;
    });
    if (asked.length > 0) this.#engine.cancel(asked, mode);
  }

  cancelAll(): void {
    this.cancel([...this.#opened.keys()], "stop");
  }

  interrupt(error: StatorError): void {
    if (this.#over) return;
    const ids = [...this.#opened.keys()];
    this.#finishAll(error);
    if (ids.length > 0) this.#engine.cancel(ids, "kill");
  }

  end(error: StatorError): void {
    this.#over ??= error;
    this.#finishAll(error);
  }

  #finishAll(error: StatorError): void {
    const open = [...this.#opened];
    for (const [id, { endPreparation }] of open) {
      this.#finish(failedFinish(id, error));
      endPreparation?.();
    }
    this.#endStep(loadAfter(this.#last));
    if (open.length > 0) this.#listener.onIdle();
  }

  onFailure(error: StatorError): void {
    this.end(error);
    this.#listener.onFailure(error);
  }

  onAdmitted(id: number): void {
    const open = this.#opened.get(id);
    if (open) open.isAsked = false;
  }

  onRefused(id: number, error: StatorError): void {
    // One that has been taken runs: an engine that changes its mind has lost it.
    const open = this.#touch(id);
    if (!open || this.#over) return;
    if (open.isAsked) this.#refuse(id, open, error);
    else this.#finish(failedFinish(id, error));
    this.#endStep(loadAfter(this.#last));
    if (this.#opened.size === 0) this.#listener.onIdle();
  }

  #refuse(id: number, open: Open, error: StatorError): void {
    const { sink, key, requestId, span } = open;
    this.#opened.delete(id);
    this.refused++;
    span.end(error.reason);
    try {
      if (sink.onRefused) sink.onRefused(key, error);
      else sink.onFinish(key, failedFinish(id, error));
    } catch (caught) {
      this.#deps.log.error("request failed inside", { request: requestId, error: caught });
    }
  }

  onStep(step: EngineStep): void {
    if (this.#over) return;
    this.#last = step.metrics;
    for (const logprobs of step.promptLogprobs) {
      this.#deliver(logprobs.id, ({ sink, key }) => sink.onPromptLogprobs?.(key, logprobs));
    }
    this.#deliverTokens(step);
    for (const logprobs of step.logprobs) {
      this.#deliver(logprobs.id, ({ sink, key }) => sink.onLogprobs(key, logprobs));
    }
    if (step.texts) this.#deliverTexts(step.texts);
    for (const { id, values } of step.embeddings) this.#deliver(id, ({ sink, key }) => sink.onEmbedding(key, values));
    for (const end of step.finishes) this.#finish(end);
    this.#endStep(step.metrics);
    this.#listener.onMetrics(step.metrics);
    if (step.finishes.length > 0 && this.#opened.size === 0) this.#listener.onIdle();
  }

  /** Ids run through 32 bits; one that is still open after four billion others is passed over. */
  #drawId(): number {
    while (this.#opened.has(this.#nextId)) this.#advanceId();
    const id = this.#nextId;
    this.#advanceId();
    return id;
  }

  #advanceId(): void {
    this.#nextId = this.#nextId === 0xffff_ffff ? 1 : this.#nextId + 1;
  }

  #deliverTokens({ ids, counts, tokens }: EngineStep): void {
    let at = 0;
    for (let entry = 0; entry < ids.length; entry++) {
      const count = counts ? counts[entry]! : 1;
      const id = ids[entry]!;
      const open = count > 0 ? this.#touch(id) : undefined;
      try {
        open?.sink.onTokens(open.key, tokens.subarray(at, at + count));
      } catch (error) {
        this.#broken(id, error);
      }
      at += count;
    }
  }

  #deliverTexts(texts: NonNullable<EngineStep["texts"]>): void {
    for (const { id, text } of texts) this.#deliver(id, ({ sink, key }) => sink.onText?.(key, text));
  }

  #deliver(id: number, call: (open: Open) => void): void {
    const open = this.#touch(id);
    if (!open) return;
    try {
      call(open);
    } catch (error) {
      this.#broken(id, error);
    }
  }

  #touch(id: number): Open | undefined {
    const open = this.#opened.get(id);
    if (open) this.#touched.add(open.sink);
    return open;
  }

  #finish(end: EngineFinish): void {
    const open = this.#touch(end.id);
    if (!open) return;
    this.#opened.delete(end.id);
    if (open.endPreparation) this.#places.giveBack();
    this.ended[end.reason]++;
    const { sink, key, requestId, span } = open;
    span.set("stator.completion_tokens", end.completionTokens);
    span.end(end.error?.reason);
    const { log } = this.#deps;
    if (log.enabled("debug")) {
      log.debug("request ended", { request: requestId, reason: end.reason, tokens: end.completionTokens });
    }
    try {
      sink.onFinish(key, end);
    } catch (error) {
      log.error("request failed inside", { request: requestId, error });
    }
  }

  /** A bug of whoever receives must not reach the engine, which runs everybody's requests. */
  #broken(id: number, caught: unknown): void {
    const requestId = this.#opened.get(id)?.requestId;
    this.#deps.log.error("request failed inside", { request: requestId, error: caught });
    this.#finish(failedFinish(id, asStatorError(caught)));
    this.cancel([id], "kill");
  }

  #endStep(metrics: StepMetrics): void {
    for (const sink of this.#touched) {
      try {
        sink.endStep(metrics);
      } catch (error) {
        this.#deps.log.error("caller failed inside", { error });
      }
    }
    this.#touched.clear();
  }
}
