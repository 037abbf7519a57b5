import { type DescMessage, fromBinary, type Message, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { StatorError } from "#lib/base/errors";
import { MESSAGE_LIMIT_BYTES } from "./settings.ts";

/** A message as bytes. LIMIT when it is longer than any receiver takes. */
export function serialize(schema: DescMessage, message: Message): Buffer {
  const bytes = toBinary(schema, message);
  if (bytes.byteLength > MESSAGE_LIMIT_BYTES) {
    throw new StatorError("LIMIT", { what: `A message of ${schema.typeName}`, limit: `${MESSAGE_LIMIT_BYTES} bytes` });
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The inverse of serialize; `bytes` fields are views into the buffer. INVALID_ARGUMENT for what is no such message. */
export function parse<Schema extends DescMessage>(schema: Schema, bytes: Uint8Array): MessageShape<Schema> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw new StatorError("INVALID_ARGUMENT", { detail: `The bytes are not a ${schema.typeName}` }, { cause });
  }
}
