import type { MessageInitShape } from "@bufbuild/protobuf";
import { AbortStatus, type HealthCheckSchema, HealthState } from "#gen/openengine/v1/lifecycle_pb";
import type { LoraAdapterSchema } from "#gen/openengine/v1/lora_pb";
import { CandidateTokenSelectionMode, GuidedDecodingMode } from "#gen/openengine/v1/model_pb";
import { Control } from "#gen/openengine/v1/openengine_pb";
import { EngineRole } from "#gen/openengine/v1/server_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { printId } from "#lib/base/bytes";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Engine, LoadedAdapter } from "#lib/engines/engine";
import { createService, type ServedService } from "#lib/rpc/service";
import type { Board } from "../board.ts";
import type { WorkerState } from "../record.ts";
import type { KvFeed } from "./kv-feed.ts";
import type { OpenCalls } from "./open-calls.ts";
import { MAX_SEQUENCES } from "./request.ts";

/** Revision of openengine.v1 that this worker serves. */
const SCHEMA_REVISION = 1;

/** What the control service looks at. */
export interface ControlDeps {
  /** undefined while the model loads. */
  engine(): Engine | undefined;
  board(): Board | undefined;
  state(): WorkerState;
  readonly calls: OpenCalls;
  readonly kvFeed: KvFeed;
  readonly instanceId: bigint;
  readonly version: string;
  readonly clock: Clock;
  /** Called after adapters changed. */
  onAdapters(): Promise<void>;
}

/** openengine.v1.Control over a worker's engine. */
export function createControlService(deps: ControlDeps): ServedService {
  const loaded = (): Engine => {
    const engine = deps.engine();
    if (engine) return engine;
    throw new StatorError("MODEL_LOADING", { model: "of this worker" }, { retryAfterMs: 1000 });
  };
  const adapters = createAdapterIds();
  return createService(
    Control,
    {
      getServerInfo: () => serverInfo(deps, loaded()),
      getModelInfo: ({ model }) => modelInfo(loaded(), model),
      getLoad: ({ includePerRank }) => loadInfo(deps, includePerRank),
      health: () => health(deps),
      abort(request) {
        const { target } = request;
        if (target.case === undefined) throw new StatorError("INVALID_ARGUMENT", { detail: "target: expected one" });
        if (target.case === "kvSession") throw new StatorError("NOT_FOUND", { what: "The KV session" });
        if (target.case === "allRequests") {
          deps.calls.abortAll();
          return { status: AbortStatus.ABORTED };
        }
        const known = deps.calls.abort(target.value);
        if (known === "unknown") throw new StatorError("NOT_FOUND", { what: `The request ${target.value}` });
        return { status: known === "open" ? AbortStatus.ABORTED : AbortStatus.ALREADY_FINISHED };
      },
      async loadLora({ adapter }) {
        if (!adapter || adapter.loraName === "" || !adapter.sourcePath.startsWith("/") || adapter.loraId <= 0n) {
          throw new StatorError("INVALID_ARGUMENT", {
            detail: "adapter: expected a name, an id above 0 and an absolute source_path",
          });
        }
        adapters.check(adapter.loraName, adapter.loraId);
        const done = await loaded().loadAdapter(adapter.loraName, adapter.sourcePath);
        adapters.remember(adapter.loraName, adapter.loraId);
        await deps.onAdapters();
        return { adapter: adapters.print(done.adapter), alreadyLoaded: done.alreadyLoaded };
      },
      async unloadLora({ loraName }) {
        const adapter = adapters.print(await loaded().unloadAdapter(loraName));
        adapters.forget(loraName);
        await deps.onAdapters();
        return { adapter };
      },
      listLoras: () => ({ adapters: loaded().adapters().map(adapters.print) }),
      getKvEventSources: () => ({ sources: [] }),
      subscribeKvEvents: (request, call) => deps.kvFeed.subscribe(request, call),
    },
    { access: Access.PEER },
  );
}

