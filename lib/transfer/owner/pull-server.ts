import type { PullOpen, PullRequest } from "#gen/stator/worker/v1/payload_pb";
import { equalBytes, viewBytes, writeU32 } from "#lib/base/bytes";
import type { Clock, Timer } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { TransferEngine } from "../agent.ts";
import { mismatch, readLayout, requireConvertible } from "../fitting.ts";
import { batchBlocks, CHUNK_BYTES, type TransferLimits } from "../limits.ts";
import type { PullChannel } from "../pull-wire.ts";
import { type Rung, rungOf } from "../rung.ts";
import { printSession } from "../session-message.ts";
import type { TransferMemory } from "../transfer-memory.ts";
import type { Lent } from "./lent.ts";
import type { LentTable } from "./lent-table.ts";

/** Bytes that are put into messages in one go, but for one block. */
const MOST_SENT_BYTES = 1024 * 1024;

/** Bytes that may wait to leave before more blocks are read. */
const MOST_BUFFERED_BYTES = 4 * MOST_SENT_BYTES;

/** What a pull is served from. */
export interface PullDeps {
  /** Whose blocks they are. */
  readonly engine: TransferEngine;
  /** What is kept. */
  readonly table: LentTable;
  /** Where blocks are on their way out. */
  readonly memory: TransferMemory;
  /** Times. */
  readonly limits: TransferLimits;
  /** Of leases. */
  readonly clock: Clock;
  /** Told what cannot be read. */
  readonly log: Log;
  /** Runs beside the caller; who closes the memory waits for it. */
  spawn(name: string, run: () => Promise<void>): void;
  /** Blocks were given. */
  onGiven(rung: Rung, blocks: number): void;
}

/** Serves one reader until one of both ends it. `onOver` is called once. */
export function servePull(
  channel: PullChannel,
  deps: PullDeps,
  onOver: () => void,
): { stop(error: StatorError): void } {
  const pull = new PullServer(channel, deps, onOver);
  pull.receive();
  return { stop: (error) => pull.end(error) };
}

/**
 * The owner's end of one Pull: gives blocks as they are ready, as many at once as the reader has room for. Memory is used
 * again when the reader has taken what is there; of a reader that was lost, when its lease is over.
 */
class PullServer {
  readonly #channel: PullChannel;
  readonly #deps: PullDeps;
  readonly #onOver: () => void;
  #open: PullOpen | undefined;
  #rung: Rung = "grpc";
  #lent: Lent | undefined;
  /** The next block to be given, and the first one that the reader has not taken. */
  #next = 0;
  #untaken = 0;
  /** Places of the given blocks that were not taken, in their order. */
  #slots: number[] = [];
  /** Memory of the messages that each of them left in, of the way gRPC. */
  #sent: Buffer[][] = [];
  /** What takes a wait back: for a room, or for memory. */
  #leave: (() => void) | undefined;
  #isReading = false;
  /** A read has failed: no block follows. */
  #isBroken = false;
  #isEndSent = false;
  #isOver = false;
  #heardMs: number;
  #movedMs: number;
  #timer: Timer | undefined;

  constructor(channel: PullChannel, deps: PullDeps, onOver: () => void) {
    this.#channel = channel;
    this.#deps = deps;
    this.#onOver = onOver;
    this.#heardMs = deps.clock.nowMs();
    this.#movedMs = this.#heardMs;
    this.#watch(deps.limits.leaseMs);
  }

