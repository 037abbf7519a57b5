import { type AbortRequest, AbortStatus } from "#gen/openengine/v1/lifecycle_pb";
import { Control } from "#gen/openengine/v1/openengine_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { StatorError } from "#lib/base/errors";
import type { Engine } from "#lib/engines/engine";
import { createService, type ServedService } from "#lib/rpc/service";
import type { KvSource } from "#lib/worker/kv-source";
import type { AdapterCalls } from "./adapters.ts";
import { loadInfo, modelInfo, serverInfo } from "./describe.ts";
import type { EngineView } from "./engine-view.ts";
import { checkHealth } from "./health.ts";
import { subscribeKvEvents } from "./kv-events.ts";
import type { OpenCalls } from "./open-calls.ts";
import { checkControlBytes } from "./wire-bounds.ts";

/** What the control service looks at. */
export interface ControlDeps extends EngineView {
  /** Those of the inference service, for Abort. */
  readonly calls: OpenCalls;
  /** What SubscribeKvEvents tells. */
  readonly kvSource: KvSource;
  /** Those of the worker, whoever calls. */
  readonly adapters: AdapterCalls;
}

/** openengine.v1.Control over a worker's engine. */
export function createControlService(deps: ControlDeps): ServedService {
  const loaded = () => loadedEngine(deps);
  const { adapters } = deps;
  return createService(
    Control,
    {
      getServerInfo: () => serverInfo(deps, { engine: loaded(), handOff: deps.served()?.handOff }),
      getModelInfo: ({ model }) => modelInfo(loaded(), model),
      getLoad: ({ includePerRank }) => loadInfo(deps, includePerRank),
      health: (request) => checkHealth(deps, request),
      abort: (request) => abort(deps, request),
      loadLora: ({ adapter }) => adapters.load(adapter),
      unloadLora: ({ loraName }) => adapters.unload(loraName),
      listLoras: () => ({ adapters: adapters.list() }),
      // SubscribeKvEvents is the source: nothing is published anywhere else.
      getKvEventSources: () => ({ sources: [] }),
      subscribeKvEvents: (request, call) => subscribeKvEvents(deps.kvSource, request, call.signal),
    },
    { access: Access.PEER, checkBytes: checkControlBytes },
  );
}

/** The engine of a worker. Throws MODEL_LOADING while there is none. */
export function loadedEngine({ served }: Pick<EngineView, "served">): Engine {
  const { engine } = served() ?? {};
  if (engine) return engine;
  throw new StatorError("MODEL_LOADING", { model: "of this worker" }, { retryAfterMs: 1000 });
}

function abort({ calls, served }: ControlDeps, { target }: AbortRequest) {
  switch (target.case) {
    case "requestId": {
      const known = calls.abort(target.value);
      if (known === "unknown") throw new StatorError("NOT_FOUND", { what: `The request ${target.value}` });
      return { status: known === "open" ? AbortStatus.ABORTED : AbortStatus.ALREADY_FINISHED };
    }
    case "allRequests":
      served()?.board.cancelAll();
      return { status: AbortStatus.ABORTED };
    case "kvSession":
      if (served()?.handOff?.release(target.value.sessionId)) return { status: AbortStatus.ABORTED };
      throw new StatorError("NOT_FOUND", { what: "The KV session" });
    default:
      throw new StatorError("INVALID_ARGUMENT", { detail: "target: expected one" });
  }
}
