import type { StatorError } from "#lib/base/errors";
import type { EmbedRequest, EngineText } from "./engine.ts";
import type { StepOutcome, StepPlan } from "./schedule/plan.ts";

/** Where the bytes of one block are. */
export interface BlockPlace {
  /** Its number in the pool. */
  readonly block: number;
  /** A slot of the KV space that holds it; 0 for a space without slots. */
  readonly slot: number;
  /** Index of the block in its sequence. */
  readonly index: number;
}

/** A block that was copied out. */
export interface ReadBlock {
  /** XXH3-64 of its bytes, seed CHECKSUM_SEED. */
  readonly checksum: bigint;
  /** Time in which nothing else could run. */
  readonly durationUs: number;
}

/** Who hears from an executor; calls come from the event loop, never from inside a call to the executor. */
export interface ExecutorListener {
  /** One per submitted plan, in order. */
  onOutcome(outcome: StepOutcome): void;
  /** It cannot go on. */
  onFailure(error: StatorError): void;
}

/** What computes: everything of an engine but the decisions. Calls take effect in the order in which they are made. */
export interface Executor {
  /** Sets who hears from it; once. */
  start(listener: ExecutorListener): void;
  /** Takes a plan; at most as many are under way as the scheduler was told. */
  submit(plan: StepPlan): void;
  /** Something came that is to be planned with: of a plan of many steps, the one that runs becomes the last. */
  cut?(): void;
  /** Ends the step early where it can; its outcome still comes. */
  abort(step: number): void;
  /**
   * Copies the bytes of a registered block, in the layout of the card, into an array that is as long. Borrows the array until
   * it settles.
   */
  readBlock(place: BlockPlace, into: Uint8Array): Promise<ReadBlock>;
  /**
   * Puts the bytes of a block in place. Rejects with CORRUPT, and has taken nothing, when their checksum is not this one;
   * undefined checks nothing. Resolves with the microseconds in which nothing else could run. Borrows the array until it
   * settles.
   */
  writeBlock(place: BlockPlace, from: Uint8Array, checksum: bigint | undefined): Promise<number>;
  /** One vector per request; all have the same options. */
  embed(requests: readonly EmbedRequest[]): Promise<readonly Float32Array[]>;
  /** Returns the digest of the adapter, 32 bytes. */
  loadAdapter(name: string, path: string): Promise<Uint8Array>;
  /** Nothing runs with it any more. */
  unloadAdapter(name: string): void;
  /** Throws INVALID_GRAMMAR; the rest of a request has been checked. */
  checkGrammar(grammar: string): void;
  /** Ends what runs; no outcome comes any more. */
  close(): Promise<void>;
}

/** How the model of an executor writes text. */
export interface ModelText extends EngineText {
  /** Token ids are below it. */
  readonly vocabularySize: number;
}
