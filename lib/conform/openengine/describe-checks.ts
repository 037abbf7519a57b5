import { HealthState } from "#gen/openengine/v1/lifecycle_pb";
import { EngineRole } from "#gen/openengine/v1/server_pb";
import type { Check } from "../check.ts";
import { claimed, expect } from "../failure.ts";
import type { EngineBench } from "./engine-bench.ts";
import { CODE, codeName, statusOfCall } from "./engine-caller.ts";

const NOBODY = "conform-no-such-model";
const RULES = "docs/conformance.md";
/** A field number and an enum value that no revision of the contract has. */
const UNKNOWN_FIELD = Uint8Array.of(0xba, 0xfa, 0x01, 0x01, 0x78);
const UNKNOWN_ENUM = 99 as EngineRole;

const isWildcard = (host: string) => ["", "0.0.0.0", "::", "[::]", "*"].includes(host);

/** What an engine says of itself and of its models. */
export const DESCRIBE_CHECKS: readonly Check<EngineBench>[] = [
  {
    name: "says what engine it is",
    sentence: "Name of the engine, such as vllm.",
    of: "ServerInfo.engine_name",
    async run({ facts: { server } }) {
      expect(server.engineName !== "", "engine_name is empty");
    },
  },
  {
    name: "says which revision of the contract it speaks",
    sentence: "Revision of this contract that the engine speaks, from 1 on; 0 is invalid.",
    of: "ServerInfo.schema_revision",
    async run({ facts: { server } }) {
      expect(server.schemaRevision >= 1, `schema_revision is ${server.schemaRevision}`);
    },
  },
  {
    name: "understands callers of its own revision",
    sentence: "Oldest revision of a caller that it still understands.",
    of: "ServerInfo.minimum_client_revision",
    async run({ facts: { server } }) {
      const { minimumClientRevision: least, schemaRevision } = server;
      expect(least >= 1 && least <= schemaRevision, `minimum_client_revision is ${least}`);
    },
  },
  {
    name: "names the release of its contract by what never moves",
    sentence: "schema_release names a tag or a commit, never a branch.",
    of: RULES,
    async run({ facts: { server } }) {
      const { schemaRelease } = server;
      expect(!/^(main|master|head|latest|)$/i.test(schemaRelease), `schema_release is "${schemaRelease}"`);
    },
  },
  {
    name: "keeps one instance id, also in its load",
    sentence: "Unique per start of the engine.",
    of: "ServerInfo.instance_id",
    async run({ caller, facts: { server } }) {
      expect(server.instanceId !== "", "instance_id is empty");
      const [again, load] = [await caller.control.getServerInfo({}), await caller.control.getLoad({})];
      expect(again.instanceId === server.instanceId, "GetServerInfo names another instance_id the second time");
      expect(load.instanceId === server.instanceId, `GetLoad names the instance "${load.instanceId}"`);
    },
  },
  {
    name: "describes each model that it serves",
    sentence: "Served names.",
    of: "ServerInfo.supported_models",
    async run({ caller, facts: { server } }) {
      expect(server.supportedModels.length > 0, "supported_models is empty");
      for (const name of server.supportedModels.slice(0, 16)) {
        const { servedModelName, servedModelAliases } = await caller.control.getModelInfo({ model: name });
        expect([servedModelName, ...servedModelAliases].includes(name), `GetModelInfo of ${name} tells of another`);
      }
    },
  },
  {
    name: "describes its only model when none is named",
    sentence: "Served name. Empty: the engine's only model.",
    of: "GetModelInfoRequest.model",
    async run({ caller, facts: { server, model } }) {
      claimed(server.supportedModels.length === 1, `it serves ${server.supportedModels.length} models`);
      const { servedModelName } = await caller.control.getModelInfo({});
      expect(servedModelName === model.servedModelName, `it describes ${servedModelName}`);
    },
  },
  {
    name: "does not describe a model that it does not serve",
    sentence: "A model, an adapter, a request or a session that the engine does not know is NOT_FOUND.",
    of: RULES,
    async run({ caller }) {
      const { code } = await statusOfCall(caller.control.getModelInfo({ model: NOBODY }));
      expect(code === CODE.notFound, `GetModelInfo answers ${codeName(code)}`);
    },
  },
  {
    name: "takes prompts in one way at least",
    sentence: "An absent field is not reported; an explicit zero or false is a statement.",
    of: "ModelInfo",
    async run({ facts: { model } }) {
      const isNone = model.supportsTextInput === false && model.supportsTokenIdsInput === false;
      expect(!isNone, "supports_text_input and supports_token_ids_input are both false");
    },
  },
  {
    name: "states limits of a model that fit together",
    sentence: "Prompt and output together, in tokens, as deployed.",
    of: "ModelInfo.max_context_length",
    async run({ facts: { model } }) {
      const { maxContextLength: context, maxOutputTokens: output } = model;
      claimed(context !== undefined || output !== undefined, "it reports no limits");
      expect(context !== 0 && output !== 0, "a limit is 0, which says that nothing fits");
      const isFit = context === undefined || output === undefined || output <= context;
      expect(isFit, `max_output_tokens ${output} is above max_context_length ${context}`);
    },
  },
  {
    name: "states a cache of blocks that have a size",
    sentence: "Tokens per KV block.",
    of: "DeploymentCapacity.kv_block_size",
    async run({ caller, facts: { server } }) {
      const { kvBlockSize, totalKvBlocks } = server.capacity ?? {};
      claimed(kvBlockSize !== undefined || totalKvBlocks !== undefined, "it reports no blocks");
      expect(kvBlockSize !== 0, "kv_block_size is 0");
      const { totalKvBlocks: loaded } = await caller.control.getLoad({});
      const isSame = totalKvBlocks === undefined || loaded === undefined || loaded === totalKvBlocks;
      expect(isSame, `the capacity has ${totalKvBlocks} blocks and the load ${loaded}`);
    },
  },
  {
    name: "names a data-parallel rank that it has",
    sentence: "This engine's replica.",
    of: "ParallelismInfo.data_parallel_rank",
    async run({ facts: { server } }) {
      const { tensorParallelSize, pipelineParallelSize, dataParallelSize, dataParallelRank } = server.parallelism ?? {};
      claimed(server.parallelism, "it reports no parallelism");
      const sizes = [tensorParallelSize, pipelineParallelSize, dataParallelSize];
      expect(!sizes.includes(0), "a size is 0");
      const isFit = dataParallelRank === undefined || dataParallelRank < (dataParallelSize ?? Number.POSITIVE_INFINITY);
      expect(isFit, `rank ${dataParallelRank} of ${dataParallelSize}`);
    },
  },
  {
    name: "names addresses that others can reach",
    sentence: "An address that others can reach, never a wildcard.",
    of: "KvEndpoint",
    async run({ caller, facts: { server } }) {
      const sources = (await sourcesOf(caller)) ?? [];
      const ends = [
        ...(server.kvConnector?.localEndpoints ?? []),
        ...sources.flatMap((source) => source.endpointAddr ?? []),
      ];
      claimed(ends.length > 0, "it names no addresses");
      for (const { host, port } of ends) expect(!isWildcard(host) && port > 0, `it names ${host}:${port}`);
    },
  },
  {
    name: "says in the contract's words how events are published",
    sentence: "grpc or zmq.",
    of: "KvEventSource.transport",
    async run({ caller }) {
      const sources = await sourcesOf(caller);
      claimed(sources, "it has no GetKvEventSources");
      claimed(sources.length > 0, "it names no sources beside SubscribeKvEvents");
      for (const { transport, encoding } of sources) {
        expect(["grpc", "zmq"].includes(transport), `the transport is "${transport}"`);
        expect(["protobuf", "msgpack"].includes(encoding), `the encoding is "${encoding}"`);
      }
    },
  },
  {
    name: "passes over fields that it does not know",
    sentence:
      "A field that the reader does not know is passed over, a value of an enum that it does not know counts as unspecified; neither is an error.",
    of: RULES,
    async run(bench) {
      const call = await bench.caller.whole(bench.greedy(2), { tail: UNKNOWN_FIELD });
      expect(call.ids.length === 2, `${call.ids.length} tokens came, 2 were asked for`);
    },
  },
  {
    name: "takes an enum value that it does not know for unspecified",
    sentence:
      "A field that the reader does not know is passed over, a value of an enum that it does not know counts as unspecified; neither is an error.",
    of: RULES,
    async run({ caller }) {
      const { state } = await caller.control.health({ role: UNKNOWN_ENUM });
      const plain = await caller.control.health({});
      expect(
        state === plain.state,
        `Health tells state ${state} of a role that nobody knows and ${plain.state} of none`,
      );
    },
  },
  {
    name: "is well while it serves",
    sentence: "Serves.",
    of: "HEALTH_STATE_READY",
    async run({ caller }) {
      const { state } = await caller.control.health({});
      expect(state === HealthState.READY || state === HealthState.DEGRADED, `Health tells state ${state}`);
    },
  },
  {
    name: "tells of its parts in the contract's words",
    sentence: "grpc, scheduler, model, kv_connector, role or inference_probe.",
    of: "HealthCheck.name",
    async run({ caller }) {
      const { checks } = await caller.control.health({ includeInferenceProbe: true });
      const names = ["grpc", "scheduler", "model", "kv_connector", "role", "inference_probe"];
      for (const { name, state } of checks) {
        expect(names.includes(name), `a part is named "${name}"`);
        expect(state !== HealthState.UNSPECIFIED, `${name} has no state`);
      }
    },
  },
  {
    name: "runs a small generation when it is asked to",
    sentence: "Run a small generation and report it as the check inference_probe.",
    of: "HealthRequest.include_inference_probe",
    async run({ caller }) {
      const { checks } = await caller.control.health({ includeInferenceProbe: true });
      const probe = checks.find(({ name }) => name === "inference_probe");
      expect(probe, "Health has no check inference_probe");
      expect(probe.state === HealthState.READY, `the probe failed: ${probe.message}`);
    },
  },
  {
    name: "is not ready for a model that it does not serve",
    sentence: "Model that must be served. Empty: any.",
    of: "HealthRequest.model",
    async run({ caller }) {
      const asked = caller.control.health({ model: NOBODY });
      const { code } = await statusOfCall(asked);
      if (code === CODE.notFound) return;
      expect((await asked).state !== HealthState.READY, "Health says that it is ready for it");
    },
  },
  {
    name: "is not ready for a role that it does not have",
    sentence: "Role that the caller expects. Unspecified: any.",
    of: "HealthRequest.role",
    async run({ caller, facts: { server } }) {
      const { engineRole } = server;
      claimed(engineRole !== EngineRole.UNSPECIFIED, "it does not say its role");
      const other = engineRole === EngineRole.PREFILL ? EngineRole.DECODE : EngineRole.PREFILL;
      const { state } = await caller.control.health({ role: other });
      expect(state !== HealthState.READY, "Health says that it is ready for it");
    },
  },
];

/** Where it publishes events; undefined when it has no such call. */
async function sourcesOf(caller: EngineBench["caller"]) {
  const asked = caller.control.getKvEventSources({});
  const { code } = await statusOfCall(asked);
  if (code === CODE.unimplemented) return undefined;
  return (await asked).sources;
}
