import { create } from "@bufbuild/protobuf";
import type { KvSession, Room } from "#gen/stator/worker/v1/link_pb";
import { PayloadService, type PullOpen, ReleaseRequestSchema } from "#gen/stator/worker/v1/payload_pb";
import { equalBytes } from "#lib/base/bytes";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import { blockBytes } from "#lib/kv/layout";
import type { Fetched, FetchOptions, TransferPrompt, TransferSource } from "./agent.ts";
import { BlockIntake } from "./block-intake.ts";
import { Bring, type BringDeps, type Brought } from "./bring.ts";
import { Halt } from "./halt.ts";
import { requireConvertible } from "./layouts.ts";
import type { Rung } from "./rung.ts";
import { firstTokensOf, hashesOf, joinAddress, readSession, type SessionPlace } from "./session-message.ts";
import { TransferMemory } from "./transfer-memory.ts";

/** A first block that no sequence reaches: only the end of a pull is wanted. */
const NO_BLOCK = 0xffff_ffff;

/** What a reader is made of. */
export interface ReaderDeps extends BringDeps {
  readonly log: Log;
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
  check(session: KvSession): void;
}

/** Brings in blocks that others keep. Who wants blocks that are coming already waits for them. */
export class Reader {
  readonly #deps: ReaderDeps;
  readonly #coming = new Map<bigint, Promise<void>>();
  readonly #memory: TransferMemory;
  #running = 0;

  constructor(deps: ReaderDeps) {
    const { engine, mover, limits, log } = deps;
    this.#deps = deps;
    this.#memory = new TransferMemory({
      ...{ mover, log, regionBytes: limits.regionBytes, maxWaiting: limits.maxFetches },
      blockBytes: blockBytes(engine.layout),
    });
  }

  /** As TransferAgent.fetch. */
  async fetch(from: TransferSource, prompt: TransferPrompt, options: FetchOptions): Promise<Fetched> {
    const { limits, clock } = this.#deps;
    const mostMs = "room" in from ? limits.roomMs : limits.deadlineMs;
    const halt = new Halt(options.signal, Math.min(options.deadlineMs ?? mostMs, mostMs), clock);
    this.#running++;
    try {
      if (this.#running > limits.maxFetches)
        throw new StatorError("LIMIT", { what: "The number of fetches", limit: limits.maxFetches });
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
    this.#memory.close();
  }

  async #fetchSession(session: KvSession, prompt: TransferPrompt, halt: Halt): Promise<Fetched> {
    const startMs = this.#deps.clock.nowMs();
    const notes = newNotes();
    const firstTokens = firstTokensOf(session);
    let place: SessionPlace | undefined;
    let pulled = false;
    try {
      place = readSession(session);
      const hashes = this.#check(session, prompt);
      const { sessionId, address, incarnation } = place;
      const of = { case: "sessionId", value: sessionId } as const;
      const check = (header: KvSession) => void this.#check(header, prompt);
      const { stallMs } = this.#deps.limits;
      const brought = await this.#bring({ prompt, hashes, of, address, incarnation, stallMs, check }, halt, notes);
      pulled = brought !== undefined;
      if (brought && notes.held + brought.blocks < hashes.length) notes.error = gone();
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
      hashes: hashesOf(prompt, this.#deps.engine.layout.blockTokens),
      of: { case: "room", value: room.number },
      address: joinAddress(room.host, room.port),
      incarnation: room.incarnation,
      // The prefill takes its time.
      stallMs: undefined,
      check: (header) => void this.#check(header, prompt),
    };
    let brought: Brought | undefined;
    try {
      brought = await this.#bring(wanted, halt, notes);
      if (brought && notes.held + brought.blocks < wanted.hashes.length) notes.error = gone();
    } catch (caught) {
      if (halt.isAborted) throw halt.error ?? caught;
      notes.error = asStatorError(caught);
      if (halt.error || notes.error.reason === "CONTRACT_MISMATCH") throw lost(notes.error);
    }
    brought ??= await this.#awaitEnd(wanted, halt);
    if (!brought.firstTokens) throw lost();
    return { firstTokens: brought.firstTokens, report: this.#report(notes, startMs) };
  }

  /** Waits for the end of a pull alone: what is lacking is computed here, and the first tokens are still to come. */
  async #awaitEnd({ of, address, incarnation, check }: Wanted, halt: Halt): Promise<Brought> {
    const ask = { of, address, incarnation, fromBlock: NO_BLOCK, into: undefined, stallMs: undefined, check };
    try {
      return await new Bring(this.#deps, ask, halt).run();
    } catch (caught) {
      if (halt.isAborted) throw halt.error ?? caught;
      throw lost(asStatorError(caught));
    }
  }

  /** Throws where a session is not of this prompt or not for this engine. Returns the hashes of its blocks. */
  #check(session: KvSession, prompt: TransferPrompt): BigUint64Array {
    const { engine } = this.#deps;
    const { layout, hashes } = readSession(session);
    if (!equalBytes(session.modelDigest, engine.modelDigest)) throw mismatch("model_digest", "it has other weights");
    if (session.hashScheme !== engine.hashScheme)
      throw mismatch("hash_scheme", `${session.hashScheme}, not ${engine.hashScheme}`);
    requireConvertible(layout, engine.layout);
    const own = hashesOf(prompt, layout.blockTokens);
    if (hashes.length > own.length) throw mismatch("sequence_hashes", "it has more blocks than the prompt");
    if (hashes.some((hash, at) => hash !== own[at])) throw mismatch("sequence_hashes", "they are of other tokens");
    return hashes;
  }

  /** Brings what is lacking; undefined when nothing is. */
  async #bring(wanted: Wanted, halt: Halt, notes: Notes): Promise<Brought | undefined> {
    const { hashes } = wanted;
    const { blocks: store } = this.#deps.engine;
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
    const intake = new BlockIntake(incoming);
    const into = { memory: this.#memory, intake };
    const bring = new Bring(this.#deps, { ...wanted, fromBlock: incoming.from, into }, halt);
    try {
      return await bring.run();
    } finally {
      notes.blocks = incoming.close() - incoming.from;
      notes.rung = bring.rung;
      notes.askedMs = bring.askedMs;
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

  #report({ held, blocks, rung, askedMs, error }: Notes, startMs: number): Fetched["report"] {
    const { clock, metrics, engine, log } = this.#deps;
    const queueMs = (askedMs ?? clock.nowMs()) - startMs;
    const durationMs = clock.nowMs() - startMs - queueMs;
    const bytes = blocks * blockBytes(engine.layout);
    if (error) {
      metrics.add("stator_transfer_failures_total", 1, { reason: error.reason });
      log.debug("blocks did not come", { error, held, blocks });
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

function gone(): StatorError {
  return new StatorError("NOT_FOUND", { what: "A block of the session" });
}

function lost(cause?: StatorError): StatorError {
  return new StatorError("STREAM_LOST", { detail: "the prefill came to nothing" }, { cause });
}

function mismatch(what: string, detail: string): StatorError {
  return new StatorError("CONTRACT_MISMATCH", { what, detail });
}
