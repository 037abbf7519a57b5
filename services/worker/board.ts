import { asStatorError, StatorError } from "#lib/base/errors";
import type {
  Admission,
  Engine,
  EngineFinish,
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

/** A board over an engine; it becomes the engine's listener. `onFailure` is told once when the engine cannot go on. */
export function createBoard(
  engine: Engine,
  on: { onFailure(error: StatorError): void; onKv: Parameters<Engine["listen"]>[0]["onKv"] },
): Board {
  const opened = new Map<number, Open>();
  const touched = new Set<BoardSink>();
  const watchers: ((metrics: StepMetrics) => void)[] = [];
  let nextId = 1;
  let last: StepMetrics | undefined;
  let failure: StatorError | undefined;

  const finish = (end: EngineFinish): void => {
    const open = opened.get(end.id);
    if (!open) return;
    opened.delete(end.id);
    touched.add(open.sink);
    open.sink.onFinish(open.key, end);
  };

  const onStep = (step: EngineStep): void => {
    last = step.metrics;
    let at = 0;
    for (let entry = 0; entry < step.ids.length; entry++) {
      const count = step.counts ? step.counts[entry]! : 1;
      const open = opened.get(step.ids[entry]!);
      if (open && count > 0) {
        touched.add(open.sink);
        open.sink.onTokens(open.key, step.tokens.subarray(at, at + count));
      }
      at += count;
    }
    for (const logprobs of step.logprobs) {
      const open = opened.get(logprobs.id);
      open?.sink.onLogprobs(open.key, logprobs);
    }
    for (const { id, values } of step.embeddings) {
      const open = opened.get(id);
      if (!open) continue;
      touched.add(open.sink);
      open.sink.onEmbedding(open.key, values);
    }
    for (const end of step.finishes) finish(end);
    for (const sink of touched) sink.endStep(step.metrics);
    touched.clear();
    for (const call of watchers) call(step.metrics);
  };

  const onFailure = (error: StatorError): void => {
    failure = error;
    const metrics = last ?? NO_METRICS;
    for (const id of [...opened.keys()]) finish(failed(id, error));
    for (const sink of touched) sink.endStep(metrics);
    touched.clear();
    on.onFailure(error);
  };

  engine.listen({ onStep, onKv: on.onKv, onFailure });
  return {
    get open() {
      return opened.size;
    },
    get metrics() {
      return last;
    },
    submit(sink, key, make) {
      if (failure) throw failure;
      const id = nextId;
      nextId = nextId === 0xffff_ffff ? 1 : nextId + 1;
      if (opened.has(id)) throw new StatorError("OVERLOADED", { what: "requests of the worker" });
      // Known before the engine is, so that nothing it makes during the call could be lost.
      opened.set(id, { sink, key });
      try {
        return { id, admission: engine.submit(make(id)) };
      } catch (error) {
        opened.delete(id);
        throw asStatorError(error);
      }
    },
    cancel: (ids, mode) => engine.cancel(ids, mode),
    onMetrics: (call) => void watchers.push(call),
  };
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
