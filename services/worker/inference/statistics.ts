import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ModelStatisticsSchema } from "#gen/inference/statistics_pb";

/** How often something happened and how long it took, in all. */
class Duration {
  count = 0;
  ms = 0;

  add(ms: number, times = 1): void {
    this.count += times;
    this.ms += ms;
  }

  print() {
    return { count: BigInt(this.count), ns: BigInt(Math.round(this.ms * 1e6)) };
  }
}

/** Where the time of one request went, in milliseconds. */
export interface InferTimes {
  /** Waiting for places. */
  queueMs: number;
  /** Reading its tensors. */
  inputMs: number;
  /** In the model. */
  inferMs: number;
  /** Making its answers to messages. */
  outputMs: number;
}

/** How one answer of a request ended. */
export type AnswerEnd = "success" | "fail" | "empty" | "cancel";

/** Answers of one position in the streams of a model. */
interface Position {
  readonly infer: Duration;
  readonly output: Duration;
  readonly ends: Readonly<Record<AnswerEnd, Duration>>;
}

/** Positions that are counted by themselves; answers beyond are counted with the last. */
const MOST_POSITIONS = 64;

/** What one model did since its worker opened it. */
export class InferStatistics {
  readonly #success = new Duration();
  readonly #fail = new Duration();
  readonly #queue = new Duration();
  readonly #input = new Duration();
  readonly #infer = new Duration();
  readonly #output = new Duration();
  readonly #positions: Position[] = [];
  readonly #mostPositions: number;
  #rows = 0;
  #executions = 0;
  #lastUnixMs = 0;

  constructor(mostPositions: number = MOST_POSITIONS) {
    this.#mostPositions = mostPositions;
  }

  /** A request came. */
  begin(unixMs: number): void {
    this.#lastUnixMs = unixMs;
  }

  /** A request was answered, after so long in all; a batch has several rows. */
  succeed(times: InferTimes, { rows, wholeMs }: { readonly rows: number; readonly wholeMs: number }): void {
    this.#rows += rows;
    this.#executions++;
    this.#success.add(wholeMs);
    this.#queue.add(times.queueMs);
    this.#input.add(times.inputMs);
    this.#infer.add(times.inferMs);
    this.#output.add(times.outputMs);
  }

  /** A request failed or was left, after so long in all. */
  fail(wholeMs: number): void {
    this.#fail.add(wholeMs);
  }

  /** An answer of a stream, by its position from 0. */
  answer(at: number, end: AnswerEnd, { inferMs, outputMs }: Pick<InferTimes, "inferMs" | "outputMs">): void {
    const place = Math.min(at, this.#mostPositions - 1);
    const position = this.#positions[place] ?? newPosition();
    this.#positions[place] = position;
    position.infer.add(inferMs);
    position.output.add(outputMs);
    position.ends[end].add(inferMs + outputMs);
  }

  /** As the protocol tells of it. */
  print(name: string, version: string): MessageInitShape<typeof ModelStatisticsSchema> {
    return {
      name,
      version,
      lastInference: BigInt(this.#lastUnixMs),
      inferenceCount: BigInt(this.#rows),
      executionCount: BigInt(this.#executions),
      inferenceStats: {
        success: this.#success.print(),
        fail: this.#fail.print(),
        queue: this.#queue.print(),
        computeInput: this.#input.print(),
        computeInfer: this.#infer.print(),
        computeOutput: this.#output.print(),
        cacheHit: NONE,
        cacheMiss: NONE,
      },
      responseStats: Object.fromEntries(this.#positions.map((position, at) => [at, printPosition(position)])),
    };
  }
}

/** There is no cache of answers. */
const NONE = { count: 0n, ns: 0n };

function newPosition(): Position {
  const ends = { success: new Duration(), fail: new Duration(), empty: new Duration(), cancel: new Duration() };
  return { infer: new Duration(), output: new Duration(), ends };
}

function printPosition({ infer, output, ends }: Position) {
  return {
    computeInfer: infer.print(),
    computeOutput: output.print(),
    success: ends.success.print(),
    fail: ends.fail.print(),
    emptyResponse: ends.empty.print(),
    cancel: ends.cancel.print(),
  };
}
