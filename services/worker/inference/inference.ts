import { create } from "@bufbuild/protobuf";
import { type ModelInferRequest, type ModelInferResponse, ModelInferResponseSchema } from "#gen/inference/infer_pb";
import { createParameter } from "#lib/api/kserve/parameters";
import { printTensors } from "#lib/api/kserve/print-tensors";
import { readTensors } from "#lib/api/kserve/read-tensors";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { giveInputs, takeOutputs, wantOutputs } from "#lib/engines/tensor/check";
import type { Given, MadeTensor, TensorCall, TensorSpecs } from "#lib/engines/tensor/model";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import { pause } from "#lib/host/pause";
import type { Scope } from "#lib/host/scope";
import type { ServedModel, ServedModels } from "./models.ts";
import { readTensorParameters } from "./parameters.ts";
import type { Places } from "./places.ts";
import { RequestLife } from "./request-life.ts";
import type { InferTimes } from "./statistics.ts";

/** What inferences run with. */
export interface InferenceDeps {
  /** What is served. Throws why nothing is: MODEL_LOADING, DRAINING or ENGINE_FAILED. */
  models(): ServedModels;
  /** Where models compute. */
  readonly places: Places;
  /** Bytes of tensors that all open requests bring at most: one more is refused with OVERLOADED, unless it is alone. */
  readonly maxBytes: number;
  /** Aborts when the worker ends. */
  readonly ending: AbortSignal;
  /** Of all its timers and times. */
  readonly clock: Clock;
  /** Told of models that fail. */
  readonly log: Log;
  /** Holds `TENSOR_INSTRUMENTS`. */
  readonly metrics: Metrics;
  /** Waits for models that go on when nobody waits for them any more. */
  readonly scope: Scope;
}

/** How a request came. */
export interface InferCall {
  /** Aborts when its caller is gone. */
  readonly signal: AbortSignal;
  /** It came on a stream: a decoupled model is called only so, and answers can say whether they are the last. */
  readonly onStream: boolean;
}

type Answers = Readonly<Record<string, MadeTensor>>;

/** One request as its model sees it, and what is counted of it. */
interface Run {
  readonly request: ModelInferRequest;
  readonly served: ServedModel;
  readonly inputs: Given<TensorSpecs>;
  readonly call: TensorCall;
  /** Every answer says whether it is the last. */
  readonly finalResponse: boolean;
  readonly times: InferTimes;
}

/** Runs the requests of a worker of tensors. */
export class Inference {
  readonly #deps: InferenceDeps;
  #open = 0;
  #bytes = 0;
  #onIdle: (() => void) | undefined;

  constructor(deps: InferenceDeps) {
    this.#deps = deps;
  }

  /** Requests that have not ended. */
  get open(): number {
    return this.#open;
  }

