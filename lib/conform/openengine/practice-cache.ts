import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type KvEventBatchSchema,
  type KvEventSchema,
  StorageMedium,
  type SubscribeKvEventsRequest,
  type SubscribeKvEventsResponseSchema,
} from "#gen/openengine/v1/kv_pb";
import { viewBytes } from "#lib/base/bytes";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { EngineFaultName } from "./engine-faults.ts";

/** Tokens of a block. */
export const BLOCK_TOKENS = 16;
/** Batches that are kept for whoever asks for them again. */
const KEPT_BATCHES = 4_096;
/** Blocks that the cache of a practice engine has room for: a run of checks fills a part of it. */
export const CACHE_BLOCKS = 65_536;

type Batch = MessageInitShape<typeof KvEventBatchSchema> & { readonly sequenceNumber: bigint };
type Event = MessageInitShape<typeof KvEventSchema>;
type Response = MessageInitShape<typeof SubscribeKvEventsResponseSchema>;

/** A prefix cache that only knows names: what it has, and what it has told of it. Nothing ever leaves it. */
export class PracticeCache {
  readonly #clock: Clock;
  readonly #fault: EngineFaultName | undefined;
  /** Each block once, as it was told, in the order in which they came. */
  readonly #blocks = new Map<bigint, Event>();
  readonly #batches: Batch[] = [];
  readonly #readers = new Set<() => void>();
  #next = 1n;

  constructor(clock: Clock, fault: EngineFaultName | undefined) {
    this.#clock = clock;
    this.#fault = fault;
  }

  /** Blocks that it has. */
  get size(): number {
    return this.#blocks.size;
  }

  /** Takes a prompt: how many of its tokens were there before. One token at least is computed. */
  take(prompt: Uint32Array, salt: string, isRead: boolean): number {
    const names = chain(prompt, salt);
    const hit = names.findIndex((name) => !this.#blocks.has(name));
    const known = hit < 0 ? names.length : hit;
    for (let at = known; at < names.length && this.#blocks.size < CACHE_BLOCKS; at++) {
      const tokens = prompt.subarray(at * BLOCK_TOKENS, (at + 1) * BLOCK_TOKENS);
      const event = this.#stored(names[at]!, names[at - 1], tokens);
      this.#blocks.set(names[at]!, event);
      this.#tell(event);
    }
    return isRead ? Math.min(known * BLOCK_TOKENS, prompt.length - 1) : 0;
  }

  /** What a subscription hears, until its caller goes. Throws INVALID_ARGUMENT for a number that is not there. */
  async *subscribe(request: SubscribeKvEventsRequest, signal: AbortSignal): AsyncGenerator<Response> {
    const { startSequenceNumber: start, includeSnapshot } = request;
    const oldest = this.#batches[0]?.sequenceNumber ?? this.#next;
    const isKept = start >= oldest && start <= this.#next;
    if (start > 0n && !isKept && !includeSnapshot) {
      throw new StatorError("INVALID_ARGUMENT", { detail: `start_sequence_number: ${start} is not kept` });
    }
    let next = start > 0n && isKept ? start : this.#next;
    if (includeSnapshot && !(start > 0n && isKept)) {
      for (const event of [...this.#blocks.values()])
        yield { event: { case: "batch", value: this.#batch(next - 1n, event) } };
    }
    while (!signal.aborted) {
      const at = this.#batches.findIndex(({ sequenceNumber }) => sequenceNumber >= next);
      const batch = this.#batches[at];
      if (batch) {
        next = batch.sequenceNumber + 1n;
        yield { event: { case: "batch", value: batch } };
      } else await this.#news(signal);
    }
  }

  #tell(event: Event): void {
    const number = this.#next++;
    if (this.#fault === "event-gap" && number % 3n === 0n) return;
    this.#batches.push(this.#batch(number, event));
    if (this.#batches.length > KEPT_BATCHES) this.#batches.shift();
    for (const wake of [...this.#readers]) wake();
  }

  #news(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#readers.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#readers.add(wake);
      signal.addEventListener("abort", wake);
    });
  }

  #batch(sequenceNumber: bigint, event: Event): Batch {
    const timestampUnixNanos = BigInt(Math.floor(this.#clock.unixMs())) * 1_000_000n;
    return { sequenceNumber, timestampUnixNanos, dataParallelRank: 0, events: [event] };
  }

  #stored(name: bigint, parent: bigint | undefined, tokens: Uint32Array): Event {
    const told = this.#fault === "unknown-parent" && parent !== undefined ? parent ^ 1n : parent;
    const value = {
      blockHashes: [this.#print(name)],
      parentBlockHash: told === undefined ? undefined : this.#print(told),
      tokenIds: [...tokens],
      blockSize: BLOCK_TOKENS,
      medium: StorageMedium.GPU,
    };
    return { event: { case: "blockStored", value } };
  }

  #print(name: bigint): { value: Uint8Array; encoding: string } {
    const told = this.#fault === "ids-as-doubles" ? BigInt.asUintN(64, BigInt(Number(name))) : name;
    return { value: viewBytes(BigUint64Array.of(told)), encoding: "int64" };
  }
}

const PRIME = 0x9e3779b97f4a7c15n;

/** Names of the whole blocks of a prompt, each of what stands before it as well. */
function chain(prompt: Uint32Array, salt: string): bigint[] {
  let name = 0xcbf29ce484222325n;
  for (const letter of salt) name = mix(name, BigInt(letter.codePointAt(0)!));
  const names: bigint[] = [];
  for (const [at, token] of prompt.entries()) {
    name = mix(name, BigInt(token) + 1n);
    // The highest bit is set, so that names are beyond what a double holds.
    if ((at + 1) % BLOCK_TOKENS === 0) names.push(name | (1n << 63n));
  }
  return names;
}

function mix(state: bigint, value: bigint): bigint {
  const mixed = BigInt.asUintN(64, (state ^ value) * PRIME);
  return mixed ^ (mixed >> 29n);
}
