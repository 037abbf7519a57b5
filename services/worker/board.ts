import { asStatorError, StatorError } from "#lib/base/errors";
import type {
  Admission,
  Engine,
  EngineFinish,
  EngineListener,
  EngineLogprobs,
  EngineRequest,
  EngineStep,
  StepMetrics,
} from "#lib/engines/engine";

/**
 * Who receives what an engine makes for a group of requests, such as all requests of one link. Within one engine step
 * calls come in this order: entries, log-probabilities, embeddings, finishes, and then one `endStep`.
 */
export interface BoardSink {
  /** Tokens of one request; borrowed for the call. `key` is what the sink gave at submit. */
  onTokens(key: number, tokens: Uint32Array): void;
  onLogprobs(key: number, logprobs: EngineLogprobs): void;
  onEmbedding(key: number, values: Float32Array): void;
  onFinish(key: number, finish: EngineFinish): void;
  /** The step is complete; called for sinks that got something from it. */
  endStep(metrics: StepMetrics): void;
}

interface Open {
  readonly sink: BoardSink;
  readonly key: number;
}

/** Joins many callers to one engine: gives ids, routes what comes back, and ends everybody's requests when it fails. */
export interface Board {
  /** Requests that have not ended. */
  readonly open: number;
  /** Load as of the last step; undefined before the first. */
  readonly metrics: StepMetrics | undefined;
  /** Submits for a sink under its own key; `make` builds the request with the id that it gets. Throws what the engine throws; then nothing ran. */
  submit(sink: BoardSink, key: number, make: (id: number) => EngineRequest): { id: number; admission: Admission };
  /** Ends requests by id; each still gets its finish. */
  cancel(ids: readonly number[], mode: "stop" | "kill"): void;
  /** Calls after every step, with its load. */
  onMetrics(call: (metrics: StepMetrics) => void): void;
}

/** Whom a board tells beside its sinks. */
export interface BoardListener {
  /** Once, when the engine cannot go on; every open request has got its finish then. */
  onFailure(error: StatorError): void;
  onKv: EngineListener["onKv"];
}

/** A board over an engine; it becomes the engine's listener. */
export function createBoard(engine: Engine, on: BoardListener): Board {
  const board = new EngineBoard(engine, on.onFailure);
  engine.listen({
    onStep: (step) => board.onStep(step),
    onKv: on.onKv,
    onFailure: (error) => board.onFailure(error),
  });
  return board;
}

class EngineBoard implements Board {
  readonly #engine: Engine;
  readonly #tellFailure: (error: StatorError) => void;
  readonly #opened = new Map<number, Open>();
  readonly #touched = new Set<BoardSink>();
  readonly #watchers: ((metrics: StepMetrics) => void)[] = [];
  #nextId = 1;
  #last: StepMetrics | undefined;
  #failure: StatorError | undefined;

  constructor(engine: Engine, tellFailure: (error: StatorError) => void) {
    this.#engine = engine;
    this.#tellFailure = tellFailure;
  }

  get open() {
    return this.#opened.size;
  }

  get metrics() {
    return this.#last;
  }

  submit(sink: BoardSink, key: number, make: (id: number) => EngineRequest) {
    if (this.#failure) throw this.#failure;
    const id = this.#nextId;
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1;
    if (this.#opened.has(id)) throw new StatorError("OVERLOADED", { what: "requests of the worker" });
    // Known before the engine is, so that nothing it makes during the call could be lost.
    this.#opened.set(id, { sink, key });
    try {
      return { id, admission: this.#engine.submit(make(id)) };
    } catch (error) {
      this.#opened.delete(id);
      throw asStatorError(error);
    }
  }

  cancel(ids: readonly number[], mode: "stop" | "kill"): void {
    this.#engine.cancel(ids, mode);
  }

  onMetrics(call: (metrics: StepMetrics) => void): void {
    this.#watchers.push(call);
  }

  onStep(step: EngineStep): void {
    this.#last = step.metrics;
    this.#deliverTokens(step);
    for (const logprobs of step.logprobs) {
      const open = this.#opened.get(logprobs.id);
      open?.sink.onLogprobs(open.key, logprobs);
    }
    for (const { id, values } of step.embeddings) {
      const open = this.#touch(id);
      open?.sink.onEmbedding(open.key, values);
    }
    for (const end of step.finishes) this.#finish(end);
    this.#endStep(step.metrics);
    for (const call of this.#watchers) call(step.metrics);
  }

  onFailure(error: StatorError): void {
    this.#failure = error;
    for (const id of [...this.#opened.keys()]) this.#finish(failed(id, error));
    this.#endStep(this.#last ?? NO_METRICS);
    this.#tellFailure(error);
  }

  #deliverTokens({ ids, counts, tokens }: EngineStep): void {
    let at = 0;
    for (let entry = 0; entry < ids.length; entry++) {
      const count = counts ? counts[entry]! : 1;
      const open = count > 0 ? this.#touch(ids[entry]!) : undefined;
      open?.sink.onTokens(open.key, tokens.subarray(at, at + count));
      at += count;
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
    open.sink.onFinish(open.key, end);
  }

  #endStep(metrics: StepMetrics): void {
    for (const sink of this.#touched) sink.endStep(metrics);
    this.#touched.clear();
  }
}

const NO_METRICS: StepMetrics = {
  step: 0,
  durationUs: 0,
  prefillTokens: 0,
  prefillContextTokens: 0,
  decodeSequences: 0,
  decodeContextTokens: 0,
  usedBlocks: 0,
  totalBlocks: 0,
  runningRequests: 0,
  waitingRequests: 0,
  waitingTokens: 0,
  exportUs: 0,
  importUs: 0,
};

function failed(id: number, error: StatorError): EngineFinish {
  return { id, reason: "failed", stopToken: undefined, promptTokens: 0, cachedTokens: 0, completionTokens: 0, error };
}