/** openengine.v1 numbers adapters; the engine names them. */
function createAdapterIds() {
  const ids = new Map<string, bigint>();
  return {
    check(name: string, id: bigint): void {
      const other = [...ids].find(([each, taken]) => (each === name) !== (taken === id));
      if (other) throw new StatorError("ALREADY_EXISTS", { what: `The adapter ${other[0]} with id ${other[1]}` });
    },
    remember: (name: string, id: bigint) => void ids.set(name, id),
    forget: (name: string) => void ids.delete(name),
    print: ({ name, path }: LoadedAdapter): MessageInitShape<typeof LoraAdapterSchema> => ({
      loraId: ids.get(name) ?? 0n,
      loraName: name,
      sourcePath: path,
    }),
  };
}

function serverInfo({ instanceId, version }: ControlDeps, { card }: Engine) {
  return {
    engineName: `stator-${card.engine}`,
    engineVersion: version,
    engineRole: EngineRole.AGGREGATED,
    instanceId: printId(instanceId),
    supportedModels: [card.model],
    parallelism: { tensorParallelSize: 1, pipelineParallelSize: 1, dataParallelSize: 1, dataParallelRank: 0 },
    kvConnector: { enabled: false },
    schemaRevision: SCHEMA_REVISION,
    minimumClientRevision: SCHEMA_REVISION,
    schemaRelease: "v1",
    capacity: {
      kvBlockSize: card.blockTokens,
      totalKvBlocks: BigInt(card.totalBlocks),
      maxRunningRequests: BigInt(card.maxRunningRequests),
    },
  };
}

function modelInfo({ card }: Engine, model: string) {
  if (model !== "" && model !== card.model) throw new StatorError("MODEL_NOT_FOUND", { model });
  const { capabilities } = card;
  const hasTokenizer = card.artifacts.some(({ kind }) => kind === "tokenizer");
  return {
    modelId: card.model,
    servedModelName: card.model,
    maxContextLength: card.contextTokens,
    maxOutputTokens: card.contextTokens - 1,
    supportsTextInput: hasTokenizer,
    supportsTokenIdsInput: true,
    generation: {
      promptLogprobs: { supported: false },
      outputLogprobs: {
        supported: capabilities.logprobs,
        candidateSelectionModes: capabilities.logprobs ? [CandidateTokenSelectionMode.TOP_N] : [],
        maxTopN: capabilities.maxTopLogprobs,
      },
      guidedDecoding: {
        supported: capabilities.grammar,
        modes: capabilities.grammar
          ? [
              GuidedDecodingMode.JSON_SCHEMA,
              GuidedDecodingMode.EBNF_GRAMMAR,
              GuidedDecodingMode.CHOICE,
              GuidedDecodingMode.JSON_OBJECT,
            ]
          : [],
      },
      maxNumSequences: MAX_SEQUENCES,
      supportsPriority: true,
      supportsStopInOutput: true,
      supportsCacheSalt: true,
      supportsPrefixCacheBypass: false,
    },
    supportsLora: capabilities.lora,
    supportsMultimodal: false,
  };
}

function loadInfo({ board, instanceId, clock }: ControlDeps, perRank: boolean) {
  const metrics = board()?.metrics;
  // A worker that has not stepped yet has nothing running: these zeros are measured, not assumed.
  const at = {
    runningRequests: metrics?.runningRequests ?? 0,
    queuedRequests: metrics?.waitingRequests ?? 0,
    usedKvBlocks: BigInt(metrics?.usedBlocks ?? 0),
    totalKvBlocks: metrics && BigInt(metrics.totalBlocks),
    decodeBatchSize: metrics?.decodeSequences ?? 0,
  };
  return {
    instanceId: printId(instanceId),
    timestampUnixNanos: BigInt(clock.unixMs()) * 1_000_000n,
    ...at,
    waitingTokens: BigInt(metrics?.waitingTokens ?? 0),
    ranks: perRank ? [{ dataParallelRank: 0, ...at }] : [],
  };
}

function health({ state }: ControlDeps) {
  const now = state();
  const states = {
    loading: HealthState.STARTING,
    ready: HealthState.READY,
    draining: HealthState.DRAINING,
    asleep: HealthState.NOT_READY,
    failed: HealthState.NOT_READY,
  } as const;
  const checks: MessageInitShape<typeof HealthCheckSchema>[] = [
    { name: "grpc", state: HealthState.READY, message: "" },
    { name: "model", state: states[now.state], message: now.reason },
    { name: "scheduler", state: states[now.state], message: now.reason },
  ];
  return { state: states[now.state], checks };
}
