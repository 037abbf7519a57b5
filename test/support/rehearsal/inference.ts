import type { ModelInferResponse } from "#gen/inference/infer_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { openServer, type RpcServer } from "#lib/rpc/server";
import type { CallOptions } from "#lib/rpc/transport";
import type { Dispatcher } from "#lib/serving/dispatcher";
import { type InferAsk, InferStream, inferRequest } from "../infer-client.ts";
import { openRehearsal, type Rehearsal } from "./open.ts";

/** A rehearsal with an inference service. */
export class InferenceRehearsal {
  readonly rehearsal: Rehearsal;
  readonly server: RpcServer;
  readonly channel: Channel;

  constructor(rehearsal: Rehearsal, server: RpcServer) {
    this.rehearsal = rehearsal;
    this.server = server;
    this.channel = new Channel(server.address, loopbackCredentials, systemClock);
  }

  get client() {
    return createClient(GRPCInferenceService, this.channel);
  }

  stream(options?: CallOptions): InferStream {
    return new InferStream(this.channel, options);
  }

  infer(ask: InferAsk, options?: CallOptions): Promise<ModelInferResponse> {
    return this.client.modelInfer(inferRequest(ask), options);
  }

  async close(): Promise<void> {
    await this.rehearsal.frontend.close({ drainMs: 0 });
    this.channel.close();
    await this.server.close();
  }
}

/** Opens a frontend whose inference service is at a port of its own. */
export async function openInference(
  dispatcher: Dispatcher,
  options: Parameters<typeof openRehearsal>[1] = {},
): Promise<InferenceRehearsal> {
  let server: RpcServer | undefined;
  const rehearsal = await openRehearsal(dispatcher, {
    ...options,
    async openRpc(services) {
      server = await openServer({
        ...{ host: "127.0.0.1", port: 0, credentials: loopbackCredentials, services },
        ...{ clock: systemClock, log: options.log ?? silentLog, metrics: noMetrics },
      });
      return server.address;
    },
  });
  return new InferenceRehearsal(rehearsal, server!);
}