  receive(): void {
    this.#channel.receive({
      onMessage: (request) => this.#hear(request),
      onEnd: (error) => this.#ended(error),
      onDrain: () => this.#pump(),
    });
  }

  /** A reader that says nothing for a lease, or takes nothing of what it has, is given up. */
  #watch(inMs: number): void {
    const { clock, limits } = this.#deps;
    this.#timer = clock.after(inMs, () => {
      const nowMs = clock.nowMs();
      if (nowMs - this.#heardMs >= limits.leaseMs) this.end(new StatorError("LEASE_LOST", { lease: "of the reader" }));
      const isDue = this.#slots.length > 0 || this.#isEndSent;
      if (isDue && nowMs - this.#movedMs >= limits.deadlineMs) {
        this.end(new StatorError("DEADLINE", { deadlineMs: limits.deadlineMs }));
      }
      if (!this.#isOver) this.#watch(Math.max(1, this.#heardMs + limits.leaseMs - nowMs));
    });
  }

  #hear({ content }: PullRequest): void {
    if (this.#isOver) return;
    this.#heardMs = this.#deps.clock.nowMs();
    if (this.#lent) this.#deps.table.renew(this.#lent);
    try {
      if (content.case === "open") this.#begin(content.value);
      else if (content.case === "taken") this.#take(content.value.blocks);
      else throw invalid("A reader opens, then takes");
    } catch (caught) {
      this.end(asStatorError(caught));
    }
  }

  #begin(open: PullOpen): void {
    if (this.#open) throw invalid("A pull is opened once");
    this.#open = open;
    this.#check(open);
    this.#next = open.fromBlock;
    this.#untaken = open.fromBlock;
    const { table } = this.#deps;
    if (open.of.case === "sessionId") {
      const lent = table.session(open.of.value);
      if (!lent) throw new StatorError("NOT_FOUND", { what: "The session" });
      this.#attach(lent);
    } else if (open.of.case === "room") {
      this.#leave = table.enter(open.of.value, (found) => {
        if (found instanceof StatorError) this.#fail(found);
        else this.#attach(found);
      });
    } else throw invalid("of: a session or a room is named");
  }

  #check(open: PullOpen): void {
    const { engine } = this.#deps;
    const { incarnation } = engine.identity();
    if (open.incarnation !== 0n && open.incarnation !== incarnation) {
      throw new StatorError("STREAM_LOST", { detail: "the worker that kept the session has ended" });
    }
    if (!equalBytes(open.modelDigest, engine.modelDigest)) {
      throw mismatch("model_digest", "the reader has other weights");
    }
    requireConvertible(engine.layout, readLayout(open.layout));
    const rung = rungOf(open.rung);
    if (rung === undefined) throw invalid(`rung: ${open.rung} is not known`);
    if (open.windowBlocks < 1) throw invalid("window_blocks: at least 1");
    this.#rung = rung;
  }

  #attach(lent: Lent): void {
    const { engine, limits } = this.#deps;
    this.#leave = undefined;
    this.#lent = lent;
    lent.watchers.add(this.#pump);
    const hashes = lent.firstTokens ? lent.hashes.subarray(0, lent.available) : lent.hashes;
    const facts = { sessionId: lent.id, tokens: lent.tokens, hashes, leaseMs: limits.leaseMs };
    const firstTokens = lent.room === undefined ? (lent.firstTokens ?? new Uint32Array()) : new Uint32Array();
    this.#channel.send({ case: "header", value: { session: printSession(engine, { ...facts, firstTokens }) } });
    this.#pump();
  }

  #take(blocks: number): void {
    if (!this.#open) throw invalid("A pull begins with what is opened");
    const taken = this.#open.fromBlock + blocks;
    if (taken < this.#untaken || taken > this.#next) throw invalid("taken: blocks that were not given");
    const done = this.#slots.splice(0, taken - this.#untaken);
    if (done.length > 0) this.#movedMs = this.#heardMs;
    this.#untaken = taken;
    for (const memories of this.#sent.splice(0, done.length)) this.#channel.reuse(memories);
    this.#deps.memory.slots.give(done);
    this.#pump();
  }

  /** Does what can be done now. */
  readonly #pump = (): void => {
    const lent = this.#lent;
    if (!lent || this.#isOver || this.#isReading || this.#isEndSent) return;
    if (lent.error) {
      this.#fail(lent.error);
      return;
    }
    // It drains; the next blocks are read while the last ones leave.
    if (this.#channel.bufferedBytes > MOST_BUFFERED_BYTES) return;
    const ready = this.#isBroken ? 0 : lent.available - this.#next;
    if (ready > 0) this.#ask(lent, ready);
    else if (lent.firstTokens) this.#finish(lent.firstTokens);
  };

  /** Waits for memory for the next blocks, as far as the reader has room for them; others need some too. */
  #ask(lent: Lent, ready: number): void {
    const { memory, limits } = this.#deps;
    const { slots, places } = memory;
    const share = Math.max(batchBlocks(memory, limits), places >> 2);
    const room = Math.min(this.#open?.windowBlocks ?? 0, share) - this.#slots.length;
    if (room <= 0) return;
    this.#isReading = true;
    try {
      this.#leave = slots.ask(Math.min(ready, room, this.#batch()), (granted) => {
        this.#deps.spawn("give blocks", () => this.#read(lent, granted));
      });
    } catch (caught) {
      this.end(asStatorError(caught));
    }
  }

  /** Blocks that are read in one go; what goes in messages is buffered, and read little by little. */
  #batch(): number {
    const { memory, limits } = this.#deps;
    const most = batchBlocks(memory, limits);
    if (this.#rung !== "grpc") return most;
    return Math.max(1, Math.min(most, Math.floor(MOST_SENT_BYTES / memory.blockBytes)));
  }

  async #read(lent: Lent, slots: readonly number[]): Promise<void> {
    const { memory } = this.#deps;
    let checksums: BigUint64Array | undefined;
    try {
      const into = slots.map((slot) => memory.bytes(slot));
      checksums = await lent.read(this.#next, into);
    } catch (caught) {
      // What cannot be read is computed by the reader: it hears how many came.
      this.#isBroken = true;
      this.#deps.log.warn("kept blocks cannot be read", { error: asStatorError(caught) });
    }
    this.#isReading = false;
    if (!checksums || this.#isOver) memory.slots.give(slots);
    else this.#give(slots, checksums);
    this.#pump();
  }

  #give(slots: readonly number[], checksums: BigUint64Array): void {
    const { memory, clock, onGiven } = this.#deps;
    if (this.#rung === "grpc") this.#sendBytes(slots, checksums);
    else {
      const offsets = viewBytes(memory.offsets(slots));
      const value = { firstBlock: this.#next, region: memory.region.id, offsets, checksums: viewBytes(checksums) };
      this.#channel.send({ case: "blocks", value });
    }
    if (this.#slots.length === 0) this.#movedMs = clock.nowMs();
    this.#slots.push(...slots);
    this.#next += slots.length;
    onGiven(this.#rung, slots.length);
  }

  #sendBytes(slots: readonly number[], checksums: BigUint64Array): void {
    for (const [at, slot] of slots.entries()) {
      const bytes = this.#deps.memory.bytes(slot);
      const sent: Buffer[] = [];
      for (let offset = 0; offset < bytes.byteLength; offset += CHUNK_BYTES) {
        const data = bytes.subarray(offset, offset + CHUNK_BYTES);
        const isLast = offset + data.byteLength === bytes.byteLength;
        const checksum = isLast ? checksums[at]! : 0n;
        sent.push(this.#channel.sendChunk({ block: this.#next + at, offset, data, checksum }));
      }
      this.#sent.push(sent);
    }
  }

  #finish(firstTokens: Uint32Array): void {
    this.#isEndSent = true;
    this.#movedMs = this.#deps.clock.nowMs();
    const blocks = this.#next - (this.#open?.fromBlock ?? 0);
    this.#channel.send({ case: "end", value: { blocks, firstTokenIds: writeU32(firstTokens), failed: false } });
  }

  /** Nothing comes any more: of a room's prefill that is no error of the call. */
  #fail(error: StatorError): void {
    const isRoom = this.#open?.of.case === "room" && !this.#lent?.firstTokens;
    const isLate = error.reason === "NOT_FOUND";
    if (!isRoom || isLate) {
      this.end(error);
      return;
    }
    this.#isEndSent = true;
    const blocks = this.#next - (this.#open?.fromBlock ?? 0);
    this.#channel.send({ case: "end", value: { blocks, firstTokenIds: new Uint8Array(), failed: true } });
  }

  /** The reader has ended its half: in order it reads nothing any more; one that was lost may still. */
  #ended(error: StatorError | undefined): void {
    if (this.#isOver) return;
    const lent = this.#lent;
    if (!error && lent?.firstTokens && this.#isEndSent && this.#slots.length === 0) {
      this.#deps.table.end(lent, "pulled");
    }
    this.#over(error !== undefined);
    this.#channel.end();
  }

  /** Ends the call. */
  end(error: StatorError): void {
    if (this.#isOver) return;
    this.#over(true);
    this.#channel.end(error);
  }

  #over(mayStillRead: boolean): void {
    const { clock, limits, memory } = this.#deps;
    this.#isOver = true;
    this.#timer?.cancel();
    this.#leave?.();
    this.#lent?.watchers.delete(this.#pump);
    const slots = this.#slots;
    this.#slots = [];
    // A reader believes what it copied within a lease of what it said last.
    const graceMs = mayStillRead ? this.#heardMs + limits.leaseMs - clock.nowMs() : 0;
    if (slots.length > 0 && graceMs > 0) memory.giveAfter(graceMs, slots, clock);
    else memory.slots.give(slots);
    this.#onOver();
  }
}

function invalid(detail: string): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail });
}
