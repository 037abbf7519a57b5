import type { PullBlocks, PullChunk } from "#gen/stator/worker/v1/payload_pb";
import { copyU64 } from "#lib/base/bytes";
import { asStatorError, StatorError } from "#lib/base/errors";
import { batchBlocks, CHUNK_BYTES, type TransferLimits } from "../limits.ts";
import type { CopyResult, CopyTicket, Mover, OwnRegion } from "../mover.ts";
import type { Rung } from "../rung.ts";
import type { TransferMemory } from "../transfer-memory.ts";
import type { BlockConverter } from "./block-converter.ts";
import { type BlockIntake, corrupt } from "./block-intake.ts";
import type { Halt } from "./halt.ts";
import type { Opened, Peer } from "./peer.ts";
import type { PullCall } from "./pull-call.ts";

/** A way does not work: the next one's turn. */
export class WayFailed extends Error {
  override readonly name = "WayFailed";
  readonly error: StatorError;

  constructor(error: StatorError) {
    super(error.message, { cause: error });
    this.error = error;
  }
}

/** What blocks of one owner need on their way in. */
export interface InletOptions {
  /** Copies them. */
  readonly mover: Mover;
  /** Times, and whether blocks are checked. */
  readonly limits: TransferLimits;
  /** What ends it. */
  readonly halt: Halt;
  /** Where they are until they are in the engine. */
  readonly memory: TransferMemory;
  /** Where they go. */
  readonly converter: BlockConverter;
  /** Where they go from there. */
  readonly intake: BlockIntake;
}

/** Takes an owner's blocks in, whatever way they come, and lets the owner know what was taken. */
export class Inlet {
  readonly intake: BlockIntake;
  readonly memory: TransferMemory;
  readonly #options: InletOptions;
  /** Of the block that is coming in chunks. */
  #part: { readonly bytes: Uint8Array; readonly slot: number; filled: number } | undefined;
  #came = 0;
  /** Blocks that may come in all, from the start of the sequence on. */
  most = 0;

  constructor(options: InletOptions) {
    this.#options = options;
    this.intake = options.intake;
    this.memory = options.memory;
  }

  /** Blocks of the owner that have come, from the first one that is needed on. */
  get came(): number {
    return this.#came;
  }

  /** The block that comes next, of the owner's. */
  get nextBlock(): number {
    return this.#options.converter.fromBlock + this.#came;
  }

  /** The part of a block that has come has to come again. */
  dropPart(): void {
    if (this.#part) this.memory.slots.give([this.#part.slot]);
    this.#part = undefined;
  }

  /** Takes blocks from where they are. Throws WayFailed where the way does not work; what came before stays. */
  async takePlaces(call: PullCall, { peer, rung }: { peer: Peer; rung: Rung }, blocks: PullBlocks): Promise<void> {
    const offsets = copyU64(blocks.offsets, "offsets");
    const checksums = copyU64(blocks.checksums, "checksums");
    this.#expect(blocks.firstBlock, offsets.length);
    if (offsets.length === 0 || offsets.length !== checksums.length) throw lie("it counts otherwise than it lists");
    let source: Opened;
    try {
      source = await this.#options.halt.race(peer.memory(rung, blocks.region));
    } catch (caught) {
      this.#options.halt.check();
      throw new WayFailed(asStatorError(caught));
    }
    const size = "bytes" in source ? source.bytes.byteLength : source.sizeBytes;
    const last = BigInt(size - this.memory.blockBytes);
    if (offsets.some((offset) => offset > last)) throw lie("a block is outside its region");
    if ("bytes" in source && rung === "in-process") this.#borrow(call, { from: source, offsets, checksums });
    else {
      const batch = batchBlocks(this.memory, this.#options.limits);
      for (let at = 0; at < offsets.length; at += batch) {
        const to = Math.min(at + batch, offsets.length);
        const places = { from: source, offsets: offsets.slice(at, to), checksums: checksums.slice(at, to) };
        await this.#copy(call, places);
      }
    }
  }

  /** A neighbour's memory is read where it is. */
  #borrow(call: PullCall, places: Places & { from: OwnRegion }): void {
    const { memory, converter, intake } = this.#options;
    const { bytes } = places.from;
    for (const [at, offset] of places.offsets.entries()) {
      const start = Number(offset);
      this.#came++;
      converter.add({
        bytes: bytes.subarray(start, start + memory.blockBytes),
        checksum: this.#checks(places.checksums)?.[at],
        done() {
          try {
            call.take(1);
          } catch (caught) {
            intake.fail(asStatorError(caught));
            call.stop(asStatorError(caught));
          }
        },
      });
    }
  }

  async #copy(call: PullCall, places: Places & { from: Opened }): Promise<void> {
    const { memory, converter } = this.#options;
    let at = 0;
    while (at < places.offsets.length) {
      const slots = await this.#takeSlots(memory, places.offsets.length - at);
      const to = at + slots.length;
      const part = { offsets: places.offsets.slice(at, to), checksums: places.checksums.slice(at, to) };
      const result = await this.#move(slots, { from: places.from, ...part });
      const copied = Math.min(result.copied, slots.length);
      memory.slots.give(slots.slice(copied));
      try {
        if (copied > 0) call.take(copied);
      } catch (caught) {
        memory.slots.give(slots.slice(0, copied));
        throw caught;
      }
      this.#came += copied;
      for (const slot of slots.slice(0, copied)) {
        converter.add({ bytes: memory.bytes(slot), checksum: undefined, done: () => memory.slots.give([slot]) });
      }
      this.#judge(result);
      at = to;
    }
  }

