import type { DescMethod } from "@bufbuild/protobuf";
import { ModelInferRequestSchema, type ModelInferResponse } from "#gen/inference/infer_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { checkInferCost, type InferCost } from "#lib/api/kserve/infer-cost";
import { tellError } from "#lib/api/kserve/tell-error";
import { asStatorError, assert, StatorError } from "#lib/base/errors";
import type { CallContext } from "#lib/rpc/call";
import { createService, type Handlers, type ServedService } from "#lib/rpc/service";
import { createSharedMemoryCalls } from "#lib/shared/shared-memory-calls";
import type { SharedRegions } from "#lib/shared/shared-regions";
import { configureModel, describeModel } from "./describe.ts";
import type { InferChannel, InferStream } from "./infer-stream.ts";
import type { Inference } from "./inference.ts";
import type { ServedModel, ServedModels } from "./models.ts";

/** What inference.GRPCInferenceService answers from. */
export interface InferenceServiceDeps {
  /** What is served. Throws why nothing is. */
  models(): ServedModels;
  /** Runs requests. */
  readonly inference: Pick<Inference, "answer">;
  /** What its callers registered. */
  readonly regions: SharedRegions;
  /** Makes a stream of a call. */
  openStream(channel: InferChannel, call: CallContext): InferStream;
  /** What reading a request may cost. */
  readonly cost: InferCost;
  /** Of Stator. */
  readonly version: string;
}

/** Extensions of the protocol that a worker speaks by itself. */
const EXTENSIONS = [
  "model_configuration",
  "model_repository",
  "statistics",
  "parameters",
  "binary_tensor_data",
  "system_shared_memory",
];

/** inference.GRPCInferenceService over the models of a worker; what changes models is not open at a worker. */
export function createTensorService(deps: InferenceServiceDeps): ServedService {
  const { models, inference, version } = deps;
  const find = ({ name, version: wanted }: { readonly name: string; readonly version: string }) =>
    told(() => models().find(name, wanted));
  const handlers: Handlers<typeof GRPCInferenceService> = {
    serverLive: () => ({ live: true }),
    serverReady: () => ({ ready: isReady(models) }),
    modelReady: ({ name, version: wanted }) => ({ ready: isReady(() => models().find(name, wanted)) }),
    serverMetadata: () => ({ name: "stator", version, extensions: EXTENSIONS }),
    modelMetadata: (asked) => describeModel(find(asked)),
    modelConfig: (asked) => configureModel(find(asked)),
    modelStatistics(asked) {
      const served = asked.name === "" ? told(models).all : [find(asked)];
      return { modelStats: served.map((each) => each.statistics.print(each.name, each.version)) };
    },
    repositoryIndex: () => ({ models: told(models).all.map(indexOf) }),
    repositoryModelLoad: ({ repositoryName, modelName }) => {
      throw cannotLoad("load", modelName || repositoryName);
    },
    repositoryModelUnload: ({ repositoryName, modelName }) => {
      throw cannotLoad("unload", modelName || repositoryName);
    },
    async modelInfer(request, { signal }) {
      let answer: ModelInferResponse | undefined;
      try {
        for await (const each of inference.answer(request, { signal, onStream: false })) answer = each;
      } catch (caught) {
        throw tellError(asStatorError(caught));
      }
      assert(answer, "a model that is not decoupled answers once");
      return answer;
    },
    ...createSharedMemoryCalls(deps.regions),
    modelStreamInfer: { bytes: (channel, call) => deps.openStream(channel, call).receive() },
  };
  const service = createService(GRPCInferenceService, handlers, { access: accessOf });
  const checkBytes = (bytes: Uint8Array) => checkInferCost(bytes, deps.cost);
  const methods = service.methods.map((served) =>
    served.method.input.typeName === ModelInferRequestSchema.typeName ? { ...served, checkBytes } : served,
  );
  return { ...service, methods };
}

/** Whoever registers memory reads and writes it by requests. */
function accessOf({ name }: DescMethod): Access {
  return name.includes("SharedMemory") ? Access.OPERATOR : Access.PUBLIC;
}

/** The result, or the error in the words that clients of the protocol know. */
function told<Result>(run: () => Result): Result {
  try {
    return run();
  } catch (caught) {
    throw tellError(asStatorError(caught));
  }
}

function isReady(run: () => unknown): boolean {
  try {
    run();
    return true;
  } catch {
    return false;
  }
}

function indexOf({ name, version }: ServedModel) {
  return { name, version, state: "READY", reason: "" };
}

/** Models come with the worker. */
function cannotLoad(what: "load" | "unload", model: string): StatorError {
  const detail = `failed to ${what} '${model.slice(0, 128)}', models of a worker come and go with it`;
  return new StatorError("INVALID_ARGUMENT", { detail });
}
