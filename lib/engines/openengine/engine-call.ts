import { create } from "@bufbuild/protobuf";
import { ErrorCode } from "#gen/openengine/v1/error_pb";
import {
  type GenerateRequest as AskMessage,
  GenerateRequestSchema,
  type GenerateResponse,
} from "#gen/openengine/v1/generation_pb";
import { Inference } from "#gen/openengine/v1/openengine_pb";
import type { Clock, Timer } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { DuplexChannel } from "#lib/rpc/stream";
import type { Transport } from "#lib/rpc/transport";
import type { EngineFinish, GenerateRequest } from "../engine.ts";
import { Answer, type AnswerPart } from "./answer.ts";
import { type AskTarget, printAsk } from "./ask.ts";
import { contractFault, readStatus } from "./faults.ts";
import type { OpenEngineLimits } from "./limits.ts";

/** Who hears of a call. Nothing comes from inside `open`. */
export interface CallListener {
  /** The engine has taken the request; before its first part. */
  onTaken(): void;
  /** What a message added. */
  onPart(part: AnswerPart): void;
  /** The last thing: it ended. `isLost`: the connection was lost. */
  onFinish(finish: EngineFinish, isLost: boolean): void;
  /** The last thing: the engine refused it, and nothing ran. */
  onRefused(error: StatorError): void;
}

/** What a call is made with. */
export interface CallDeps {
  /** To the engine. Borrowed. */
  readonly transport: Transport;
  /** Of the time that it has for ending a stream. */
  readonly clock: Clock;
  /** Bounds of the answer, and that time. */
  readonly limits: Pick<OpenEngineLimits, "answerUnits" | "lingerMs">;
  /** Whom it is printed for. */
  readonly target: AskTarget;
  /** It reads the header of a request's urgency. */
  readonly readsPriority: boolean;
  /** Of its model; undefined where nobody knows. */
  readonly vocabularySize: number | undefined;
  /** Has the stream of a call cut that is over here and not at the engine; calls `reset` when it is its turn. */
  resetInTurn(call: EngineCall): void;
}

/** One request at the engine: a call of Generate from its message to its status. */
export class EngineCall {
  /** Its name at the engine. */
  readonly requestId: string;
  readonly request: GenerateRequest;
  readonly #deps: CallDeps;
  readonly #listener: CallListener;
  readonly #answer: Answer;
  readonly #channel: DuplexChannel<AskMessage, GenerateResponse>;
  #isTaken = false;
  #isCancelled = false;
  #isOver = false;
  /** What its last message said, until the status behind it has come. */
  #last: EngineFinish | undefined;
  #linger: Timer | undefined;

  /** Sends the request. */
  constructor(about: { request: GenerateRequest; requestId: string }, deps: CallDeps, listener: CallListener) {
    const { request, requestId } = about;
    this.request = request;
    this.requestId = requestId;
    this.#deps = deps;
    this.#listener = listener;
    this.#answer = new Answer(request, requestId, { ...deps.limits, vocabularySize: deps.vocabularySize });
    const isUrgent = deps.readsPriority && request.priority !== 0;
    const metadata = isUrgent ? { "openengine-priority": `${request.priority}` } : undefined;
    this.#channel = deps.transport.open(Inference.method.generate, metadata ? { metadata } : {});
    this.#channel.receive({
      onMessage: (message) => this.#hear(message),
      onEnd: (error) => this.#end(error),
    });
    this.#channel.send(create(GenerateRequestSchema, printAsk(request, { requestId, target: deps.target })));
    this.#channel.end();
  }

  /** Its listener has heard the last of it. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The engine is being told to end it. */
  cancelled(): void {
    this.#isCancelled = true;
  }

  /** The engine does not end it: whoever asked hears that it ended, and `reset` is to be called in time. */
  giveUp(): void {
    if (!this.#isOver) this.#finish(this.#answer.cancelled(), false);
  }

  /** Nobody listens any more; the stream ends with its session. */
  abandon(): void {
    this.#linger?.cancel();
    this.#isOver = true;
  }

  /** Cuts the stream. */
  reset(): void {
    this.abandon();
    this.#channel.end(new StatorError("CANCELLED"));
  }

  #hear(message: GenerateResponse): void {
    if (this.#isOver) return;
    if (!this.#isTaken) {
      this.#isTaken = true;
      this.#listener.onTaken();
    }
    try {
      const part = this.#answer.read(message);
      const { finish } = this.#answer;
      if (!finish) {
        this.#listener.onPart(part);
        return;
      }
      const isCancel = message.event.case === "error" && message.event.value.code === ErrorCode.CANCELLED;
      this.#last = isCancel ? this.#answer.cancelled() : finish;
      // The status comes right behind; what comes in its place is a fault that can still be told.
      this.#linger = this.#deps.clock.after(this.#deps.limits.lingerMs, () => {
        this.#finish(this.#lastAsAsked(), false);
        this.#deps.resetInTurn(this);
      });
    } catch (caught) {
      this.#finish(this.#answer.failed(asStatorError(caught)), false);
      this.#deps.resetInTurn(this);
    }
  }

  /** A cancel that nobody here asked for is no end of an answer. */
  #lastAsAsked(): EngineFinish {
    const last = this.#last!;
    if (last.reason !== "cancelled" || this.#isCancelled) return last;
    return this.#answer.failed(new StatorError("ENGINE_FAILED", { detail: "somebody else ended the request there" }));
  }

  #end(caught: StatorError | undefined): void {
    this.#linger?.cancel();
    if (this.#isOver) return;
    if (!caught && this.#last) this.#finish(this.#lastAsAsked(), false);
    else if (!caught)
      this.#finish(this.#answer.failed(contractFault("a stream ended without an end of its answer")), false);
    else if (this.#last) this.#finish(this.#answer.failed(contractFault("an answer ended and then failed")), false);
    else this.#fail(caught);
  }

  #fail(caught: StatorError): void {
    const { isSaid, error } = readStatus(caught);
    if (isSaid && !this.#isTaken) {
      this.#isOver = true;
      this.#listener.onRefused(error);
      return;
    }
    const isCancel = this.#isCancelled && error.reason === "CANCELLED";
    this.#finish(isCancel ? this.#answer.cancelled() : this.#answer.failed(error), !isSaid);
  }

  #finish(finish: EngineFinish, isLost: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#listener.onFinish(finish, isLost);
  }
}
