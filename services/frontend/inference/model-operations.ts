import { ModelMetadataResponseSchema, ServerMetadataResponseSchema } from "#gen/inference/metadata_pb";
import { ModelConfigSchema } from "#gen/inference/model_config_pb";
import { RepositoryIndexResponse_ModelIndexSchema } from "#gen/inference/repository_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { ModelStatisticsResponseSchema } from "#gen/inference/statistics_pb";
import { compileCheck } from "#lib/api/check";
import type { KSERVE_ANSWERS } from "#lib/api/kserve/answers";
import { printMessage } from "#lib/api/kserve/json-message";
import { INDEX_FIELDS } from "#lib/api/kserve/operation-fields";
import { KSERVE_ERROR, kserveSchema, modelPaths } from "#lib/api/kserve/routes";
import type { ApiRoute } from "#lib/api/routes";
import { assert } from "#lib/base/errors";
import { createOperation, type Operation, type OperationAsk } from "./operations.ts";

const { method } = GRPCInferenceService;

function read(
  route: Pick<ApiRoute, "path" | "also" | "operation" | "about">,
  answer: keyof typeof KSERVE_ANSWERS,
): ApiRoute {
  const about = { method: "get", fields: undefined, rules: [], error: KSERVE_ERROR, streams: false } as const;
  return { ...about, ...route, answer: kserveSchema(answer) };
}

/** The model that the path names. */
function named({ parts: { model = "", version = "" } }: OperationAsk): { name: string; version: string } {
  return { name: model, version };
}

const checkIndex = compileCheck(INDEX_FIELDS);

/**
 * What anyone may ask about the server and its models. Health has one spelling that both of its kinds of clients read:
 * Triton's look at the status, 200 or not, and KServe's at the body.
 */
export const MODEL_OPERATIONS: readonly Operation[] = [
  createOperation({
    name: "v2_health",
    api: read({ path: "/v2/health/live", operation: "serverLive", about: "200 while the process answers." }, "Live"),
    method: method.serverLive,
    ask: () => ({}),
    print: ({ live }) => JSON.stringify({ live }),
  }),
  createOperation({
    name: "v2_health",
    api: read(
      { path: "/v2/health/ready", operation: "serverReady", about: "200 when some model is routable, else 503." },
      "Ready",
    ),
    method: method.serverReady,
    ask: () => ({}),
    print: ({ ready }) => JSON.stringify({ ready }),
    status: readyStatus,
  }),
  createOperation({
    name: "v2_health",
    api: read(
      {
        ...modelPaths("/ready"),
        operation: "modelReady",
        about: "200 when a request for the model would be answered now, else 503.",
      },
      "ModelReady",
    ),
    method: method.modelReady,
    ask: named,
    print: ({ ready }, { parts }) => JSON.stringify({ name: parts.model, ready }),
    status: readyStatus,
  }),
  createOperation({
    name: "v2_server",
    api: read({ path: "/v2", operation: "serverMetadata", about: "What the server is." }, "ServerMetadata"),
    method: method.serverMetadata,
    ask: () => ({}),
    print: (answer) => printMessage(ServerMetadataResponseSchema, answer),
  }),
  createOperation({
    name: "v2_models",
    api: read({ path: "/v2/models", operation: "listInferModels", about: "Models that answer now." }, "InferModelList"),
    method: method.repositoryIndex,
    ask: () => ({ ready: true }),
    print: ({ models }) => JSON.stringify({ models: models.map(({ name }) => name) }),
  }),
  createOperation({
    name: "v2_models",
    api: read({ ...modelPaths(""), operation: "modelMetadata", about: "The tensors of a model." }, "ModelMetadata"),
    method: method.modelMetadata,
    ask: named,
    print: (answer) => printMessage(ModelMetadataResponseSchema, answer),
  }),
  createOperation({
    name: "v2_models",
    api: read(
      { ...modelPaths("/config"), operation: "modelConfig", about: "How a model is set up." },
      "ModelConfiguration",
    ),
    method: method.modelConfig,
    ask: named,
    print({ config }) {
      assert(config, "a model that is there has a configuration");
      return printMessage(ModelConfigSchema, config);
    },
  }),
  createOperation({
    name: "v2_stats",
    api: read({ ...modelPaths("/stats"), operation: "modelStatistics", about: "What a model did." }, "ModelStatistics"),
    method: method.modelStatistics,
    ask: named,
    print: (answer) => printMessage(ModelStatisticsResponseSchema, answer),
  }),
  createOperation({
    name: "v2_stats",
    api: read(
      { path: "/v2/models/stats", operation: "allStatistics", about: "What each model did." },
      "ModelStatistics",
    ),
    method: method.modelStatistics,
    ask: () => ({}),
    print: (answer) => printMessage(ModelStatisticsResponseSchema, answer),
  }),
  createOperation({
    name: "v2_repository",
    api: {
      ...read(
        {
          path: "/v2/repository/index",
          operation: "repositoryIndex",
          about: "Every model that is known, and how far it is.",
        },
        "RepositoryIndex",
      ),
      method: "post",
      fields: INDEX_FIELDS,
      answer: { ...kserveSchema("RepositoryIndex"), list: true },
    },
    method: method.repositoryIndex,
    ask: ({ body }) => ({ ready: checkIndex(body).body.ready ?? false }),
    print: ({ models }) =>
      `[${models.map((model) => printMessage(RepositoryIndexResponse_ModelIndexSchema, model)).join(",")}]`,
  }),
];

function readyStatus({ ready }: { readonly ready: boolean }): number {
  return ready ? 200 : 503;
}
