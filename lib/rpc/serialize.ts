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
  readonly #limitBytes: number;
  readonly #codec: Codec | undefined;
  #writer: BinaryWriter | undefined;

  /** No message is longer than `limitBytes`. */
  constructor(schema: DescMessage, limitBytes: number = MESSAGE_LIMIT_BYTES) {
    this.#schema = schema;
    this.#limitBytes = limitBytes;
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
    return bounded(bytes, this.#schema, this.#limitBytes);
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

/** How the messages of one end of a call become bytes, and come from them. */
export interface Coding<Out, In> {
  /** What goes out, as bytes that nobody changes. LIMIT when they are longer than any receiver takes. */
  serialize(message: Out): Buffer;
  /** What came in; it may be a view of the bytes. INVALID_ARGUMENT for what is none. */
  parse(bytes: Buffer): In;
}

/** Messages at one end of a call: those of one schema go out, those of another come in. */
export class MessageCoding<Out extends DescMessage, In extends DescMessage>
  extends Serializer
  implements Coding<MessageShape<Out>, MessageShape<In>>
{
  readonly #in: In;
  readonly #checkBytes: ((bytes: Uint8Array) => void) | undefined;

  /** `checkBytes` looks at what comes in before it is parsed, and throws what is wrong with it. */
  constructor(
    out: Out,
    into: In,
    { limitBytes, checkBytes }: { readonly limitBytes: number; readonly checkBytes?: (bytes: Uint8Array) => void },
  ) {
    super(out, limitBytes);
    this.#in = into;
    this.#checkBytes = checkBytes;
  }

  parse(bytes: Buffer): MessageShape<In> {
    this.#checkBytes?.(bytes);
    return parse(this.#in, bytes);
  }
}

/** Messages as they are on the wire: what comes in is a view of the received buffer, and what goes out is not copied here. */
export class ByteCoding implements Coding<Uint8Array, Uint8Array> {
  readonly #out: DescMessage;
  readonly #limitBytes: number;

  /** The schema of what goes out is named in errors. */
  constructor(out: DescMessage, limitBytes: number) {
    this.#out = out;
    this.#limitBytes = limitBytes;
  }

  serialize(bytes: Uint8Array): Buffer {
    return bounded(bytes, this.#out, this.#limitBytes);
  }

  parse(bytes: Buffer): Uint8Array {
    return bytes;
  }
}

/** The bytes as they are, for grpc-js. Throws LIMIT. */
function bounded(bytes: Uint8Array, { typeName }: DescMessage, limitBytes: number): Buffer {
  if (bytes.byteLength > limitBytes) {
    throw new StatorError("LIMIT", { what: `A message of ${typeName}`, limit: `${limitBytes} bytes` });
  }
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
