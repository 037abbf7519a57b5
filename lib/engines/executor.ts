import type { StatorError } from "#lib/base/errors";
import type { BlockStaging } from "#lib/transfer/block-store";
import type { EmbedRequest, EngineText } from "./engine.ts";
import type { StepOutcome, StepPlan } from "./schedule/plan.ts";

/** Where consecutive blocks of one sequence are. */
export interface BlocksPlace {
  /** Their numbers in the pool. */
  readonly blocks: readonly number[];
  /** A slot of the KV space that holds all of them; 0 for a space without slots. */
  readonly slot: number;
  /** Index of the first one in its sequence. */
  readonly index: number;
}

/** Blocks that were copied out. */
export interface ReadBlocks {
  /** XXH3-64 of the bytes of each, seed CHECKSUM_SEED. */
  readonly checksums: BigUint64Array;
  /** Time in which nothing else could run. */
  readonly durationUs: number;
}

/** What became of blocks that came. */
export interface WrittenBlocks {
  /** How many are in place: those before the first whose checksum is another one. */
  readonly count: number;
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
   * Copies the bytes of registered blocks, in the layout of the card, into arrays that are as long, one each. Borrows these
   * until it settles.
   */
  readBlocks(place: BlocksPlace, into: readonly Uint8Array[]): Promise<ReadBlocks>;
  /**
   * Puts the bytes of blocks in place, and looks at each before: none is taken whose checksum is another one, and none behind
   * it; undefined checks nothing. Borrows the arrays until it settles. When it rejects, none of them counts as in place.
   */
  writeBlocks(
    place: BlocksPlace,
    from: readonly Uint8Array[],
    checksums: BigUint64Array | undefined,
  ): Promise<WrittenBlocks>;
  /** Where bytes of blocks are on their way; undefined where they need no such place. */
  readonly staging?: BlockStaging | undefined;
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
