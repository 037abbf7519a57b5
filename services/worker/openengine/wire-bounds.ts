import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { GenerateRequestSchema } from "#gen/openengine/v1/generation_pb";
import { StatorError } from "#lib/base/errors";

/** Bounds on a request, in bytes as it came. */
export interface WireBounds {
  /** All of it. */
  readonly message: number;
  /** All of it but the prompt: what is there becomes objects, a byte or two each. */
  readonly options: number;
  /** Numbers in a prompt of token ids: a number of one byte costs as much as one of three. */
  readonly ids: number;
}

/** The bounds of every port: a prompt of 131,072 token ids of three bytes each fits. */
export const WIRE_BOUNDS: WireBounds = { message: 393_216, options: 49_152, ids: 196_608 };

/** Top-level fields; a sane request has a dozen. */
const MOST_FIELDS = 64;

const TOKEN_IDS = GenerateRequestSchema.field.tokenIds.number;
const PROMPT_FIELDS = new Set<number>([GenerateRequestSchema.field.prompt.number, TOKEN_IDS]);

function tooLong(what: string, limit: number): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail: `${what}: longer than ${limit} bytes` });
}

/** Varints in a message that holds nothing else, tags among them: each ends with its only byte below 0x80. */
function countNumbers(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) if (byte < 0x80) count++;
  return count;
}

/** Refuses a GenerateRequest that would hold the event loop while it is parsed, by a look at its top-level fields alone. */
export function checkGenerateBytes(bytes: Uint8Array, bounds = WIRE_BOUNDS): void {
  if (bytes.length > bounds.message) throw tooLong("The request", bounds.message);
  if (bytes.length <= bounds.options) return;
  const reader = new BinaryReader(bytes);
  let options = 0;
  let numbers = 0;
  for (let count = 0; reader.pos < reader.len; count++) {
    if (count === MOST_FIELDS) throw new StatorError("INVALID_ARGUMENT", { detail: "The request: too many fields" });
    const start = reader.pos;
    const [field, type] = reader.tag();
    if (type === WireType.StartGroup) throw new StatorError("INVALID_ARGUMENT", { detail: "The request: has a group" });
    reader.skip(type);
    if (!PROMPT_FIELDS.has(field)) options += reader.pos - start;
    if (field === TOKEN_IDS) numbers += countNumbers(bytes.subarray(start, reader.pos));
  }
  if (numbers > bounds.ids)
    throw new StatorError("INVALID_ARGUMENT", { detail: `token_ids: more than ${bounds.ids} numbers` });
  if (options > bounds.options) throw tooLong("The request without its prompt", bounds.options);
}

/** The same for every other request, which is small. */
export function checkControlBytes(bytes: Uint8Array, bounds = WIRE_BOUNDS): void {
  if (bytes.length > bounds.options) throw tooLong("The request", bounds.options);
}