  /** Calls once when no request is open; at once when none is. */
  whenIdle(call: () => void): void {
    if (this.#open === 0) call();
    else this.#onIdle = call;
  }

  /**
   * Answers one request: once, or on a stream any number of times. A model is asked for its next answer when this one was
   * taken; it has a place only while it computes. Throws a StatorError.
   */
  async *answer(request: ModelInferRequest, { signal, onStream }: InferCall): AsyncGenerator<ModelInferResponse> {
    const { clock, metrics, ending } = this.#deps;
    const beganMs = clock.nowMs();
    const life = new RequestLife(clock, [signal, ending]);
    let served: ServedModel | undefined;
    let bytes = 0;
    let result: "ok" | ReturnType<typeof resultOf> = "cancelled";
    this.#open++;
    try {
      served = this.#deps.models().find(request.modelName, request.modelVersion);
      served.statistics.begin(clock.unixMs());
      const run = this.#read(request, served, life);
      bytes = this.#admit(run);
      if (served.model.stream === undefined) yield await this.#once(run, onStream);
      else if (onStream) yield* this.#stream(run);
      else throw streamOnly(served.name);
      result = "ok";
      served.statistics.succeed(run.times, { rows: rowsOf(run), wholeMs: clock.nowMs() - beganMs });
    } catch (caught) {
      const error = this.#explain(caught, served);
      result = resultOf(error);
      throw error;
    } finally {
      life.close();
      if (result !== "ok") served?.statistics.fail(clock.nowMs() - beganMs);
      metrics.add("stator_worker_tensor_requests_total", 1, { result });
      this.#bytes -= bytes;
      if (--this.#open === 0) this.#onIdle?.();
    }
  }

  #read(request: ModelInferRequest, served: ServedModel, life: RequestLife): Run {
    const { clock } = this.#deps;
    const beganMs = clock.nowMs();
    const { timeoutMs, finalResponse, own } = readTensorParameters(request.parameters);
    if (timeoutMs !== undefined) life.limit(timeoutMs);
    checkOneForm(request);
    const tensors = readTensors(request);
    const { signal } = life;
    const call: TensorCall = {
      id: request.id,
      parameters: own,
      wanted: wantOutputs(
        served.model,
        request.outputs.map(({ name }) => name),
      ),
      signal,
      wait: (ms) => pause(clock, ms, signal),
      refuse(detail) {
        throw new StatorError("INVALID_ARGUMENT", { detail });
      },
    };
    const inputs = giveInputs(served.model, tensors);
    const times = { queueMs: 0, inputMs: clock.nowMs() - beganMs, inferMs: 0, outputMs: 0 };
    return { request, served, inputs, call, finalResponse, times };
  }

  /** Counts the bytes that a request brings, and returns them. */
  #admit({ inputs }: Run): number {
    const bytes = Object.values(inputs).reduce((sum, given) => sum + (given?.data.byteLength ?? 0), 0);
    this.#deps.metrics.add("stator_worker_tensor_bytes_total", bytes, { direction: "in" });
    if (this.#bytes > 0 && this.#bytes + bytes > this.#deps.maxBytes) {
      throw new StatorError("OVERLOADED", { what: "bytes of tensors" });
    }
    this.#bytes += bytes;
    return bytes;
  }

