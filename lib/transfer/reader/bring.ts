import type { KvSession } from "#gen/stator/worker/v1/link_pb";
import type { PullEnd, PullOpen } from "#gen/stator/worker/v1/payload_pb";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { blockBytes, type KvLayout, layoutDifference } from "#lib/kv/layout";
import { printLayout } from "#lib/kv/transfer-scope";
import type { TransferEngine } from "../agent.ts";
import { readLayout } from "../fitting.ts";
import type { TransferLimits } from "../limits.ts";
import type { Mover } from "../mover.ts";
import { type Rung, rungNumber } from "../rung.ts";
import { firstTokensOf } from "../session-message.ts";
import type { TransferMemory } from "../transfer-memory.ts";
import { BlockConverter, type HashBytes } from "./block-converter.ts";
import type { BlockIntake } from "./block-intake.ts";
import type { Halt } from "./halt.ts";
import { Inlet, lie, WayFailed } from "./inlet.ts";
import type { Peer } from "./peer.ts";
import type { Peers } from "./peers.ts";
import { PullCall } from "./pull-call.ts";

/** Bytes that one fetch has on their way at most, but for two blocks. */
const WINDOW_BYTES = 32 * 1024 * 1024;

/** What blocks are brought with. */
export interface BringDeps {
  /** Whose blocks they become. */
  readonly engine: TransferEngine;
  /** Where owners are found. */
  readonly peers: Peers;
  /** Copies what is in memory. */
  readonly mover: Mover;
  /** Times and bounds. */
  readonly limits: TransferLimits;
  /** Of leases and deadlines. */
  readonly clock: Clock;
  /** Looks at blocks that are converted. */
  readonly hashBytes: HashBytes;
}

/** Where blocks go. */
export interface BringInto {
  /** Memory for blocks of so many bytes, until they are in the engine. */
  memory(blockBytes: number): TransferMemory;
  /** Puts them into the engine. */
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

/** Brings blocks from their owner: by the best way that works, and by the next one from where that has failed. */
export class Bring {
  readonly #deps: BringDeps;
  readonly #ask: BringAsk;
  readonly #halt: Halt;
  #layout: KvLayout;
  #inlet: Inlet | undefined;
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
    const { engine, mover, limits, hashBytes } = this.#deps;
    const { intake, fromToken } = into;
    const converter = new BlockConverter({ from: this.#layout, to: engine.layout, fromToken, intake, hashBytes });
    const memory = into.memory(blockBytes(this.#layout));
    return new Inlet({ mover, limits, halt: this.#halt, memory, converter, intake });
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
      const blocks = this.#ask.check(first.value.session);
      if (!this.#begin(first.value.session, blocks)) return undefined;
      call.shorten(first.value.session.leaseMs);
      const end = await this.#takeAll(call, peer, rung);
      await intake?.settle();
      if (intake?.error) throw intake.error;
      const tokens = blocks * this.#layout.blockTokens;
      return { tokens, firstTokens: end.failed ? undefined : firstTokensOf(end) };
    } finally {
      unlisten();
      this.#inlet?.dropPart();
      // Memory of the owner may be read until then.
      await intake?.settle();
      call.close();
    }
  }

  /** False when the owner's layout is another one than was thought; from then on it is known. */
  #begin(session: KvSession, blocks: number): boolean {
    if (!this.#inlet) return true;
    this.#inlet.most = blocks;
    const layout = readLayout(session.layout);
    if (layoutDifference(layout, this.#layout) === undefined) return true;
    if (this.#inlet.came > 0) throw lie("its layout has changed");
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
      ...{
        of,
        incarnation,
        fromBlock: this.#inlet?.nextBlock ?? NO_BLOCK,
        rung: rungNumber(rung),
        windowBlocks: window,
      },
      ...{ readerInstanceId: instanceId, modelDigest: engine.modelDigest, layout: printLayout(engine.layout) },
    };
    return new PullCall(peer.transport, { clock, open, leaseMs: limits.leaseMs, stallMs });
  }

  async #takeAll(call: PullCall, peer: Peer, rung: Rung): Promise<PullEnd> {
    const before = this.#inlet?.came ?? 0;
    for (;;) {
      const { content } = await call.next();
      const came = (this.#inlet?.came ?? 0) - before;
      if (content.case === "end") {
        if (content.value.blocks !== came) throw lie("it counts other blocks than it gave");
        return content.value;
      }
      if (!this.#inlet) throw lie("blocks came that nobody asked for");
      if (content.case === "blocks" && rung !== "grpc") {
        await this.#inlet.takePlaces(call, { peer, rung }, content.value);
      } else if (content.case === "chunk" && rung === "grpc") await this.#inlet.takeChunk(call, content.value);
      else throw lie(`it sent ${content.case} by ${rung}`);
    }
  }
}
