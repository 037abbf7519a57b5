import type { KvSession } from "#gen/stator/worker/v1/link_pb";
import type { PullBlocks, PullChunk, PullEnd, PullOpen } from "#gen/stator/worker/v1/payload_pb";
import { copyU64 } from "#lib/base/bytes";
import type { Clock } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import { blockBytes, type KvLayout, layoutDifference } from "#lib/kv/layout";
import { printLayout } from "#lib/kv/transfer-scope";
import type { TransferEngine } from "./agent.ts";
import { BlockConverter, type HashBytes } from "./block-converter.ts";
import type { BlockIntake } from "./block-intake.ts";
import { readLayout } from "./fitting.ts";
import type { Halt } from "./halt.ts";
import { CHUNK_BYTES, SLICE_BLOCKS, type TransferLimits } from "./limits.ts";
import type { CopyResult, CopyTicket, Mover, OwnRegion } from "./mover.ts";
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
  /** Looks at blocks that are converted. */
  readonly hashBytes: HashBytes;
}

/** Where blocks go. */
export interface BringInto {
  /** Memory for blocks of so many bytes, until they are in the engine. */
  memory(blockBytes: number): TransferMemory;
  readonly intake: BlockIntake;
  /** Token of the sequence at which the first block begins that is wanted. */
  readonly fromToken: number;
}

/** What is brought. */
export interface BringAsk {
  /** The session or the room. */
  readonly of: PullOpen["of"];
  /** host:port of its worker. */
  readonly address: string;
  /** Of the worker; 0: any. */
  readonly incarnation: bigint;
  /** How the owner's blocks lie, as far as that is known. */
  readonly layout: KvLayout;
  /** Undefined: no block is wanted, only the end. */
  readonly into: BringInto | undefined;
  /** How long the owner may say nothing. */
  readonly stallMs: number | undefined;
  /** Throws where what comes is not what is wanted. Returns how many blocks of the owner may come. */
  check(session: KvSession): number;
}

/** A first block that no sequence reaches. */
const NO_BLOCK = 0xffff_ffff;

/** What came. */
export interface Brought {
  /** Tokens of the sequence whose blocks the owner keeps. */
  readonly tokens: number;
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

/** What the blocks of one owner need on their way in. */
interface Inlet {
  readonly memory: TransferMemory;
  readonly converter: BlockConverter;
  readonly intake: BlockIntake;
}

/** Brings blocks from their owner: by the best way that works, and by the next one from where that has failed. */
export class Bring {
  readonly #deps: BringDeps;
  readonly #ask: BringAsk;
  readonly #halt: Halt;
  #layout: KvLayout;
  #inlet: Inlet | undefined;
  /** Blocks of the owner that have come, from the first one that is needed on, and that may come in all. */
  #came = 0;
  #most = 0;
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
    this.#layout = ask.layout;
    this.#inlet = this.#openInlet();
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
          const brought = await this.#pull(peer, rung);
          if (brought) return brought;
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