  async #once(run: Run, onStream: boolean): Promise<ModelInferResponse> {
    const { served, inputs, call, finalResponse } = run;
    const { infer } = served.model;
    if (!infer) throw streamOnly(served.name);
    const made = await this.#compute(run, () => infer.call(served.model, inputs, call), false);
    return this.#print(run, made, onStream && finalResponse ? true : undefined);
  }

  async *#stream(run: Run): AsyncGenerator<ModelInferResponse> {
    const { served, inputs, call, finalResponse, times } = run;
    const { model, statistics } = served;
    const iterator = iteratorOf(model.stream?.(inputs, call) ?? []);
    let isDone = false;
    try {
      for (let at = 0; ; at++) {
        const before = { ...times };
        const since = () => ({ inferMs: times.inferMs - before.inferMs, outputMs: times.outputMs - before.outputMs });
        let answer: ModelInferResponse | undefined;
        try {
          const next = await this.#compute(run, () => iterator.next(), at > 0);
          if (next.done) isDone = true;
          else answer = this.#print(run, next.value, finalResponse ? false : undefined);
        } catch (caught) {
          statistics.answer(at, call.signal.aborted ? "cancel" : "fail", since());
          throw caught;
        }
        if (answer) statistics.answer(at, "success", since());
        else if (finalResponse) statistics.answer(at, "empty", since());
        if (answer) yield answer;
        else if (finalResponse) yield this.#print(run, undefined, true);
        if (!answer) return;
      }
    } finally {
      // A model that still computes is told by its signal, and left alone.
      if (!isDone && iterator.return) this.#deps.scope.spawn("leave", async () => void (await iterator.return?.()));
    }
  }

  /**
   * Has a model compute, in a place. Nobody waits for a model longer than for its request; the place is its until it is done.
   */
  async #compute<Result>(run: Run, compute: () => Promise<Result> | Result, again: boolean): Promise<Result> {
    const { clock, places } = this.#deps;
    const { times, call } = run;
    const askedMs = clock.nowMs();
    await places.enter({ signal: call.signal, again });
    const enteredMs = clock.nowMs();
    times.queueMs += enteredMs - askedMs;
    const computed = (async () => compute())().finally(() => places.leave());
    try {
      return await unlessAborted(computed, call.signal);
    } finally {
      times.inferMs += clock.nowMs() - enteredMs;
    }
  }

  /** `isLast` is told to the client unless it is undefined; no answer at all has no outputs. */
  #print(run: Run, made: Answers | undefined, isLast: boolean | undefined): ModelInferResponse {
    const { clock, metrics } = this.#deps;
    const { request, served, call, times } = run;
    const beganMs = clock.nowMs();
    const tensors = made ? takeOutputs(served.model, made, call.wanted) : [];
    for (const { data } of tensors) {
      metrics.add("stator_worker_tensor_bytes_total", data.byteLength, { direction: "out" });
    }
    const response = create(ModelInferResponseSchema, {
      modelName: request.modelName,
      modelVersion: served.version,
      id: request.id,
      parameters: isLast === undefined ? {} : { triton_final_response: createParameter(isLast) },
      // Clients that send typed contents read raw ones all the same, and not all of them typed ones.
      ...printTensors(tensors, "raw"),
    });
    times.outputMs += clock.nowMs() - beganMs;
    return response;
  }

  /** What a model throws that is not an error of ours is its own failure: the log has it, the client its kind alone. */
  #explain(caught: unknown, served: ServedModel | undefined): StatorError {
    if (caught instanceof StatorError) return caught;
    const model = served?.name ?? "";
    this.#deps.log.error("model failed", { model, error: caught });
    const kind = caught instanceof Error ? caught.name : "something that is no error";
    return new StatorError("ENGINE_FAILED", { detail: `the model ${model} threw ${kind}` }, { cause: caught });
  }
}

/** Refuses contents in both forms, before they are counted: clients look for these words. */
function checkOneForm({ modelName, inputs, rawInputContents }: ModelInferRequest): void {
  const both = rawInputContents.length > 0 && inputs.find(({ contents }) => contents);
  if (!both) return;
  const words = "contents field must not be specified when using raw_input_contents";
  const [input, model] = [both.name, modelName].map((name) => name.slice(0, 64));
  throw new StatorError("INVALID_ARGUMENT", { detail: `${words} for '${input}' for model '${model}'` });
}

function streamOnly(model: string): StatorError {
  const detail = "a decoupled model answers any number of times; call it by ModelStreamInfer";
  return new StatorError("UNSUPPORTED_FEATURE", { feature: `ModelInfer of ${model}`, detail });
}

function resultOf({ reason, row }: StatorError): "cancelled" | "overloaded" | "refused" | "failed" {
  if (reason === "CANCELLED" || reason === "DEADLINE") return "cancelled";
  if (reason === "OVERLOADED") return "overloaded";
  return row.blame === "caller" || reason === "MODEL_LOADING" || reason === "DRAINING" ? "refused" : "failed";
}

/** Rows of the batch; 1 where there is none. */
function rowsOf({ served, inputs }: Run): number {
  const [first] = Object.values(inputs);
  return served.model.maxBatch ? (first?.shape[0] ?? 1) : 1;
}

function iteratorOf(answers: AsyncIterable<Answers> | Iterable<Answers>): AsyncIterator<Answers> | Iterator<Answers> {
  return Symbol.asyncIterator in answers ? answers[Symbol.asyncIterator]() : answers[Symbol.iterator]();
}

/** What is computed, or the reason of the signal, whichever is first. */
function unlessAborted<Result>(computed: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
    computed.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
