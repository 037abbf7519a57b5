import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type ModelMetadataRequest,
  ModelMetadataRequestSchema,
  ModelMetadataResponseSchema,
} from "#gen/inference/metadata_pb";
import {
  type ModelConfigRequest,
  ModelConfigRequestSchema,
  ModelConfigResponseSchema,
} from "#gen/inference/model_config_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { tellError } from "#lib/api/kserve/tell-error";
import { asStatorError } from "#lib/base/errors";
import { createService, type Handlers, type ServedService } from "#lib/rpc/service";
import { checkVersion, modelConfig, modelMetadata } from "../doors/kserve/describe.ts";
import type { ServerAbout } from "./about.ts";
import { inferenceAccess } from "./access.ts";
import type { InferenceCalls } from "./calls.ts";
import type { Forwarding } from "./forwarding.ts";
import { modelReady, serverReady } from "./health.ts";
import { repositoryIndex } from "./repository-index.ts";
import { modelStatistics } from "./statistics.ts";

/** Handlers of the service by the methods' names. */
export type InferenceHandlers = Handlers<typeof GRPCInferenceService>;

/** What the service is made of. All of it is borrowed. */
export interface InferenceServiceParts {
  /** What its questions are answered from. */
  readonly about: ServerAbout;
  /** Takes its calls for inferences. */
  readonly calls: InferenceCalls;
  /** Asks the workers of models of tensors; undefined: there are none. */
  readonly forwarding: Forwarding | undefined;
  /** Of further methods: repository, shared memory, settings. A method without a handler says that it has none. */
  readonly more: InferenceHandlers;
}

/** inference.GRPCInferenceService: the Open Inference Protocol with Triton's extensions. */
export function createInferenceService(parts: InferenceServiceParts): ServedService {
  const { about, calls, more } = parts;
  const handlers: InferenceHandlers = {
    serverLive: () => ({ live: true }),
    serverReady: () => ({ ready: serverReady(about) }),
    modelReady: (request) => ({ ready: modelReady(about, request) }),
    serverMetadata: () => ({ name: about.name, version: about.version, extensions: [...about.extensions] }),
    modelMetadata: (request) => telling(() => metadataOf(request, parts)),
    modelConfig: (request) => telling(() => configOf(request, parts)),
    modelInfer: { bytes: calls.whole },
    modelStreamInfer: { bytes: calls.stream },
    modelStatistics: (request) => telling(() => modelStatistics(about, request)),
    repositoryIndex: (request) => repositoryIndex(about, request),
    ...more,
  };
  return createService(GRPCInferenceService, handlers, { access: inferenceAccess });
}

async function metadataOf(request: ModelMetadataRequest, { about, forwarding }: InferenceServiceParts) {
  const { name, version } = request;
  if (forwarding?.takes(name)) {
    const bytes = await forwarding.ask("modelMetadata", name, toBinary(ModelMetadataRequestSchema, request));
    return fromBinary(ModelMetadataResponseSchema, bytes);
  }
  const model = about.models.find(name);
  checkVersion(name, version);
  return modelMetadata(model);
}

async function configOf(request: ModelConfigRequest, { about, forwarding }: InferenceServiceParts) {
  const { name, version } = request;
  if (forwarding?.takes(name)) {
    const bytes = await forwarding.ask("modelConfig", name, toBinary(ModelConfigRequestSchema, request));
    return fromBinary(ModelConfigResponseSchema, bytes);
  }
  const model = about.models.find(name);
  checkVersion(name, version);
  return { config: modelConfig(model) };
}

/** Errors have the sentences that clients of the protocol know. */
async function telling<Answer>(answer: () => Answer | Promise<Answer>): Promise<Answer> {
  try {
    return await answer();
  } catch (caught) {
    throw tellError(asStatorError(caught));
  }
}
