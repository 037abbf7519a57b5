// Load of large tensors, in a process of its own: calls of ModelInfer that each send again as soon as they are answered.
//   node tensor-client.ts SEED; then {load} by IPC, {} to read the counters, {stop: true} to end the load.
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ModelInferRequestSchema } from "#gen/inference/infer_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { createParameter, SHARED_MEMORY } from "#lib/api/kserve/parameters";
import { createBytesTensor } from "#lib/api/kserve/tensor";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";
import type { ClientCount } from "../sides.ts";

/** What the client is told to do. */
export interface TensorLoad {
  readonly port: number;
  /** Calls at once, on one connection. */
  readonly calls: number;
  readonly model: string;
  /** Of the one element of each request, which comes back. */
  readonly bytes: number;
  /** Regions of shared memory for what goes in and what comes out; the elements are in the message where there are none. */
  readonly regions?: { readonly input: string; readonly output: string };
}

const MESSAGE_BYTES = 32 * 1024 * 1024;
const count = { requests: 0, reads: 0, refused: "" };
let running: { over: boolean; readonly channel: Channel } | undefined;

function requestOf({ model, bytes, regions }: TensorLoad): Uint8Array {
  const { name, datatype, data } = createBytesTensor("INPUT0", [new Uint8Array(bytes).fill(7)]);
  const regionOf = (region: string) => ({
    [SHARED_MEMORY.region]: createParameter(region),
    [SHARED_MEMORY.size]: createParameter(BigInt(data.length)),
  });
  const input = { name, datatype, shape: [1n, 1n] };
  const init: MessageInitShape<typeof ModelInferRequestSchema> = regions
    ? {
        inputs: [{ ...input, parameters: regionOf(regions.input) }],
        outputs: [{ name: "OUTPUT0", parameters: regionOf(regions.output) }],
      }
    : { inputs: [input], rawInputContents: [data] };
  return toBinary(ModelInferRequestSchema, create(ModelInferRequestSchema, { modelName: model, ...init }));
}

function start(load: TensorLoad): void {
  const channel = new Channel(`127.0.0.1:${load.port}`, loopbackCredentials, systemClock, {
    messageBytes: MESSAGE_BYTES,
  });
  const run = { over: false, channel };
  const request = requestOf(load);
  const ask = (): void => {
    if (run.over) return;
    const call = channel.openBytes(GRPCInferenceService.method.modelInfer);
    call.receive({
      onMessage: () => count.reads++,
      onEnd(error) {
        if (run.over) return;
        if (error) count.refused ||= error.message;
        else count.requests++;
        ask();
      },
    });
    call.send(request);
    call.end();
  };
  for (let at = 0; at < load.calls; at++) ask();
  running = run;
}

process.on("message", ({ load, stop }: { load?: TensorLoad; stop?: boolean }) => {
  if (stop && running) {
    running.over = true;
    running.channel.close();
  }
  if (load) start(load);
  process.send?.({ ...count } satisfies ClientCount);
});
process.on("disconnect", () => process.exit());
process.send?.({});
