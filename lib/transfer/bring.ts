import type { KvSession } from "#gen/stator/worker/v1/link_pb";
import type { PullBlocks, PullChunk, PullEnd, PullOpen } from "#gen/stator/worker/v1/payload_pb";
import { copyU64 } from "#lib/base/bytes";
import type { Clock } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { TransferEngine } from "./agent.ts";
import type { BlockIntake } from "./block-intake.ts";
import type { Halt } from "./halt.ts";
import { printLayout } from "./layouts.ts";
import { CHUNK_BYTES, SLICE_BLOCKS, type TransferLimits } from "./limits.ts";
import type { CopyResult, Mover, OwnRegion } from "./mover.ts";
import type { Opened, Peer } from "./peer.ts";
import type { Peers } from "./peers.ts";
import { PullCall } from "./pull-call.ts";
import { type Rung, rungNumber } from "./rung.ts";
import { firstTokensOf } from "./session-message.ts";
import type { TransferMemory } from "./transfer-memory.ts";

/** Bytes that one fetch has on their way at most, but for two blocks. */
const WINDOW_BYTES = 32 * 1024 * 1024;

/** What blocks are brought with. */
export interface BringDeps {
  readonly engine: TransferEngine;
  readonly peers: Peers;
  readonly mover: Mover;
  readonly limits: TransferLimits;
  readonly clock: Clock;
}

/** What is brought. */
export interface BringAsk {
  /** The session or the room. */
  readonly of: PullOpen["of"];
  /** host:port of its worker. */
  readonly address: string;
  /** Of the worker; 0: any. */
  readonly incarnation: bigint;
  /** First block that is wanted, of the owner's. */
  readonly fromBlock: number;
  /** Where blocks arrive, and where they go; undefined: none is wanted, only the end. */
  readonly into: { readonly memory: TransferMemory; readonly intake: BlockIntake } | undefined;
  /** How long the owner may say nothing. */
  readonly stallMs: number | undefined;
  /** Throws where what comes is not what is wanted. */
  check(session: KvSession): void;
}

/** What came. */
export interface Brought {
  /** Blocks that the owner has given in all. */
  readonly blocks: number;
  /** What its prefill drew; undefined where it came to nothing. */
  readonly firstTokens: Uint32Array | undefined;
}

/** A way does not work: the next one's turn. */
class WayFailed extends Error {
  override readonly name = "WayFailed";
  readonly error: StatorError;

  constructor(error: StatorError) {
    super(error.message, { cause: error });
    this.error = error;
  }
}

/** Brings blocks from their owner: by the best way that works, and by the next one from where that has failed. */
export class Bring {
  readonly #deps: BringDeps;
  readonly #ask: BringAsk;
  readonly #halt: Halt;
  /** Blocks that have come, from the first one that was wanted on. */
  #came = 0;
  /** Of the block that is coming in chunks. */
  #part: { readonly bytes: Uint8Array; readonly slot: number; filled: number } | undefined;
  /** The way that was taken last. */
  rung: Rung | undefined;
  /** When the first block was asked for. */
  askedMs: number | undefined;

  constructor(deps: BringDeps, ask: BringAsk, halt: Halt) {
    this.#deps = deps;
    this.#ask = ask;
    this.#halt = halt;
  }

  /** Resolves when all is in place. Throws why it is not; what is in place then stays. */
  async run(): Promise<Brought> {
    const { peers } = this.#deps;
    const { address, incarnation } = this.#ask;
    const peer = await this.#halt.race(peers.find(address, incarnation));
    const leave = peer.enter();
    try {
      for (let rung = peer.ladder.best; rung !== undefined; rung = peer.ladder.best) {
        try {
          return await this.#pull(peer, rung);
        } catch (caught) {
          if (!(caught instanceof WayFailed)) throw caught;
          peers.demote(peer, rung, caught.error);
        }
      }
    } finally {
      leave();
    }
    throw new StatorError("UNAVAILABLE", { what: "The memory of the worker", detail: "no way to it works" });
  }

