import { type AbortRequest, AbortStatus } from "#gen/openengine/v1/lifecycle_pb";
import { Control } from "#gen/openengine/v1/openengine_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { StatorError } from "#lib/base/errors";
import type { Engine } from "#lib/engines/engine";
import { createService, type ServedService } from "#lib/rpc/service";
import type { KvSource } from "#lib/worker/kv-source";
import type { CheckAdapterPath } from "./adapter-folder.ts";
import { createAdapterCalls } from "./adapters.ts";
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
  /** Called when adapters come or go. */
  onAdapters(): Promise<void>;
  /** Decides which files LoadLora may name. */
  readonly checkAdapterPath: CheckAdapterPath;
}

/** openengine.v1.Control over a worker's engine. */
export function createControlService(deps: ControlDeps): ServedService {
  const loaded = (): Engine => {
    const served = deps.served();
    if (served) return served.engine;
    throw new StatorError("MODEL_LOADING", { model: "of this worker" }, { retryAfterMs: 1000 });
  };
  const adapters = createAdapterCalls({
    engineOf: loaded,
    onAdapters: () => deps.onAdapters(),
    checkAdapterPath: deps.checkAdapterPath,
  });
  return createService(
    Control,
    {
      getServerInfo: () => serverInfo(deps, loaded()),
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
      throw new StatorError("NOT_FOUND", { what: "The KV session" });
    default:
      throw new StatorError("INVALID_ARGUMENT", { detail: "target: expected one" });
  }
}
