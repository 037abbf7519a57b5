import { fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { InputPartSchema } from "#gen/stator/worker/v1/link_pb";

/** One token of a stream per request: the smallest message that the contract has. */
export type Delta = MessageShape<typeof InputPartSchema>;

/** The method of the baseline: one server stream per request, on grpc-js with protobuf-es. */
export const STREAM_METHOD = {
  path: "/bench.Stream/Generate",
  requestStream: false,
  responseStream: true,
  requestSerialize: encode,
  requestDeserialize: decode,
  responseSerialize: encode,
  responseDeserialize: decode,
} as const;

function encode(message: Delta): Buffer {
  const bytes = toBinary(InputPartSchema, message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function decode(bytes: Buffer): Delta {
  return fromBinary(InputPartSchema, bytes);
}

/** How many different steps the fixture has. */
const STEPS = 512;
/** Streams in a step. */
const WIDTH = 1_024;

/** What an engine makes: for each step one array with a token for each stream. Both planes take their tokens from it. */
export function tokenFixture(): readonly Uint32Array[] {
  return Array.from({ length: STEPS }, (_, step) =>
    Uint32Array.from({ length: WIDTH }, (_, stream) => (step * 7_919 + stream * 104_729) % 128_256),
  );
}

/** What a server is asked, and says. */
export interface ServerStat {
  readonly cpuUs: number;
  readonly tokens: number;
}

/** Moments at which cancels arrived, in nanoseconds of the machine's monotonic clock, by request id. */
export type CancelMoments = Readonly<Record<string, string>>;
