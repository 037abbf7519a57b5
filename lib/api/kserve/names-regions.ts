import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { StatorError } from "#lib/base/errors";
import { SHARED_MEMORY } from "./parameters.ts";

/** Numbers of the fields on the way from a ModelInferRequest to the name of a parameter of one of its tensors. */
const TENSORS: ReadonlyMap<number, number> = new Map([
  [5, 4], // inputs, and the parameters of one
  [6, 2], // outputs, and the parameters of one
]);
const KEY = 1;

const REGION = new TextEncoder().encode(SHARED_MEMORY.region);

/** Fields that are looked at before a message is refused: so many that no honest request has them. */
const MOST_FIELDS = 65_536;

/**
 * Whether a ModelInferRequest, as bytes, names a region of shared memory in the parameters of a tensor. Reads past the
 * contents of tensors without looking at them or copying them. False also for bytes that are no message: whoever parses
 * them says what is wrong. Throws INVALID_ARGUMENT for a message of more than `mostFields` fields
 * and for one with a group.
 */
export function namesRegions(bytes: Uint8Array, mostFields: number = MOST_FIELDS): boolean {
  try {
    return new Scan(mostFields).request(bytes);
  } catch (error) {
    if (error instanceof StatorError) throw error;
    return false;
  }
}

class Scan {
  readonly #most: number;
  #left: number;

  constructor(mostFields: number) {
    this.#most = mostFields;
    this.#left = mostFields;
  }

  request(bytes: Uint8Array): boolean {
    return this.#some(bytes, (field, tensor) => {
      const parameters = TENSORS.get(field);
      if (parameters === undefined) return false;
      return this.#some(tensor, (inner, entry) => inner === parameters && this.#some(entry, isRegion));
    });
  }

  /** Whether any field that has a length is what is looked for. */
  #some(bytes: Uint8Array, look: (field: number, content: Uint8Array) => boolean): boolean {
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      if (this.#left-- === 0) {
        throw invalid(`The message has more than ${this.#most} fields`);
      }
      const [field, type] = reader.tag();
      // A group could hold any number of fields that nobody counts, and no version of the message has one.
      if (type === WireType.StartGroup) throw invalid("The message has a group");
      if (type !== WireType.LengthDelimited) reader.skip(type, field);
      else if (look(field, reader.bytes())) return true;
    }
    return false;
  }
}

function isRegion(field: number, content: Uint8Array): boolean {
  return field === KEY && content.length === REGION.length && REGION.every((byte, at) => content[at] === byte);
}

function invalid(detail: string): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail });
}
