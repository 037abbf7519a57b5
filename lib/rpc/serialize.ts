import { type DescMessage, fromBinary, type Message, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { CODECS, type Codec } from "#gen/codecs";
import { StatorError } from "#lib/base/errors";
import { MESSAGE_LIMIT_BYTES } from "./settings.ts";

/** Memory that a serializer keeps for its next message. */
const KEPT_BYTES = 64 * 1024;

const SHARED = Symbol("bytes of a shared message");

/** A message that may be shared: the slot for its bytes is not a field of it. */
type Shared = Message & { readonly [SHARED]?: { bytes: Buffer | undefined } };

/**
 * Says of a message that it goes out on several streams: it is made to bytes once, and they are kept as long as it is. It
 * must not change from now on. Returns it.
 */
export function share<Shape extends Message>(message: Shape): Shape {
  return Object.defineProperty(message, SHARED, { value: { bytes: undefined } });
}

/** Makes the messages of one stream to bytes, in memory that it uses again. */
export class Serializer {
  readonly #schema: DescMessage;
  readonly #codec: Codec | undefined;
  #writer: BinaryWriter | undefined;

  constructor(schema: DescMessage) {
    this.#schema = schema;
    this.#codec = CODECS.get(schema);
  }

  /** A message as bytes: the caller's own, of a shared message everybody's. LIMIT when it is longer than any receiver takes. */
  serialize(message: Message): Buffer {
    const slot = (message as Shared)[SHARED];
    if (slot === undefined) return this.#serialize(message);
    slot.bytes ??= this.#serialize(message);
    return slot.bytes;
  }

  #serialize(message: Message): Buffer {
    const bytes = this.#codec ? this.#write(this.#codec, message) : toBinary(this.#schema, message);
    if (bytes.byteLength > MESSAGE_LIMIT_BYTES) {
      const limit = `${MESSAGE_LIMIT_BYTES} bytes`;
      throw new StatorError("LIMIT", { what: `A message of ${this.#schema.typeName}`, limit });
    }
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #write(codec: Codec, message: Message): Uint8Array {
    const writer = this.#writer ?? new BinaryWriter();
    // A value that does not fit its field throws in the middle of a message: that writer is not used again.
    this.#writer = undefined;
    codec.write(writer, message);
    const bytes = writer.finish();
    if (bytes.byteLength <= KEPT_BYTES) this.#writer = writer;
    return bytes;
  }
}

/**
 * The inverse of `Serializer`; `bytes` fields are views into the buffer. INVALID_ARGUMENT for what is no such message.
 * Messages that are sent for every request or step (`#gen/codecs`) do not keep fields that this version does not know.
 */
export function parse<Schema extends DescMessage>(schema: Schema, bytes: Uint8Array): MessageShape<Schema> {
  try {
    const codec = CODECS.get(schema);
    if (!codec) return fromBinary(schema, bytes);
    return codec.read(new BinaryReader(bytes), bytes.length) as MessageShape<Schema>;
  } catch (cause) {
    throw new StatorError("INVALID_ARGUMENT", { detail: `The bytes are not a ${schema.typeName}` }, { cause });
  }
}