  async #pull(peer: Peer, rung: Rung): Promise<Brought> {
    const { into } = this.#ask;
    this.#halt.check();
    this.rung = rung;
    this.askedMs ??= this.#deps.clock.nowMs();
    const call = this.#open(peer, rung);
    const unlisten = this.#halt.listen((error) => call.stop(error));
    try {
      const { content: first } = await call.next();
      if (first.case !== "header" || !first.value.session) throw lie("it did not begin with a header");
      this.#ask.check(first.value.session);
      call.shorten(first.value.session.leaseMs);
      const end = await this.#takeAll(call, peer, rung);
      await into?.intake.settle();
      if (into?.intake.error) throw into.intake.error;
      return { blocks: end.blocks, firstTokens: end.failed ? undefined : firstTokensOf(end) };
    } finally {
      unlisten();
      this.#dropPart();
      // Memory of the owner may be read until then.
      await into?.intake.settle();
      call.close();
    }
  }

  #open(peer: Peer, rung: Rung): PullCall {
    const { engine, limits, clock } = this.#deps;
    const { of, incarnation, fromBlock, into, stallMs } = this.#ask;
    const { instanceId } = engine.identity();
    const { memory } = into ?? {};
    const window = memory ? Math.min(memory.slots.count, Math.max(2, Math.floor(WINDOW_BYTES / memory.blockBytes))) : 1;
    const open = {
      ...{ of, incarnation, fromBlock: fromBlock + this.#came, rung: rungNumber(rung), windowBlocks: window },
      ...{ readerInstanceId: instanceId, modelDigest: engine.modelDigest, layout: printLayout(engine.layout) },
    };
    return new PullCall(peer.transport, { clock, open, leaseMs: limits.leaseMs, stallMs });
  }

  async #takeAll(call: PullCall, peer: Peer, rung: Rung): Promise<PullEnd> {
    const before = this.#came;
    for (;;) {
      const { content } = await call.next();
      if (content.case === "end") {
        if (content.value.blocks !== this.#came - before) throw lie("it counts other blocks than it gave");
        return content.value;
      }
      const { into } = this.#ask;
      if (!into) throw lie("blocks came that nobody asked for");
      if (into.intake.error) throw into.intake.error;
      if (content.case === "blocks" && rung !== "grpc") await this.#takePlaces(call, { peer, rung }, content.value);
      else if (content.case === "chunk" && rung === "grpc") await this.#takeChunk(call, content.value);
      else throw lie(`it sent ${content.case} by ${rung}`);
    }
  }

  async #takePlaces(call: PullCall, from: { peer: Peer; rung: Rung }, blocks: PullBlocks): Promise<void> {
    const { peer, rung } = from;
    const offsets = copyU64(blocks.offsets, "offsets");
    const checksums = copyU64(blocks.checksums, "checksums");
    if (blocks.firstBlock !== this.#ask.fromBlock + this.#came) throw lie("blocks are missing");
    if (offsets.length === 0 || offsets.length !== checksums.length) throw lie("it counts otherwise than it lists");
    let source: Opened;
    try {
      source = await this.#halt.race(peer.memory(rung, blocks.region));
    } catch (caught) {
      this.#halt.check();
      throw new WayFailed(asStatorError(caught));
    }
    const size = "bytes" in source ? source.bytes.byteLength : source.sizeBytes;
    const last = BigInt(size - this.#ask.into!.memory.blockBytes);
    if (offsets.some((offset) => offset > last)) throw lie("a block is outside its region");
    if ("bytes" in source && rung === "in-process") this.#borrow(call, source, { offsets, checksums });
    else {
      for (let at = 0; at < offsets.length; at += SLICE_BLOCKS) {
        const to = Math.min(at + SLICE_BLOCKS, offsets.length);
        await this.#copy(call, source, { offsets: offsets.slice(at, to), checksums: checksums.slice(at, to) });
      }
    }
  }

  /** A neighbour's memory is read where it is. */
  #borrow(call: PullCall, { bytes }: OwnRegion, places: Places): void {
    const { memory, intake } = this.#ask.into!;
    for (const [at, offset] of places.offsets.entries()) {
      const start = Number(offset);
      this.#came++;
      intake.add({
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

  async #copy(call: PullCall, from: Opened, places: Places): Promise<void> {
    const { memory, intake } = this.#ask.into!;
    let at = 0;
    while (at < places.offsets.length) {
      const slots = await this.#takeSlots(memory, places.offsets.length - at);
      const to = at + slots.length;
      const part = { offsets: places.offsets.slice(at, to), checksums: places.checksums.slice(at, to) };
      const result = await this.#move(from, memory, { slots, ...part });
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
        intake.add({ bytes: memory.bytes(slot), checksum: undefined, done: () => memory.slots.give([slot]) });
      }
      this.#judge(result);
      at = to;
    }
  }

  async #move(
    from: Opened,
    memory: TransferMemory,
    places: Places & { slots: readonly number[] },
  ): Promise<CopyResult> {
    const { mover, limits } = this.#deps;
    const ticket = mover.copy({
      ...{ from, to: memory.region, blockBytes: memory.blockBytes, deadlineMs: limits.stallMs },
      ...{ fromOffsets: places.offsets, toOffsets: memory.offsets(places.slots) },
      checksums: this.#checks(places.checksums),
    });
    const unlisten = this.#halt.listen(() => ticket.cancel());
    const result = await ticket.done;
    unlisten();
    return result;
  }

  #judge({ status, reason }: CopyResult): void {
    if (status === "done") return;
    this.#halt.check();
    if (status === "corrupt") throw new StatorError("CORRUPT", { what: "A KV block", detail: reason });
    throw new WayFailed(new StatorError("UNAVAILABLE", { what: "The memory of the worker", detail: reason }));
  }

  async #takeChunk(call: PullCall, { block, offset, data, checksum }: PullChunk): Promise<void> {
    const { memory, intake } = this.#ask.into!;
    if (block !== this.#ask.fromBlock + this.#came) throw lie("blocks are missing");
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
    intake.add({ bytes, checksum: this.#deps.limits.checksum ? checksum : undefined, done });
    call.take(1);
  }

  #dropPart(): void {
    if (this.#part) this.#ask.into?.memory.slots.give([this.#part.slot]);
    this.#part = undefined;
  }

  #checks(checksums: BigUint64Array): BigUint64Array | undefined {
    return this.#deps.limits.checksum ? checksums : undefined;
  }

  /** Places for at least one and at most so many blocks. */
  async #takeSlots(memory: TransferMemory, most: number): Promise<number[]> {
    const granted = Promise.withResolvers<number[]>();
    const leave = memory.slots.ask(most, granted.resolve);
    const unlisten = this.#halt.listen((error) => {
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

function lie(detail: string): StatorError {
  return new StatorError("CORRUPT", { what: "What the worker says of its blocks", detail });
}
