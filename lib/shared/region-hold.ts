import type { ModelInferRequest, ModelInferResponse } from "#gen/inference/infer_pb";
import { readTensors } from "#lib/api/kserve/read-tensors";
import { printRegionPart, type RegionPart, withoutRegionPart } from "#lib/api/kserve/region";
import { assert, StatorError } from "#lib/base/errors";
import type { Region } from "./region.ts";

const NO_BYTES = new Uint8Array(0);

/** A tensor of a request that is in a region. */
export interface HeldPart {
  /** Name of the tensor. */
  readonly tensor: string;
  /** It is open as long as it is held. */
  readonly region: Region;
  /** Which part of it, as the request says. */
  readonly part: RegionPart;
}

/** The tensors of a request in its order, undefined where one travels with its message. */
export interface HeldTensors {
  /** Its inputs. */
  readonly inputs: readonly (HeldPart | undefined)[];
  /** Those outputs that it names. */
  readonly outputs: readonly (HeldPart | undefined)[];
}

/** What a hold counts with. */
interface HoldAccount {
  /** Counts copies before they are made; returns what takes them off again. Throws beyond the limits. */
  take(bytes: number): () => void;
  /** Bytes that were read and written. */
  readonly moved: { in: number; out: number };
}

/**
 * What one request has in regions. It keeps them open until it is released, whatever is unregistered meanwhile. Inputs are
 * copied once, out of their region, and outputs once, into it.
 */
export class RegionHold {
  readonly tensors: HeldTensors;
  readonly #account: HoldAccount;
  readonly #parts: readonly HeldPart[];
  readonly #outputs: ReadonlyMap<string, HeldPart>;
  #untake: (() => void) | undefined;
  #isReleased = false;

  /** Enters the regions. */
  constructor(tensors: HeldTensors, account: HoldAccount) {
    this.tensors = tensors;
    this.#account = account;
    this.#parts = [...tensors.inputs, ...tensors.outputs].filter((part) => part !== undefined);
    this.#outputs = new Map(tensors.outputs.flatMap((part) => (part ? [[part.tensor, part]] : [])));
    for (const { region } of this.#parts) region.enter();
  }

  /**
   * The request that was held, with the bytes of all its inputs as raw contents and no word of regions in it: its answers
   * come raw, as `place` takes them. Called once. Throws as `readTensors` does; INVALID_ARGUMENT for too many bytes and
   * for an object that was cut, OVERLOADED when too many copies are held.
   */
  async fill(request: ModelInferRequest): Promise<ModelInferRequest> {
    this.#checkHeld();
    const { inputs: held } = this.tensors;
    this.#untake = this.#account.take(held.reduce((sum, part) => sum + (part?.part.lengthBytes ?? 0), 0));
    const read = await Promise.all(held.map(async (part) => part && this.#read(part)));
    const bytes = new Map(request.inputs.map((input, at) => [input, read[at] ?? NO_BYTES]));
    const tensors = readTensors(request, { region: (input) => bytes.get(input) ?? NO_BYTES });
    return {
      ...request,
      inputs: request.inputs.map((input) => ({
        ...input,
        parameters: withoutRegionPart(input.parameters),
        contents: undefined,
      })),
      outputs: request.outputs.map((output) => ({ ...output, parameters: withoutRegionPart(output.parameters) })),
      rawInputContents: tensors.map(({ data }) => data),
    };
  }

  async #read({ region, part }: HeldPart): Promise<Uint8Array> {
    const bytes = await region.read(part.offsetBytes, part.lengthBytes);
    this.#account.moved.in += bytes.byteLength;
    return bytes;
  }

  /**
   * Writes those outputs of an answer into regions that are wanted there. Returns the answer without their bytes: it says in
   * their parameters where they are and how long, and an empty entry keeps their place among the raw contents. May be
   * called for each answer of a stream, one after the other. Throws INVALID_ARGUMENT for an output that is longer than
   * its place, and for an object that was cut.
   */
  async place(response: ModelInferResponse): Promise<ModelInferResponse> {
    this.#checkHeld();
    const rawOutputContents = [...response.rawOutputContents];
    const outputs: ModelInferResponse["outputs"] = [];
    for (const [at, output] of response.outputs.entries()) {
      const held = this.#outputs.get(output.name);
      const bytes = rawOutputContents[at];
      if (!held) {
        outputs.push(output);
        continue;
      }
      assert(bytes, "a request that was filled has raw answers");
      const part = await this.#write(held, bytes);
      rawOutputContents[at] = NO_BYTES;
      outputs.push({ ...output, parameters: { ...output.parameters, ...printRegionPart(part) } });
    }
    return { ...response, outputs, rawOutputContents };
  }

  async #write({ tensor, region, part }: HeldPart, bytes: Uint8Array): Promise<RegionPart> {
    const { byteLength: lengthBytes } = bytes;
    if (lengthBytes > part.lengthBytes) {
      const place = `its place in the shared memory region ${part.region} has ${part.lengthBytes}`;
      throw invalid(`The output ${tensor} has ${lengthBytes} bytes, and ${place}`);
    }
    await region.write(part.offsetBytes, bytes);
    this.#account.moved.out += lengthBytes;
    return { ...part, lengthBytes };
  }

  /** What is released may be closed already, and its descriptor another file's. */
  #checkHeld(): void {
    if (this.#isReleased) throw new StatorError("CANCELLED");
  }

  /** The request has ended and its copies are not used any more. Once is enough. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#untake?.();
    for (const { region } of this.#parts) region.leave();
  }
}

function invalid(detail: string): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail });
}
