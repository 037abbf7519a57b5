import type { GenerateRequest } from "#gen/openengine/v1/generation_pb";
import { Inference } from "#gen/openengine/v1/openengine_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import type { KvSession } from "#gen/stator/worker/v1/link_pb";
import type { Clock } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { WorkerRole } from "#lib/discovery/worker-role";
import type { CallContext } from "#lib/rpc/call";
import { createService, type ServedService } from "#lib/rpc/service";
import type { BoardRequest } from "#lib/worker/board-sink";
import type { HandOff } from "#lib/worker/handoff/hand-off";
import type { Served } from "../served.ts";
import { Generation, type GenerationChannel } from "./generation.ts";
import { readHeaders } from "./metadata.ts";
import type { OpenCalls } from "./open-calls.ts";
import { PrefillCall } from "./prefill-call.ts";
import { engineRequest, type OpenEngineAsk, readAsk } from "./request.ts";
import { sessionOf } from "./session.ts";
import { checkGenerateBytes } from "./wire-bounds.ts";

/** What the inference service runs on. */
export interface InferenceDeps {
  /** Throws MODEL_LOADING, DRAINING or ENGINE_FAILED when nothing new can start. */
  serving(): Pick<Served, "engine" | "board" | "names" | "text" | "handOff">;
  /** Of the worker, as it is now. */
  role(): WorkerRole;
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

/** A call that was accepted. */
interface Started {
  /** The send buffer has room again. */
  drained(): void;
}

function openGeneration(deps: InferenceDeps, channel: GenerationChannel, call: CallContext): void {
  let isStarted = false;
  let started: Started | undefined;
  channel.receive({
    onMessage(request) {
      if (isStarted) return;
      isStarted = true;
      try {
        started = start(deps, { request, channel, call });
      } catch (error) {
        // Not accepted: a status and no message.
        channel.end(asStatorError(error));
      }
    },
    onEnd() {
      if (!isStarted) channel.end(new StatorError("INVALID_ARGUMENT", { detail: "Expected one request" }));
    },
    onDrain: () => started?.drained(),
  });
}

/** One call as it came. */
interface Come {
  readonly request: GenerateRequest;
  readonly channel: GenerationChannel;
  readonly call: CallContext;
}

function start(deps: InferenceDeps, come: Come): Started {
  const { engine, names, handOff } = deps.serving();
  const { request, call } = come;
  const ask = readAsk(request, { engine, names, ...readHeaders(call), seed: deps.drawSeed() });
  const isPrefill = deps.role() === "prefill";
  const session = request.kv?.session && sessionOf(request.kv.session, ask, { handOff, isPrefill });
  if (isPrefill && handOff) return startPrefill(deps, come, { ask, handOff });
  return startGeneration(deps, come, {
    ask,
    partOf: (choice) => partOf(ask, choice, session && { session, handOff }),
  });
}

/** How the board is asked for one choice: at once, or when what it goes on from is here. */
function partOf(
  ask: OpenEngineAsk,
  choice: number,
  from: { session: KvSession; handOff: HandOff | undefined } | undefined,
): Pick<BoardRequest, "make" | "part"> {
  const make = (id: number) => engineRequest(ask, id, choice);
  if (!from?.handOff) return { make };
  const { requestId, traceparent } = ask;
  return from.handOff.goOn(make(0), { from, requestId, traceparent });
}

/** Makes a call known to Abort, and ended when its caller goes. Throws ALREADY_EXISTS. */
function enter(
  { calls }: InferenceDeps,
  { requestId, call }: { requestId: string; call: CallContext },
  opened: { onDone: () => void; cancel(mode: "stop" | "kill"): void; gone(): void },
): void {
  if (!calls.add(requestId, { abort: () => opened.cancel("stop") })) {
    throw new StatorError("ALREADY_EXISTS", { what: `The request ${requestId}` });
  }
  opened.onDone = () => calls.remove(requestId);
  call.signal.addEventListener("abort", () => opened.gone(), { once: true });
}

function startGeneration(
  deps: InferenceDeps,
  { channel, call }: Come,
  { ask, partOf }: { ask: OpenEngineAsk; partOf: (choice: number) => Pick<BoardRequest, "make" | "part"> },
): Generation {
  const { board, text } = deps.serving();
  const { requestId, traceparent } = ask;
  const generation = new Generation(ask, { text, channel, clock: deps.clock, cancel: board.cancel.bind(board) });
  enter(deps, { requestId, call }, generation);
  try {
    for (let choice = 0; choice < ask.choicesPerPrompt; choice++) {
      const { make, part } = partOf(choice);
      const { id } = board.submit(generation, choice, { requestId, traceparent, make, ...(part && { part }) });
      generation.open.set(choice, id);
    }
  } catch (error) {
    generation.abandon();
    throw error;
  }
  if (call.signal.aborted) generation.gone();
  return generation;
}

/** However many answers are asked for: they have one prompt. */
function startPrefill(
  deps: InferenceDeps,
  { channel, call }: Come,
  { ask, handOff }: { ask: OpenEngineAsk; handOff: HandOff },
): PrefillCall {
  const { board } = deps.serving();
  const { requestId, traceparent } = ask;
  const leg = handOff.compute(engineRequest(ask, 0, 0));
  const prefill = new PrefillCall(requestId, { leg, channel, cancel: board.cancel.bind(board) });
  enter(deps, { requestId, call }, prefill);
  try {
    prefill.id = board.submit(prefill, 0, { requestId, traceparent, part: leg.part, make: leg.make }).id;
  } catch (error) {
    prefill.onDone();
    throw error;
  }
  if (call.signal.aborted) prefill.gone();
  return prefill;
}
