import { create } from "@bufbuild/protobuf";
import type { KvSession, Room } from "#gen/stator/worker/v1/link_pb";
import { PayloadService, type PullOpen, ReleaseRequestSchema } from "#gen/stator/worker/v1/payload_pb";
import { equalBytes } from "#lib/base/bytes";
import { asStatorError, type Reason, StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import { blockBytes, type KvLayout } from "#lib/kv/layout";
import type { Fetched, FetchOptions, TransferPrompt, TransferSource } from "../agent.ts";
import { mismatch, requireConvertible } from "../fitting.ts";
import type { Rung } from "../rung.ts";
import { firstTokensOf, hashesOf, joinAddress, readSession, type SessionPlace } from "../session-message.ts";
import { TransferMemory } from "../transfer-memory.ts";
import { BlockIntake } from "./block-intake.ts";
import { Bring, type BringDeps, type Brought } from "./bring.ts";
import { Halt } from "./halt.ts";

/** What a reader is made of. */
export interface ReaderDeps extends BringDeps {
  /** Told why blocks did not come. */
  readonly log: Log;
  /** With TRANSFER_INSTRUMENTS. */
  readonly metrics: Metrics;
  /** Runs beside the caller; awaited before `close`. */
  spawn(name: string, run: () => Promise<void>): void;
}

/** What is told of a fetch. */
interface Notes {
  held: number;
  blocks: number;
  rung: Rung | undefined;
  askedMs: number | undefined;
  error: StatorError | undefined;
}

/** What is wanted of one owner. */
interface Wanted {
  readonly prompt: TransferPrompt;
  /** Sequence hashes of the blocks that are wanted. */
  readonly hashes: BigUint64Array;
  readonly of: PullOpen["of"];
  readonly address: string;
  readonly incarnation: bigint;
  readonly stallMs: number | undefined;
  readonly layout: KvLayout;
  check(session: KvSession): number;
}

/** Reasons after which a room brings nothing any more. */
const IS_OVER: ReadonlySet<Reason> = new Set([
  "NOT_FOUND",
  "STREAM_LOST",
  "LEASE_LOST",
  "DRAINING",
  "CONTRACT_MISMATCH",
]);

/** Sizes of blocks that memory is kept for, own and others'; of more the fetch is refused. */
const MOST_SIZES = 4;

/** Ways not to fit that are told. */
const MOST_TOLD = 64;

/** Brings in blocks that others keep. Who wants blocks that are coming already waits for them. */
export class Reader {
  readonly #deps: ReaderDeps;
  readonly #coming = new Map<bigint, Promise<void>>();
  /** By the size of a block. */
  readonly #memories = new Map<number, TransferMemory>();
  /** What does not fit, as it was told. */
  readonly #told = new Set<string>();
  #running = 0;

  constructor(deps: ReaderDeps) {
    this.#deps = deps;
  }

  /** As TransferAgent.fetch. */
  async fetch(from: TransferSource, prompt: TransferPrompt, options: FetchOptions): Promise<Fetched> {
    const { limits, clock } = this.#deps;
    const mostMs = "room" in from ? limits.roomMs : limits.deadlineMs;
    const halt = new Halt(options.signal, Math.min(options.deadlineMs ?? mostMs, mostMs), clock);
    this.#running++;
    try {
      return "room" in from
        ? await this.#fetchRoom(from.room, prompt, halt)
        : await this.#fetchSession(from.session, prompt, halt);
    } finally {
      this.#running--;
      halt.close();
    }
  }

  /** Gives the memory back; after all fetches have ended. */
  close(): void {
    for (const memory of this.#memories.values()) memory.close();
  }

  #memoryFor(bytes: number): TransferMemory {
    const { mover, limits, log } = this.#deps;
    const known = this.#memories.get(bytes);
    if (known) return known;
    if (this.#memories.size === MOST_SIZES)
      throw new StatorError("LIMIT", { what: "Sizes of blocks", limit: MOST_SIZES });
    const { regionBytes, maxFetches: maxWaiting } = limits;
    const memory = new TransferMemory({ mover, log, regionBytes, maxWaiting, blockBytes: bytes });
    this.#memories.set(bytes, memory);
    return memory;
  }

  async #fetchSession(session: KvSession, prompt: TransferPrompt, halt: Halt): Promise<Fetched> {
    const startMs = this.#deps.clock.nowMs();
    const notes = newNotes();
    const firstTokens = firstTokensOf(session);
    let place: SessionPlace | undefined;
    let pulled = false;
    try {
      place = readSession(session);
      const kept = this.#check(session, prompt);
      const { sessionId, address, incarnation, layout } = place;
      const { stallMs } = this.#deps.limits;
      const wanted: Wanted = {
        ...{ prompt, address, incarnation, layout, stallMs },
        hashes: this.#ownHashes(prompt, kept * layout.blockTokens),
        of: { case: "sessionId", value: sessionId },
        check: (header) => Math.min(kept, this.#check(header, prompt)),
      };
      const brought = await this.#bring(wanted, halt, notes);
      pulled = brought !== undefined;
      if (brought) this.#compare(brought, wanted, notes);
    } catch (caught) {
      if (halt.isAborted) throw halt.error ?? caught;
      notes.error = asStatorError(caught);
    }
    if (place && place.sessionId !== "" && !pulled) this.#release(place);
    return { firstTokens, report: this.#report(notes, startMs) };
  }

  async #fetchRoom(room: Room, prompt: TransferPrompt, halt: Halt): Promise<Fetched> {
    const startMs = this.#deps.clock.nowMs();
    const notes = newNotes();
    const wanted: Wanted = {
      prompt,
      hashes: this.#ownHashes(prompt, prompt.tokens.length),
      // Until it is told.
      layout: this.#deps.engine.layout,
      of: { case: "room", value: room.number },
      address: joinAddress(room.host, room.port),
      incarnation: room.incarnation,
      // The prefill takes its time.
      stallMs: undefined,
      check: (header) => this.#check(header, prompt),
    };
    let brought: Brought | undefined;
    try {
      brought = await this.#bring(wanted, halt, notes);
      if (brought) this.#compare(brought, wanted, notes);
    } catch (caught) {
      if (halt.isAborted) throw halt.error ?? caught;
      notes.error = asStatorError(caught);
      if (halt.error || IS_OVER.has(notes.error.reason)) throw lost(notes.error);
    }
    brought ??= await this.#awaitEnd(wanted, halt);
    if (!brought.firstTokens) throw lost();
    return { firstTokens: brought.firstTokens, report: this.#report(notes, startMs) };
  }

  /** Waits for the end of a pull alone: what is lacking is computed here, and the first tokens are still to come. */
  async #awaitEnd(wanted: Wanted, halt: Halt): Promise<Brought> {
    const ask = { ...wanted, into: undefined, stallMs: undefined };
    try {
      return await new Bring(this.#deps, ask, halt).run();
    } catch (caught) {
      if (halt.isAborted) throw halt.error ?? caught;
      throw lost(asStatorError(caught));
    }
  }

  /** Throws where a session is not of this prompt or not for this engine. Returns how many blocks it has. */
  #check(session: KvSession, prompt: TransferPrompt): number {
    const { engine } = this.#deps;
    const { layout, hashes } = readSession(session);
    if (!equalBytes(session.modelDigest, engine.modelDigest)) throw mismatch("model_digest", "it has other weights");
    if (session.hashScheme !== engine.hashScheme)
      throw mismatch("hash_scheme", `${session.hashScheme}, not ${engine.hashScheme}`);
    requireConvertible(layout, engine.layout);
    const own = hashesOf(prompt, layout.blockTokens);
    if (hashes.length > own.length) throw mismatch("sequence_hashes", "it has more blocks than the prompt");
    if (hashes.some((hash, at) => hash !== own[at])) throw mismatch("sequence_hashes", "they are of other tokens");
    return hashes.length;
  }

  /** Hashes of the blocks here that so many tokens fill. */
  #ownHashes(prompt: TransferPrompt, tokens: number): BigUint64Array {
    const { blockTokens } = this.#deps.engine.layout;
    return hashesOf(prompt, blockTokens).subarray(0, Math.floor(tokens / blockTokens));
  }

  /** Notes when less is here than the owner keeps. */
  #compare({ tokens }: Brought, { prompt }: Wanted, notes: Notes): void {
    const kept = this.#ownHashes(prompt, tokens).length;
    if (notes.held + notes.blocks < kept)
      notes.error = new StatorError("NOT_FOUND", { what: "A block of the session" });
  }

  /** Brings what is lacking; undefined when nothing is. */
  async #bring(wanted: Wanted, halt: Halt, notes: Notes): Promise<Brought | undefined> {
    const { hashes } = wanted;
    const { engine, limits } = this.#deps;
    const { blocks: store } = engine;
    if (this.#running > limits.maxFetches) {
      throw new StatorError("LIMIT", { what: "The number of fetches", limit: limits.maxFetches });
    }
    for (;;) {
      notes.held = store.count(hashes);
      const next = hashes[notes.held];
      if (next === undefined) return undefined;
      const coming = this.#coming.get(next);
      if (!coming) break;
      await halt.race(coming);
    }
    const key = hashes[notes.held]!;
    const over = Promise.withResolvers<void>();
    this.#coming.set(key, over.promise);
    try {
      return await this.#open(wanted, halt, notes);
    } finally {
      this.#coming.delete(key);
      over.resolve();
    }
  }

  async #open(wanted: Wanted, halt: Halt, notes: Notes): Promise<Brought> {
    const { engine } = this.#deps;
    const { hashes, prompt } = wanted;
    const tokens = prompt.tokens.subarray(0, hashes.length * engine.layout.blockTokens);
    const incoming = engine.blocks.open({ ...prompt, tokens, blocks: hashes.length });
    notes.held = incoming.from;
    const intake = new BlockIntake(incoming, hashes.length - incoming.from);
    let bring: Bring | undefined;
    try {
      const memory = (bytes: number) => this.#memoryFor(bytes);
      const into = { memory, intake, fromToken: incoming.from * engine.layout.blockTokens };
      bring = new Bring(this.#deps, { ...wanted, into }, halt);
      return await bring.run();
    } finally {
      notes.blocks = incoming.close() - incoming.from;
      notes.rung = bring?.rung;
      notes.askedMs = bring?.askedMs;
    }
  }

  #release({ address, incarnation, sessionId }: SessionPlace): void {
    const { peers, log, spawn } = this.#deps;
    spawn("release a session", async () => {
      try {
        const peer = await peers.find(address, incarnation);
        const request = create(ReleaseRequestSchema, { sessionIds: [sessionId] });
        await peer.transport.unary(PayloadService.method.release, request, { timeoutMs: this.#deps.limits.stallMs });
      } catch (caught) {
        // Its lease ends it.
        log.debug("a session was not released", { error: asStatorError(caught) });
      }
    });
  }

  /** What does not fit never will: it is told loudly, and once. */
  #isNews({ reason, message }: StatorError): boolean {
    if (reason !== "CONTRACT_MISMATCH" || this.#told.has(message) || this.#told.size === MOST_TOLD) return false;
    this.#told.add(message);
    return true;
  }

  #report({ held, blocks, rung, askedMs, error }: Notes, startMs: number): Fetched["report"] {
    const { clock, metrics, engine, log } = this.#deps;
    const queueMs = (askedMs ?? clock.nowMs()) - startMs;
    const durationMs = clock.nowMs() - startMs - queueMs;
    const bytes = blocks * blockBytes(engine.layout);
    if (error) {
      metrics.add("stator_transfer_failures_total", 1, { reason: error.reason });
      if (this.#isNews(error)) log.warn("blocks of a worker do not fit those here", { error });
      else log.debug("blocks did not come", { error, held, blocks });
    }
    if (rung !== undefined) {
      metrics.add("stator_transfer_blocks_total", blocks, { rung });
      metrics.add("stator_transfer_bytes_total", bytes, { rung });
      metrics.observe("stator_transfer_queue_seconds", queueMs / 1000);
      metrics.observe("stator_transfer_seconds", durationMs / 1000, { rung });
    }
    return {
      ...{ blocks, bytes: BigInt(bytes), heldBlocks: held, rung: rung ?? "", reason: error?.reason ?? "" },
      ...{ queueUs: Math.round(queueMs * 1000), durationUs: Math.round(durationMs * 1000) },
    };
  }
}

function newNotes(): Notes {
  return { held: 0, blocks: 0, rung: undefined, askedMs: undefined, error: undefined };
}

function lost(cause?: StatorError): StatorError {
  return new StatorError("STREAM_LOST", { detail: "the prefill came to nothing" }, { cause });
}
