import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ModelInferRequest, ModelInferRequestSchema } from "#gen/inference/infer_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import type { CallContext } from "#lib/rpc/call";
import { loopbackCredentials as credentials } from "#lib/rpc/credentials";
import { openServer } from "#lib/rpc/server";
import { createService, type Handlers } from "#lib/rpc/service";
import type { DuplexChannel } from "#lib/rpc/stream";

/** One call as a test's worker of tensors sees it. */
export interface TensorCall {
  /** The bytes of its only request. */
  readonly bytes: Uint8Array;
  /** The same, read. */
  readonly request: ModelInferRequest;
  readonly channel: DuplexChannel<Uint8Array, Uint8Array>;
  readonly call: CallContext;
}

/** What a test's worker does with a call. */
export type AnswerTensors = (call: TensorCall) => void;

/** A worker of tensors over real gRPC, which answers as the test says. */
export interface TensorServer {
  readonly address: string;
  /** Calls that came, oldest first. */
  readonly calls: TensorCall[];
  /** Ends all that is open, as a process that got SIGKILL. */
  kill(): Promise<void>;
}

/** Opens a worker of tensors on a free port. */
export async function openTensorServer(
  answer: AnswerTensors,
  more: Handlers<typeof GRPCInferenceService> = {},
): Promise<TensorServer> {
  const calls: TensorCall[] = [];
  const bytes = (channel: DuplexChannel<Uint8Array, Uint8Array>, call: CallContext): void => {
    channel.receive({
      onMessage(message) {
        const taken = { bytes: message, request: fromBinary(ModelInferRequestSchema, message), channel, call };
        calls.push(taken);
        answer(taken);
      },
      onEnd() {},
    });
  };
  const handlers = { modelInfer: { bytes }, modelStreamInfer: { bytes }, ...more };
  const service = createService(GRPCInferenceService, handlers, { access: Access.PUBLIC });
  const observed = { clock: systemClock, log: silentLog, metrics: noMetrics };
  const server = await openServer({ host: "127.0.0.1", port: 0, credentials, services: [service], ...observed });
  return { address: server.address, calls, kill: () => server.close() };
}

/** The bytes of a request for a model of tensors. */
export function inferBytes(init: Parameters<typeof create<typeof ModelInferRequestSchema>>[1] = {}): Uint8Array {
  return toBinary(ModelInferRequestSchema, create(ModelInferRequestSchema, { modelName: "simple", id: "7", ...init }));
}
