import { CandidateTokenSelectionMode, GuidedDecodingMode } from "#gen/openengine/v1/model_pb";
import { EngineRole } from "#gen/openengine/v1/server_pb";
import { printId } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { ANSWER_RANGES } from "#lib/base/sampling";
import type { WorkerRole } from "#lib/discovery/worker-role";
import type { Capability, Engine } from "#lib/engines/engine";
import type { Served } from "../served.ts";
import type { EngineView } from "./engine-view.ts";
import { TRANSFER_BACKEND } from "./session.ts";

/** Revision of openengine.v1 that this worker serves. */
const SCHEMA_REVISION = 1;

/** Commit of the contract's own repository whose fields these are: a release is named by what never moves. */
const SCHEMA_RELEASE = "4def7c50";

/** How blocks are handed on where they can be: sessions name the port that this contract is served on. */
const CONNECTOR = {
  enabled: true,
  transferBackend: TRANSFER_BACKEND,
  supportedProtocols: ["grpc"],
  supportsRemotePrefill: true,
  supportsDecodePull: true,
  supportsAbortCleanup: true,
  supportsDrain: true,
  schemaVersion: 1,
};

/** Roles as this contract has them, and in words. */
export const ROLES = {
  aggregated: { wire: EngineRole.AGGREGATED, does: "prefill and decode" },
  prefill: { wire: EngineRole.PREFILL, does: "prefill" },
  decode: { wire: EngineRole.DECODE, does: "decode" },
  // The contract has no word for it.
  encode: { wire: EngineRole.UNSPECIFIED, does: "encoding" },
} as const satisfies Readonly<Record<WorkerRole, { readonly wire: EngineRole; readonly does: string }>>;

/** What engine this is. */
export function serverInfo(
  { instanceId, version, role }: Pick<EngineView, "instanceId" | "version" | "role">,
  { engine: { card }, handOff }: Pick<Served, "engine" | "handOff">,
) {
  return {
    engineName: `stator-${card.engine}`,
    engineVersion: version,
    engineRole: ROLES[role()].wire,
    instanceId: printId(instanceId),
    supportedModels: [card.model],
    parallelism: { tensorParallelSize: 1, pipelineParallelSize: 1, dataParallelSize: 1, dataParallelRank: 0 },
    kvConnector: handOff ? CONNECTOR : { enabled: false },
    schemaRevision: SCHEMA_REVISION,
    minimumClientRevision: SCHEMA_REVISION,
    schemaRelease: SCHEMA_RELEASE,
    capacity: {
      kvBlockSize: card.blockTokens,
      totalKvBlocks: countOf(card.totalBlocks),
      maxRunningRequests: countOf(card.maxRunningRequests),
    },
  };
}

/** What the model is and can do. MODEL_NOT_FOUND for another name. */
export function modelInfo({ card }: Engine, model: string) {
  if (model !== "" && model !== card.model) throw new StatorError("MODEL_NOT_FOUND", { model });
  const { capabilities } = card;
  const hasTokenizer = card.artifacts.some(({ kind }) => kind === "tokenizer");
  return {
    modelId: card.model,
    servedModelName: card.model,
    maxContextLength: card.contextTokens,
    maxOutputTokens: card.contextTokens && card.contextTokens - 1,
    supportsTextInput: card.input === "text" || hasTokenizer,
    supportsTokenIdsInput: card.input === "tokens",
    generation: {
      promptLogprobs: { supported: false },
      outputLogprobs: {
        supported: knownOf(capabilities.logprobs),
        candidateSelectionModes: capabilities.logprobs === true ? [CandidateTokenSelectionMode.TOP_N] : [],
        maxTopN: capabilities.maxTopLogprobs,
      },
      guidedDecoding: {
        supported: knownOf(capabilities.grammar),
        modes:
          capabilities.grammar === true
            ? [
                GuidedDecodingMode.JSON_SCHEMA,
                GuidedDecodingMode.EBNF_GRAMMAR,
                GuidedDecodingMode.CHOICE,
                GuidedDecodingMode.JSON_OBJECT,
              ]
            : [],
      },
      maxNumSequences: ANSWER_RANGES.choices.most,
      supportsPriority: true,
      supportsStopInOutput: true,
      supportsCacheSalt: true,
      supportsPrefixCacheBypass: false,
    },
    supportsLora: capabilities.lora,
    supportsMultimodal: false,
  };
}

/** How busy the engine is, as of its last step. Before the model is loaded nothing runs: those zeros are facts. */
export function loadInfo(
  { served, instanceId, clock }: Pick<EngineView, "served" | "instanceId" | "clock">,
  perRank: boolean,
) {
  const { board, engine, handOff } = served() ?? {};
  const metrics = board?.metrics;
  const at = {
    runningRequests: metrics?.runningRequests ?? 0,
    queuedRequests: metrics?.waitingRequests ?? 0,
    usedKvBlocks: BigInt(metrics?.usedBlocks ?? 0),
    totalKvBlocks: countOf(engine?.card.totalBlocks),
    decodeBatchSize: metrics?.decodeSequences ?? 0,
  };
  return {
    instanceId: printId(instanceId),
    timestampUnixNanos: BigInt(clock.unixMs()) * 1_000_000n,
    ...at,
    activeKvSessions: handOff?.load.openSessions,
    waitingTokens: BigInt(metrics?.waitingTokens ?? 0),
    ranks: perRank ? [{ dataParallelRank: 0, ...at }] : [],
  };
}

/** What nobody knows is not reported. */
function knownOf(capability: Capability): boolean | undefined {
  return capability === "unknown" ? undefined : capability;
}

function countOf(count: number | undefined): bigint | undefined {
  return count === undefined ? undefined : BigInt(count);
}
