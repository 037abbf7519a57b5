import { close } from "node:fs";
import type { ModelInferRequest } from "#gen/inference/infer_pb";
import { type RegionPart, readRegionPart } from "#lib/api/kserve/region";
import { StatorError } from "#lib/base/errors";
import { SHARED_LIMITS, type SharedLimits } from "./limits.ts";
import { isStillThere, openObject, SHARED_FOLDER } from "./open-object.ts";
import { Region, type RegionDescription } from "./region.ts";
import { type HeldPart, RegionHold } from "./region-hold.ts";

/** Longest name of a region, in characters. */
const MOST_NAME = 256;

/** What differs from the usual regions of a process. */
export interface SharedRegionsOptions {
  /** What differs from `SHARED_LIMITS`. */
  readonly limits?: Partial<SharedLimits>;
  /** Where memory objects are; /dev/shm unless given. */
  readonly folder?: string;
}

/**
 * The regions of system shared memory that clients of a process have registered, by name. A name is free again as soon as
 * it is unregistered; requests that use the region keep it open until they end.
 */
export class SharedRegions {
  readonly #limits: SharedLimits;
  readonly #folder: string;
  readonly #regions = new Map<string, Region>();
  readonly #calls = new Set<(region: Region) => void>();
  readonly #refused: Record<keyof SharedLimits, number> = {
    regions: 0,
    regionBytes: 0,
    requestBytes: 0,
    copiedBytes: 0,
  };
  readonly #moved = { in: 0, out: 0 };
  #open = 0;
  #openBytes = 0;
  #copiedBytes = 0;

  constructor({ limits, folder = SHARED_FOLDER }: SharedRegionsOptions = {}) {
    this.#limits = { ...SHARED_LIMITS, ...limits };
    this.#folder = folder;
  }

  /** Regions that are open, registered or still in use. */
  get open(): number {
    return this.#open;
  }

  /** Their lengths together. */
  get openBytes(): number {
    return this.#openBytes;
  }

  /** Bytes of copies that requests hold. */
  get copiedBytes(): number {
    return this.#copiedBytes;
  }

  /** Bytes that were read from regions and written into them. */
  get movedBytes(): Readonly<{ in: number; out: number }> {
    return this.#moved;
  }

  /** How often each limit refused something. */
  get refused(): Readonly<Record<keyof SharedLimits, number>> {
    return this.#refused;
  }

  /** Where memory objects are. */
  get folder(): string {
    return this.#folder;
  }

  /**
   * Opens a region and gives it its name. ALREADY_EXISTS for a name that is taken; INVALID_ARGUMENT for a name without
   * letters, an empty region, one that is longer than its object, and a key that may not be opened; NOT_FOUND for a key
   * that nobody has made; LIMIT beyond the limits.
   */
  register(description: RegionDescription): void {
    const { name, key, offsetBytes, lengthBytes } = description;
    if (name === "" || name.length > MOST_NAME) throw invalid(`name: expected 1 to ${MOST_NAME} characters`);
    if (this.#regions.has(name)) throw new StatorError("ALREADY_EXISTS", { what: `The shared memory region ${name}` });
    if (!isLength(lengthBytes) || lengthBytes === 0) throw invalid("byte_size: expected a number of bytes above 0");
    if (!isLength(offsetBytes)) throw invalid("offset: expected a number of bytes");
    if (this.#open >= this.#limits.regions) throw this.#limit("regions", "shared memory regions");
    if (this.#openBytes + lengthBytes > this.#limits.regionBytes) {
      throw this.#limit("regionBytes", "bytes in shared memory regions");
    }
    const object = openObject(key, this.#folder);
    if (offsetBytes + lengthBytes > object.lengthBytes) {
      close(object.descriptor, () => {});
      const ends = `ends at byte ${offsetBytes + lengthBytes}`;
      throw invalid(`The region ${name} ${ends}, and the memory object ${key} has ${object.lengthBytes}`);
    }
    this.#open++;
    this.#openBytes += lengthBytes;
    const region: Region = new Region(description, object.descriptor, () => this.#closed(region));
    this.#regions.set(name, region);
  }

  /** Frees a name; nothing when nobody has it. */
  unregister(name: string): void {
    const region = this.#regions.get(name);
    this.#regions.delete(name);
    region?.leave();
  }

  /** Frees all names. */
  clear(): void {
    for (const name of [...this.#regions.keys()]) this.unregister(name);
  }

  /** Forgets all regions. What requests still use is closed when they end. */
  close(): void {
    this.clear();
  }

  /** What is registered, in the order of registration. */
  list(): RegionDescription[] {
    return [...this.#regions.values()].map(({ description }) => description);
  }

  /** What is registered under a name. Throws NOT_FOUND. */
  find(name: string): RegionDescription {
    return this.#find(name).description;
  }

  /** Whether the key of an open region still leads to the memory object that it was opened by. */
  isInPlace(region: Region): boolean {
    return isStillThere(region.description.key, region.descriptor, this.#folder);
  }

  /** Calls when a region was unregistered and its last user has left; returns what ends it. */
  onClose(call: (region: Region) => void): () => void {
    this.#calls.add(call);
    return () => void this.#calls.delete(call);
  }

  /**
   * Takes hold of what a request names in its tensors' parameters; undefined when it names nothing. Whoever gets a hold
   * releases it when the request has ended. NOT_FOUND for a region that is not registered, INVALID_ARGUMENT for
   * parameters that mean nothing and for parts that reach beyond their region.
   */
  hold({ inputs, outputs }: ModelInferRequest): RegionHold | undefined {
    const held = {
      inputs: inputs.map(({ name, parameters }) => this.#part(readRegionPart(parameters, `The input ${name}`), name)),
      outputs: outputs.map(({ name, parameters }) =>
        this.#part(readRegionPart(parameters, `The output ${name}`), name),
      ),
    };
    const parts = [...held.inputs, ...held.outputs].filter((part) => part !== undefined);
    if (parts.length === 0) return undefined;
    return new RegionHold(held, { take: (bytes) => this.#take(bytes), moved: this.#moved });
  }

  #part(part: RegionPart | undefined, tensor: string): HeldPart | undefined {
    if (!part) return undefined;
    const region = this.#find(part.region);
    const { lengthBytes } = region.description;
    if (part.offsetBytes + part.lengthBytes <= lengthBytes) return { tensor, region, part };
    const ends = `ends at byte ${part.offsetBytes + part.lengthBytes} of the shared memory region ${part.region}`;
    throw invalid(`The tensor ${tensor} ${ends}, which has ${lengthBytes}`);
  }

  #find(name: string): Region {
    const region = this.#regions.get(name);
    if (region) return region;
    throw new StatorError("NOT_FOUND", { what: `The shared memory region ${name.slice(0, MOST_NAME)}` });
  }

  /** Counts copies that are about to be made. Returns what says that they are not needed any more. */
  #take(bytes: number): () => void {
    const { requestBytes, copiedBytes } = this.#limits;
    if (bytes > requestBytes) {
      this.#refused.requestBytes++;
      throw invalid(`The request has ${bytes} bytes of inputs in shared memory, and may have ${requestBytes}`);
    }
    if (this.#copiedBytes + bytes > copiedBytes) {
      this.#refused.copiedBytes++;
      throw new StatorError("OVERLOADED", { what: "copies of shared memory" });
    }
    this.#copiedBytes += bytes;
    return () => {
      this.#copiedBytes -= bytes;
    };
  }

  #closed(region: Region): void {
    this.#open--;
    this.#openBytes -= region.description.lengthBytes;
    for (const call of [...this.#calls]) call(region);
  }

  #limit(limit: "regions" | "regionBytes", what: string): StatorError {
    this.#refused[limit]++;
    return new StatorError("LIMIT", { what: `The number of ${what}`, limit: this.#limits[limit] });
  }
}

function isLength(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function invalid(detail: string): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail });
}
