import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { ErrorCode } from "#gen/openengine/v1/error_pb";
import {
  FinishReason,
  type GenerateRequest,
  type GenerateResponse,
  GenerateResponseSchema,
} from "#gen/openengine/v1/generation_pb";
import { Inference } from "#gen/openengine/v1/openengine_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { asStatorError, type Reason, StatorError } from "#lib/base/errors";
import type { Engine, EngineFinish, EngineLogprobs } from "#lib/engines/engine";
import type { CallContext } from "#lib/rpc/call";
import { createService, type ServedService } from "#lib/rpc/service";
import { type DuplexChannel, SEND_BUFFER_BYTES } from "#lib/rpc/stream";
import type { PieceTexts } from "#lib/text/detokenizer";
import type { Board, BoardSink } from "../board.ts";
import type { ModelNames } from "../translate.ts";
import type { OpenCalls } from "./open-calls.ts";
import { createOutput, type Output } from "./output.ts";
import { type GenerationPlan, planGeneration } from "./request.ts";

/** A caller whose send buffer holds so much has stopped reading. */
const STALLED_BYTES = 16 * SEND_BUFFER_BYTES;

type Channel = DuplexChannel<GenerateResponse, GenerateRequest>;

/** What the inference service runs on. */
export interface InferenceDeps {
  /** Throws MODEL_LOADING or DRAINING when nothing new can start. */
  serving(): { engine: Engine; board: Board; names: ModelNames; texts: PieceTexts | undefined };
  readonly calls: OpenCalls;
  /** Key of the draws for a request that names none. */
  drawSeed(): bigint;
}

/** openengine.v1.Inference: each call is a group of sequences on the same board as the links' requests. */
export function createInferenceService(deps: InferenceDeps): ServedService {
  return createService(
    Inference,
    { generate: { open: (channel, call) => openGeneration(deps, channel, call) } },
    { access: Access.PEER },
  );
}

function openGeneration(deps: InferenceDeps, channel: Channel, call: CallContext): void {
  let started = false;
  channel.receive({
    onMessage(request) {
      if (started) return;
      started = true;
      try {
        startGeneration(deps, request, channel, call);
      } catch (error) {
        // Not accepted: a status and no message.
        channel.end(asStatorError(error));
      }
    },
    onEnd() {
      if (!started) channel.end(new StatorError("INVALID_ARGUMENT", { detail: "Expected one request" }));
    },
  });
}

function startGeneration(deps: InferenceDeps, request: GenerateRequest, channel: Channel, call: CallContext): void {
  const { engine, board, names, texts } = deps.serving();
  const plan = planGeneration(request, { engine, names, priority: readMetadata(call), seed: deps.drawSeed() });
  const generation = new Generation(plan, texts, channel);
  const abort = (mode: "stop" | "kill") => board.cancel([...generation.open.values()], mode);
  if (!deps.calls.add(plan.requestId, { abort: () => abort("stop") })) {
    throw new StatorError("ALREADY_EXISTS", { what: `The request ${plan.requestId}` });
  }
  const onAbort = (): void => abort("kill");
  generation.onDone = () => {
    deps.calls.remove(plan.requestId);
    call.signal.removeEventListener("abort", onAbort);
  };
  generation.stop = (id) => board.cancel([id], "stop");
  try {
    for (let choice = 0; choice < plan.sequences; choice++) {
      const { id } = board.submit(generation, choice, (own) => ({ ...plan.base, id: own, choice }));
      generation.open.set(choice, id);
    }
  } catch (error) {
    abort("kill");
    generation.onDone();
    generation.silence();
    throw error;
  }
  if (call.signal.aborted) onAbort();
  else call.signal.addEventListener("abort", onAbort);
}

/** Reads the metadata of openengine.v1: each key at most once, and well formed. Returns the priority. */
function readMetadata(call: CallContext): number {
  const single = (name: string, pattern: RegExp): string | undefined => {
    const values = call.metadata.all(name);
    if (values.length > 1 || (values[0] !== undefined && !pattern.test(values[0]))) {
      throw new StatorError("INVALID_ARGUMENT", { detail: `${name}: expected one well-formed value` });
    }
    return values[0];
  };
  single("openengine-routing-key", /^.{0,1024}$/);
  single("traceparent", /^[0-9a-f]{2}(-[0-9a-f]+)+$/);
  const rank = single("openengine-target-dp-rank", /^\d{1,10}$/);
  if (rank !== undefined && rank !== "0") {
    throw new StatorError("INVALID_ARGUMENT", { detail: "openengine-target-dp-rank: this worker has rank 0 only" });
  }
  const priority = Number(single("openengine-priority", /^-?\d{1,10}$/) ?? "0");
  if (priority !== Math.trunc(priority) || Math.abs(priority) > 0x7fff_ffff) {
    throw new StatorError("INVALID_ARGUMENT", { detail: "openengine-priority: expected a 32-bit number" });
  }
  return priority;
}

