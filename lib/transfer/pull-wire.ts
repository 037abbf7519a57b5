import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type PullRequest, PullRequestSchema, PullResponseSchema } from "#gen/stator/worker/v1/payload_pb";
import { assert } from "#lib/base/errors";
import { parse } from "#lib/rpc/serialize";
import type { DuplexChannel } from "#lib/rpc/stream";

/** The next bytes of a block, of the way gRPC. */
export interface ChunkToSend {
  /** Place of the block in the sequence. */
  readonly block: number;
  /** Where the bytes belong in it. */
  readonly offset: number;
  /** The bytes; copied. */
  readonly data: Uint8Array;
  /** Of the whole block with its last bytes, else 0. */
  readonly checksum: bigint;
}

/** Who reads, the owner's end: of messages all but the blocks' bytes, which are copied once and by nobody else. */
export class PullChannel {
  readonly #channel: DuplexChannel<Uint8Array, Uint8Array>;
  /** Memory of messages that were taken: the next ones are written there, since the collector counts every new one. */
  readonly #spare: Buffer[] = [];

  constructor(channel: DuplexChannel<Uint8Array, Uint8Array>) {
    this.#channel = channel;
  }

  /** Bytes that have not left. */
  get bufferedBytes(): number {
    return this.#channel.bufferedBytes;
  }

  /** Sends anything but bytes of blocks. */
  send(content: MessageInitShape<typeof PullResponseSchema>["content"]): void {
    this.#channel.send(toBinary(PullResponseSchema, create(PullResponseSchema, { content })));
  }

  /** Sends bytes of a block. Returns the memory that they leave from, to be given back by `reuse` when they were taken. */
  sendChunk(chunk: ChunkToSend): Buffer {
    const needed = chunk.data.byteLength + MOST_HEAD_BYTES;
    const spare = this.#spare.pop();
    const memory = spare && spare.byteLength >= needed ? spare : Buffer.allocUnsafeSlow(needed);
    this.#channel.send(printChunk(chunk, memory));
    return memory;
  }

  /** Nobody reads these any more. */
  reuse(memories: readonly Buffer[]): void {
    this.#spare.push(...memories);
  }

  /** As of any channel; what is no message of the reader ends it with INVALID_ARGUMENT. */
  receive(handlers: {
    onMessage(request: PullRequest): void;
    onEnd: Parameters<DuplexChannel<Uint8Array, Uint8Array>["receive"]>[0]["onEnd"];
    onDrain(): void;
  }): void {
    this.#channel.receive({ ...handlers, onMessage: (bytes) => handlers.onMessage(parse(PullRequestSchema, bytes)) });
  }

  /** As of any channel. */
  end(...error: Parameters<DuplexChannel<Uint8Array, Uint8Array>["end"]>): void {
    this.#channel.end(...error);
  }
}

/** What a message has beside the bytes of a block, at most: five tags, four varints, a checksum. */
export const MOST_HEAD_BYTES = 5 + 4 * 5 + 8;

/** Tags of `PullResponse.chunk` and of the fields of `PullChunk`. */
const TAG = { chunk: 0x1a, block: 0x08, offset: 0x10, data: 0x1a, checksum: 0x21 } as const;

/**
 * A `PullResponse` with a chunk, at the start of memory with room for the bytes and `MOST_HEAD_BYTES`. The library's writer
 * would copy the bytes once for each message around them; here they are copied to where they leave from.
 */
export function printChunk({ block, offset, data, checksum }: ChunkToSend, memory: Buffer): Uint8Array {
  const head = 1 + varintBytes(block) + 1 + varintBytes(offset) + 1 + varintBytes(data.byteLength);
  const tail = checksum === 0n ? 0 : 9;
  const length = head + data.byteLength + tail;
  const bytes = memory.subarray(0, 1 + varintBytes(length) + length);
  let at = writeVarint(bytes, TAG.chunk, 0);
  at = writeVarint(bytes, length, at);
  at = writeVarint(bytes, block, writeVarint(bytes, TAG.block, at));
  at = writeVarint(bytes, offset, writeVarint(bytes, TAG.offset, at));
  at = writeVarint(bytes, data.byteLength, writeVarint(bytes, TAG.data, at));
  bytes.set(data, at);
  at += data.byteLength;
  if (tail > 0) at = bytes.writeBigUInt64LE(checksum, writeVarint(bytes, TAG.checksum, at));
  assert(at === bytes.byteLength, "a chunk is as long as was counted");
  return bytes;
}

/** Bytes of a number below 2^32 as a varint. */
function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes++;
  return bytes;
}

function writeVarint(bytes: Uint8Array, value: number, at: number): number {
  let [rest, next] = [value >>> 0, at];
  for (; rest > 0x7f; rest >>>= 7) bytes[next++] = (rest & 0x7f) | 0x80;
  bytes[next++] = rest;
  return next;
}