  async #move(slots: readonly number[], places: Places & { from: Opened }): Promise<CopyResult> {
    let ticket: CopyTicket;
    try {
      ticket = this.#order(slots, places);
    } catch (caught) {
      return { status: "failed", copied: 0, reason: asStatorError(caught).message, durationUs: 0, passes: 0 };
    }
    const unlisten = this.#options.halt.listen(() => ticket.cancel());
    const result = await ticket.done;
    unlisten();
    return result;
  }

  #order(slots: readonly number[], { from, offsets, checksums }: Places & { from: Opened }): CopyTicket {
    const { mover, limits, memory } = this.#options;
    if (!memory.isMovable) {
      throw new StatorError("UNAVAILABLE", { what: "Memory", detail: "there is none that blocks could be copied to" });
    }
    return mover.copy({
      ...{ from, to: memory.region, blockBytes: memory.blockBytes, deadlineMs: limits.stallMs },
      ...{ fromOffsets: offsets, toOffsets: memory.offsets(slots), checksums: this.#checks(checksums) },
    });
  }

  #judge({ status, reason }: CopyResult): void {
    if (status === "done") return;
    this.#options.halt.check();
    if (status === "corrupt") throw corrupt(reason);
    throw new WayFailed(new StatorError("UNAVAILABLE", { what: "The memory of the worker", detail: reason }));
  }

  /** Takes the next bytes of a block out of a message. */
  async takeChunk(call: PullCall, { block, offset, data, checksum }: PullChunk): Promise<void> {
    const { memory, converter, limits } = this.#options;
    this.#expect(block, 1);
    if (!this.#part) {
      const [slot] = await this.#takeSlots(memory, 1);
      this.#part = { bytes: memory.bytes(slot!), slot: slot!, filled: 0 };
    }
    const part = this.#part;
    const end = offset + data.byteLength;
    if (offset !== part.filled || data.byteLength === 0 || data.byteLength > CHUNK_BYTES || end > memory.blockBytes) {
      throw lie("a chunk does not follow the one before it");
    }
    part.bytes.set(data, offset);
    part.filled = end;
    if (end < memory.blockBytes) return;
    this.#part = undefined;
    this.#came++;
    const { slot, bytes } = part;
    const done = () => memory.slots.give([slot]);
    converter.add({ bytes, checksum: limits.checksum ? checksum : undefined, done });
    call.take(1);
  }

  #expect(first: number, count: number): void {
    if (first !== this.nextBlock) throw lie("blocks are missing");
    if (first + count > this.most) throw lie("it gives more than it keeps");
  }

  #checks(checksums: BigUint64Array): BigUint64Array | undefined {
    return this.#options.limits.checksum ? checksums : undefined;
  }

  /** Places for at least one and at most so many blocks. */
  async #takeSlots(memory: TransferMemory, most: number): Promise<number[]> {
    const granted = Promise.withResolvers<number[]>();
    const leave = memory.slots.ask(most, granted.resolve);
    const unlisten = this.#options.halt.listen((error) => {
      leave();
      granted.reject(error);
    });
    try {
      return await granted.promise;
    } finally {
      unlisten();
    }
  }
}

/** Where blocks lie, and what they must be. */
interface Places {
  readonly offsets: BigUint64Array;
  readonly checksums: BigUint64Array;
}

/** The owner says what cannot be. */
export function lie(detail: string): StatorError {
  return new StatorError("CORRUPT", { what: "What the worker says of its blocks", detail });
}