  #openInlet(): Inlet | undefined {
    const { into } = this.#ask;
    if (!into) return undefined;
    const { engine, hashBytes } = this.#deps;
    const { intake, fromToken } = into;
    const converter = new BlockConverter({ from: this.#layout, to: engine.layout, fromToken, intake, hashBytes });
    return { memory: into.memory(blockBytes(this.#layout)), converter, intake };
  }

  /** Undefined when it is to be done again: the owner's blocks are of another size than was thought. */
  async #pull(peer: Peer, rung: Rung): Promise<Brought | undefined> {
    const intake = this.#inlet?.intake;
    this.#halt.check();
    this.rung = rung;
    this.askedMs ??= this.#deps.clock.nowMs();
    const call = this.#open(peer, rung);
    const unlisten = this.#halt.listen((error) => call.stop(error));
    if (intake) intake.onError = (error) => call.stop(error);
    try {
      const { content: first } = await call.next();
      if (first.case === "end" && first.value.failed) return { tokens: 0, firstTokens: undefined };
      if (first.case !== "header" || !first.value.session) throw lie("it did not begin with a header");
      if (!this.#begin(first.value.session)) return undefined;
      call.shorten(first.value.session.leaseMs);
      const end = await this.#takeAll(call, peer, rung);
      this.#rewind();
      await intake?.settle();
      if (intake?.error) throw intake.error;
      const tokens = this.#most * this.#layout.blockTokens;
      return { tokens, firstTokens: end.failed ? undefined : firstTokensOf(end) };
    } finally {
      unlisten();
      this.#rewind();
      // Memory of the owner may be read until then.
      await intake?.settle();
      call.close();
    }
  }

  /** False when the owner's layout is another one than was thought; from then on it is known. */
  #begin(session: KvSession): boolean {
    this.#most = this.#ask.check(session);
    const layout = readLayout(session.layout);
    const wasKnown = layoutDifference(layout, this.#layout) === undefined;
    if (wasKnown || !this.#inlet) return true;
    if (this.#came > 0) throw lie("its layout has changed");
    this.#layout = layout;
    this.#inlet = this.#openInlet();
    return false;
  }

  #open(peer: Peer, rung: Rung): PullCall {
    const { engine, limits, clock } = this.#deps;
    const { of, incarnation, stallMs } = this.#ask;
    const { instanceId } = engine.identity();
    const { memory } = this.#inlet ?? {};
    const window = memory ? Math.min(memory.slots.count, Math.max(2, Math.floor(WINDOW_BYTES / memory.blockBytes))) : 1;
    const open = {
      ...{ of, incarnation, fromBlock: this.#nextBlock, rung: rungNumber(rung), windowBlocks: window },
      ...{ readerInstanceId: instanceId, modelDigest: engine.modelDigest, layout: printLayout(engine.layout) },
    };
    return new PullCall(peer.transport, { clock, open, leaseMs: limits.leaseMs, stallMs });
  }

  /** The block that comes next, of the owner's. */
  get #nextBlock(): number {
    return this.#inlet ? this.#inlet.converter.fromBlock + this.#came : NO_BLOCK;
  }

  async #takeAll(call: PullCall, peer: Peer, rung: Rung): Promise<PullEnd> {
    const before = this.#came;
    for (;;) {
      const { content } = await call.next();
      if (content.case === "end") {
        if (content.value.blocks !== this.#came - before) throw lie("it counts other blocks than it gave");
        return content.value;
      }
      const inlet = this.#inlet;
      if (!inlet) throw lie("blocks came that nobody asked for");
      if (content.case === "blocks" && rung !== "grpc")
        await this.#takePlaces(call, { peer, rung, inlet }, content.value);
      else if (content.case === "chunk" && rung === "grpc") await this.#takeChunk(call, inlet, content.value);
      else throw lie(`it sent ${content.case} by ${rung}`);
    }
  }

  /** Blocks of which nothing can be made yet, and the part of one, have to come again. */
  #rewind(): void {
    if (this.#part) this.#inlet?.memory.slots.give([this.#part.slot]);
    this.#part = undefined;
    this.#came -= this.#inlet?.converter.rewind() ?? 0;
  }

  async #takePlaces(call: PullCall, from: { peer: Peer; rung: Rung; inlet: Inlet }, blocks: PullBlocks): Promise<void> {
    const { peer, rung, inlet } = from;
    const offsets = copyU64(blocks.offsets, "offsets");
    const checksums = copyU64(blocks.checksums, "checksums");
    this.#expect(blocks.firstBlock, offsets.length);
    if (offsets.length === 0 || offsets.length !== checksums.length) throw lie("it counts otherwise than it lists");
    let source: Opened;
    try {
      source = await this.#halt.race(peer.memory(rung, blocks.region));
    } catch (caught) {
      this.#halt.check();
      throw new WayFailed(asStatorError(caught));
    }
    const size = "bytes" in source ? source.bytes.byteLength : source.sizeBytes;
    const last = BigInt(size - inlet.memory.blockBytes);
    if (offsets.some((offset) => offset > last)) throw lie("a block is outside its region");
    if ("bytes" in source && rung === "in-process") this.#borrow(call, inlet, { from: source, offsets, checksums });
    else {
      for (let at = 0; at < offsets.length; at += SLICE_BLOCKS) {
        const to = Math.min(at + SLICE_BLOCKS, offsets.length);
        const places = { from: source, offsets: offsets.slice(at, to), checksums: checksums.slice(at, to) };
        await this.#copy(call, inlet, places);
      }
    }
  }

  /** A neighbour's memory is read where it is. */
  #borrow(call: PullCall, { memory, converter, intake }: Inlet, places: Places & { from: OwnRegion }): void {
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

  async #copy(call: PullCall, { memory, converter }: Inlet, places: Places & { from: Opened }): Promise<void> {
    const { from } = places;
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
        converter.add({ bytes: memory.bytes(slot), checksum: undefined, done: () => memory.slots.give([slot]) });
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
    let ticket: CopyTicket;
    try {
      ticket = this.#order(from, memory, places);
    } catch (caught) {
      return { status: "failed", copied: 0, reason: asStatorError(caught).message, durationUs: 0, passes: 0 };
    }
    const unlisten = this.#halt.listen(() => ticket.cancel());
    const result = await ticket.done;
    unlisten();
    return result;
  }

  #order(from: Opened, memory: TransferMemory, places: Places & { slots: readonly number[] }): CopyTicket {
    const { mover, limits } = this.#deps;
    if (!memory.isMovable) {
      throw new StatorError("UNAVAILABLE", { what: "Memory", detail: "there is none that blocks could be copied to" });
    }
    return mover.copy({
      ...{ from, to: memory.region, blockBytes: memory.blockBytes, deadlineMs: limits.stallMs },
      ...{ fromOffsets: places.offsets, toOffsets: memory.offsets(places.slots) },
      checksums: this.#checks(places.checksums),
    });
  }

  #judge({ status, reason }: CopyResult): void {
    if (status === "done") return;
    this.#halt.check();
    if (status === "corrupt") throw new StatorError("CORRUPT", { what: "A KV block", detail: reason });
    throw new WayFailed(new StatorError("UNAVAILABLE", { what: "The memory of the worker", detail: reason }));
  }

  async #takeChunk(call: PullCall, inlet: Inlet, { block, offset, data, checksum }: PullChunk): Promise<void> {
    const { memory, converter } = inlet;
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
    converter.add({ bytes, checksum: this.#deps.limits.checksum ? checksum : undefined, done });
    call.take(1);
  }

  #expect(first: number, count: number): void {
    if (first !== this.#nextBlock) throw lie("blocks are missing");
    if (first + count > this.#most) throw lie("it gives more than it keeps");
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