type Event = NonNullable<MessageInitShape<typeof GenerateResponseSchema>["event"]>;

/** One call: its outputs, what of it still runs, and the one way in which it ends. */
class Generation implements BoardSink {
  /** Engine id of each output that runs. */
  readonly open = new Map<number, number>();
  onDone: () => void = () => {};
  stop: (id: number) => void = () => {};
  readonly #requestId: string;
  readonly #channel: Channel;
  readonly #outputs: readonly Output[];
  readonly #logprobs = new Map<number, EngineLogprobs>();
  readonly #usage: { promptTokens: number; completionTokens: number; totalTokens: number; cachedPromptTokens: number };
  #silent = false;

  constructor(plan: GenerationPlan, texts: PieceTexts | undefined, channel: Channel) {
    this.#requestId = plan.requestId;
    this.#channel = channel;
    this.#outputs = Array.from({ length: plan.sequences }, () => createOutput(plan, texts));
    const promptTokens = plan.base.promptTokens.length;
    this.#usage = { promptTokens, completionTokens: 0, totalTokens: 0, cachedPromptTokens: 0 };
  }

  /** Sends nothing more. */
  silence(): void {
    this.#silent = true;
  }

  onTokens(index: number, tokens: Uint32Array): void {
    this.#outputs[index]!.push(tokens);
  }

  onLogprobs(index: number, logprobs: EngineLogprobs): void {
    this.#logprobs.set(index, logprobs);
  }

  onEmbedding(): void {}

  onFinish(index: number, finish: EngineFinish): void {
    this.open.delete(index);
    if (finish.error) {
      this.#fail(finish.error);
      return;
    }
    const output = this.#outputs[index]!;
    output.end();
    this.#flush(index);
    const usage = this.#usage;
    usage.completionTokens += finish.completionTokens;
    usage.cachedPromptTokens = Math.max(usage.cachedPromptTokens, finish.cachedTokens);
    usage.totalTokens = usage.promptTokens + usage.completionTokens;
    const last = this.open.size === 0;
    this.#send({ case: "finished", value: { outputIndex: index, ...finishOf(finish, output) } }, last);
    if (last) this.#done();
  }

  endStep(): void {
    for (const index of this.open.keys()) this.#flush(index);
    if (this.#silent || this.#channel.bufferedBytes <= STALLED_BYTES) return;
    this.#fail(new StatorError("OVERLOADED", { what: "unread output" }));
  }

  #flush(index: number): void {
    const output = this.#outputs[index]!;
    if (output.empty) return;
    const delta = output.take(this.#logprobs.get(index));
    this.#logprobs.delete(index);
    this.#send({ case: "token", value: { outputIndex: index, ...delta } });
    const id = this.open.get(index);
    if (output.stopText !== undefined && id !== undefined) this.stop(id);
  }

  #send(event: Event, last = false): void {
    if (this.#silent) return;
    const usage = last ? this.#usage : undefined;
    this.#channel.send(create(GenerateResponseSchema, { requestId: this.#requestId, event, usage }));
  }

  #fail(error: StatorError): void {
    const code = engineErrorCode(error.reason);
    this.#send(
      { case: "error", value: { code, message: error.message, retryable: error.row.retry !== "never" } },
      true,
    );
    this.#done();
    for (const id of this.open.values()) this.stop(id);
  }

  #done(): void {
    this.onDone();
    if (!this.#silent) this.#channel.end();
    this.#silent = true;
  }
}

function finishOf(finish: EngineFinish, output: Output) {
  if (output.stopText !== undefined) {
    return { reason: FinishReason.STOP, stopMatch: { match: { case: "stopText" as const, value: output.stopText } } };
  }
  const token = finish.stopToken ?? 0;
  switch (finish.reason) {
    case "stop_token":
      return { reason: FinishReason.STOP, stopMatch: { match: { case: "stopTokenId" as const, value: token } } };
    case "length":
      return { reason: FinishReason.LENGTH };
    case "cancelled":
      return { reason: FinishReason.CANCELLED, message: "The request was aborted." };
    default:
      return { reason: FinishReason.STOP, stopMatch: { match: { case: "eosTokenId" as const, value: token } } };
  }
}

const ERROR_CODES: Partial<Record<Reason, ErrorCode>> = {
  INVALID_ARGUMENT: ErrorCode.INVALID_ARGUMENT,
  INVALID_GRAMMAR: ErrorCode.INVALID_ARGUMENT,
  CONTEXT_LENGTH: ErrorCode.INVALID_ARGUMENT,
  UNSUPPORTED_FEATURE: ErrorCode.UNSUPPORTED_FEATURE,
  MODEL_NOT_FOUND: ErrorCode.MODEL_NOT_FOUND,
  OVERLOADED: ErrorCode.OVERLOADED,
  CANCELLED: ErrorCode.CANCELLED,
  DRAINING: ErrorCode.DRAINING,
};

function engineErrorCode(reason: Reason): ErrorCode {
  return ERROR_CODES[reason] ?? ErrorCode.INTERNAL;
}
