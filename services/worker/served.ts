import type { StatorError } from "#lib/base/errors";
import { adaptersOf } from "#lib/engines/ability";
import type { Engine, EngineStanding, StepMetrics } from "#lib/engines/engine";
import type { Scope } from "#lib/host/scope";
import type { ChoiceText } from "#lib/serving/choice";
import type { WorkerIdentity } from "#lib/transfer/agent";
import { type Board, createBoard } from "#lib/worker/board";
import { createHandOff, type HandOff } from "#lib/worker/handoff/hand-off";
import type { KvSource } from "#lib/worker/kv-source";
import type { ModelNames } from "#lib/worker/translate";
import { textOf } from "./openengine/output.ts";
import type { WorkerDeps } from "./worker-deps.ts";

/** What there is of a worker once its engine is open. */
export interface Served {
  /** It is open. */
  readonly engine: Engine;
  /** Its requests, whoever asked. */
  readonly board: Board;
  /** Names that requests may ask for. */
  readonly names: ModelNames;
  /** How its tokens become text. */
  readonly text: ChoiceText;
  /** When it was opened. */
  readonly createdUnixSeconds: number;
  /** Undefined where the engine's blocks cannot move. */
  readonly handOff: HandOff | undefined;
}

/** Who is told of what the engine does. It owns nothing of this. */
export interface ServingParts {
  /** What the worker is made of. */
  readonly deps: Pick<WorkerDeps, "clock" | "log" | "tracer" | "transfer">;
  /** Owns the fetches of blocks. */
  readonly scope: Pick<Scope, "spawn">;
  /** Told of what is cached. */
  readonly kvSource: Pick<KvSource, "open" | "publish">;
  /** Who the worker is, as it is now. */
  identity(): WorkerIdentity;
  /** The engine cannot go on. */
  onFailure(error: StatorError): void;
  /** The engine takes nothing for now, or takes requests again. */
  onStanding(standing: EngineStanding): void;
  /** After every step. */
  onMetrics(metrics: StepMetrics): void;
  /** No request is open any more. */
  onIdle(): void;
  /** Something that was kept for other workers was let go. */
  onFreed(): void;
}

/** Opens an engine to callers. Once: it becomes the engine's listener. */
export function serveEngine(engine: Engine, parts: ServingParts): Served {
  const { kvSource, onFailure, onStanding, onMetrics, onIdle, deps } = parts;
  const { transfer, clock } = deps;
  kvSource.open(engine.card);
  const handOff = openHandOff(engine, parts);
  const onKv: Parameters<Engine["listen"]>[0]["onKv"] = (notice) => {
    kvSource.publish(notice);
    if (notice.kind === "stored") transfer?.progressed();
  };
  return {
    engine,
    board: createBoard(engine, { onFailure, onStanding, onMetrics, onIdle, onKv }, deps),
    names: {
      model: engine.card.model,
      hasAdapter: (name) => adaptersOf(engine).some((each) => each.name === name),
    },
    text: textOf(engine),
    createdUnixSeconds: Math.floor(clock.unixMs() / 1000),
    handOff,
  };
}

/** Lends the engine's blocks; undefined where they cannot move. */
function openHandOff(engine: Engine, { deps, scope, identity, onFreed }: ServingParts): HandOff | undefined {
  const { transfer: agent, tracer } = deps;
  const { layout, contextTokens, totalBlocks, modelDigest, hashScheme } = engine.card;
  const { blocks } = engine;
  if (!agent || !blocks || !layout || contextTokens === undefined || totalBlocks === undefined) return undefined;
  agent.serve({ blocks, totalBlocks, layout, modelDigest, hashScheme, identity }, onFreed);
  return createHandOff({ agent, scope, tracer, contextTokens });
}
