import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type HealthCheckSchema,
  type HealthRequest,
  type HealthResponse,
  HealthResponseSchema,
  HealthState,
} from "#gen/openengine/v1/lifecycle_pb";
import { EngineRole } from "#gen/openengine/v1/server_pb";
import type { Clock } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import { GREEDY } from "#lib/tokens/sampling";
import type { Board } from "#lib/worker/board";
import type { BoardSink } from "#lib/worker/board-sink";
import { ROLES } from "./describe.ts";
import type { EngineView } from "./engine-view.ts";

/** An engine that does not make one token in this time does not serve. */
const PROBE_MS = 5_000;

const STATES = {
  loading: HealthState.STARTING,
  ready: HealthState.READY,
  draining: HealthState.DRAINING,
  asleep: HealthState.NOT_READY,
  failed: HealthState.NOT_READY,
} as const;

type Check = MessageInitShape<typeof HealthCheckSchema> & { readonly name: string; readonly state: HealthState };

/** Answers Health: the worker's own state, and whatever the caller wants checked. It is ready when every part is. */
export async function checkHealth(
  { served, state, role, clock }: Pick<EngineView, "served" | "state" | "role" | "clock">,
  request: HealthRequest,
): Promise<HealthResponse> {
  const now = state();
  const own = STATES[now.state];
  const { engine, board } = served() ?? {};
  const checks: Check[] = [
    { name: "grpc", state: HealthState.READY, message: "" },
    { name: "model", state: own, message: now.reason },
    { name: "scheduler", state: own, message: now.reason },
  ];
  if (request.model !== "" && engine && request.model !== engine.card.model) {
    const message = new StatorError("MODEL_NOT_FOUND", { model: request.model }).message;
    checks[1] = { name: "model", state: HealthState.NOT_READY, message };
  }
  const { wire, does } = ROLES[role()];
  // A role that is newer than this code counts as unspecified.
  const known: readonly EngineRole[] = Object.values(EngineRole);
  const isNamed = request.role !== EngineRole.UNSPECIFIED && known.includes(request.role);
  if (isNamed && request.role !== wire) {
    checks.push({ name: "role", state: HealthState.NOT_READY, message: `This engine does ${does}.` });
  }
  if (request.includeInferenceProbe) {
    const couldRun = board && own === HealthState.READY;
    const error = couldRun
      ? await probe(board, clock)
      : new StatorError("UNAVAILABLE", { what: "The engine", detail: `it is ${now.state}` });
    const found = error ? HealthState.NOT_READY : HealthState.READY;
    checks.push({ name: "inference_probe", state: found, message: error?.message ?? "" });
  }
  const worst = checks.find((check) => check.state !== HealthState.READY);
  return create(HealthResponseSchema, { state: own === HealthState.READY ? (worst?.state ?? own) : own, checks });
}

/** Generates one token, ahead of everybody. Resolves with why it did not come; a refusal for want of room is none. */
function probe(board: Board, clock: Clock): Promise<StatorError | undefined> {
  return new Promise((resolve) => {
    const onRefused = (error: StatorError): void => {
      timer.cancel();
      resolve(error.reason === "OVERLOADED" ? undefined : error);
    };
    const sink: BoardSink = {
      onRefused: (_, error) => onRefused(error),
      onTokens() {},
      onLogprobs() {},
      onEmbedding() {},
      onFinish(_, { error }) {
        timer.cancel();
        resolve(error);
      },
      endStep() {},
    };
    const timer = clock.after(
      PROBE_MS,
      () => {
        if (id !== undefined) board.cancel([id], "kill");
        resolve(new StatorError("WORKER_STALLED", { stalledMs: PROBE_MS }));
      },
      { keepAlive: true },
    );
    let id: number | undefined;
    try {
      ({ id } = board.submit(sink, 0, { requestId: "health", traceparent: undefined, make: probeRequest }));
    } catch (caught) {
      onRefused(asStatorError(caught));
    }
  });
}

function probeRequest(id: number) {
  return {
    kind: "generate",
    id,
    promptTokens: Uint32Array.of(1),
    generatedTokens: new Uint32Array(0),
    choice: 0,
    sampling: GREEDY,
    stopping: { maxTokens: 1, minTokens: 0, ignoreEos: true, stopTokens: new Uint32Array(0) },
    guidance: undefined,
    topLogprobs: undefined,
    promptLogprobs: false,
    adapter: undefined,
    cacheSalt: "health",
    priority: 0x7fff_ffff,
  } as const;
}
