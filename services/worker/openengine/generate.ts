import type { GenerateRequest } from "#gen/openengine/v1/generation_pb";
import { Inference } from "#gen/openengine/v1/openengine_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import type { Clock } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Engine } from "#lib/engines/engine";
import type { CallContext } from "#lib/rpc/call";
import { createService, type ServedService } from "#lib/rpc/service";
import type { ChoiceText } from "#lib/serving/choice";
import type { Board } from "#lib/worker/board";
import type { ModelNames } from "#lib/worker/translate";
import { Generation, type GenerationChannel } from "./generation.ts";
import { readHeaders } from "./metadata.ts";
import type { OpenCalls } from "./open-calls.ts";
import { engineRequest, readAsk } from "./request.ts";
import { checkGenerateBytes } from "./wire-bounds.ts";

/** What the inference service runs on. */
export interface InferenceDeps {
  /** Throws MODEL_LOADING, DRAINING or ENGINE_FAILED when nothing new can start. */
  serving(): { engine: Engine; board: Board; names: ModelNames; text: ChoiceText };
  /** Each call is in it while it runs, so that Abort finds it. */
  readonly calls: OpenCalls;
  /** For the time that a caller has who does not read. */
  readonly clock: Clock;
  /** Key of the draws for a request that names none. */
  drawSeed(): bigint;
}

/** openengine.v1.Inference: each call is a group of sequences on the same board as the links' requests. */
export function createInferenceService(deps: InferenceDeps): ServedService {
  return createService(
    Inference,
    { generate: { open: (channel, call) => openGeneration(deps, channel, call) } },
    { access: Access.PEER, checkBytes: checkGenerateBytes },
  );
}

function openGeneration(deps: InferenceDeps, channel: GenerationChannel, call: CallContext): void {
  let started = false;
  let generation: Generation | undefined;
  channel.receive({
    onMessage(request) {
      if (started) return;
      started = true;
      try {
        generation = startGeneration(deps, { request, channel, call });
      } catch (error) {
        // Not accepted: a status and no message.
        channel.end(asStatorError(error));
      }
    },
    onEnd() {
      if (!started) channel.end(new StatorError("INVALID_ARGUMENT", { detail: "Expected one request" }));
    },
    onDrain: () => generation?.drained(),
  });
}

function startGeneration(
  deps: InferenceDeps,
  { request, channel, call }: { request: GenerateRequest; channel: GenerationChannel; call: CallContext },
): Generation {
  const { engine, board, names, text } = deps.serving();
  const { priority, traceparent } = readHeaders(call);
  const ask = readAsk(request, { engine, names, priority, traceparent, seed: deps.drawSeed() });
  const { requestId } = ask;
  const generation = new Generation(ask, { text, channel, clock: deps.clock, cancel: board.cancel.bind(board) });
  if (!deps.calls.add(requestId, { abort: () => generation.cancel("stop") })) {
    throw new StatorError("ALREADY_EXISTS", { what: `The request ${requestId}` });
  }
  generation.onDone = () => deps.calls.remove(requestId);
  try {
    for (let choice = 0; choice < ask.choicesPerPrompt; choice++) {
      const make = (id: number) => engineRequest(ask, id, choice);
      const { id } = board.submit(generation, choice, { requestId, traceparent, make });
      generation.open.set(choice, id);
    }
  } catch (error) {
    generation.abandon();
    throw error;
  }
  if (call.signal.aborted) generation.gone();
  else call.signal.addEventListener("abort", () => generation.gone(), { once: true });
  return generation;
}
