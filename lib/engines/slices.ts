import type { StepOutcome } from "./schedule/plan.ts";
import type { Scheduler } from "./schedule/scheduler.ts";

/** Part of a step's time that moving blocks may add to it, while others wait for that step. */
const STEP_SHARE = 0.08;
/**
 * What a slice may take however short steps are: it has a price of its own, which grows with the place in the sequence, and a
 * few large ones delay fewer steps than many small ones.
 */
const LEAST_US = 500;
/** Blocks of a slice, however long they take: each one by itself would take longer still. */
const LEAST_BLOCKS = 8;
/** Of a slice that nobody waits for, and so of any; who comes meanwhile waits for one. */
export const MOST_SLICE_BLOCKS = 64;
/** What a step that is longer than those before counts for in their length. */
const LONGER_SHARE = 0.2;
/** What the last slice counts for in the time of a block. */
const NEW_SHARE = 0.3;

/** What slices depend on. Nothing of it is owned. */
export interface SlicesOptions {
  /** Says whether somebody waits for steps, and is told of the time spent. */
  readonly scheduler: Pick<Scheduler, "runningRequests" | "waitingRequests" | "addTransfer">;
  /** Throws when the engine has failed or is closed. */
  readonly checkOpen: () => void;
  /** Calls an async function as soon as the executor has been given all ops of the KV space. */
  readonly afterOps: <Result>(run: () => Promise<Result>) => Promise<Result>;
}

/** Which way blocks go. */
export type SliceKind = "exportUs" | "importUs";

/** What became of a slice. */
export interface SliceOutcome<Moved> {
  /** What the executor said. */
  readonly moved: Moved;
  /** A step was taken back meanwhile: ops that were thought to have run may not have. */
  readonly isTakenBack: boolean;
}

/** Moves the first so many blocks of those that are left. */
export type MoveBlocks<Moved> = (count: number) => Promise<Moved & { readonly durationUs: number }>;

/**
 * Moves blocks between steps, one slice after another, whoever they are for: in turns, and so few at a time that a step which
 * somebody waits for is hardly later.
 */
export class Slices {
  readonly #options: SlicesOptions;
  readonly #blockUs: Record<SliceKind, number | undefined> = { exportUs: undefined, importUs: undefined };
  #last: Promise<unknown> = Promise.resolve();
  /** How long steps take lately in which something is computed. */
  #stepUs: number | undefined;
  #takenBack = 0;

  constructor(options: SlicesOptions) {
    this.#options = options;
  }

  /** A step ended, in the order in which they end. Short ones count at once: a prompt in between says little of the next one. */
  onStep({ status, counts, durationUs }: Pick<StepOutcome, "status" | "counts" | "durationUs">): void {
    if (status !== "ok") this.#takenBack++;
    if (status !== "ok" || counts.length === 0) return;
    const known = this.#stepUs ?? durationUs;
    this.#stepUs = Math.min(durationUs, known + (durationUs - known) * LONGER_SHARE);
  }

  /** Moves as many of `left` blocks as may go at once, when it is their turn. */
  move<Moved>(kind: SliceKind, left: number, blocks: MoveBlocks<Moved>): Promise<SliceOutcome<Moved>> {
    const slice = () => this.#move(kind, left, blocks);
    const outcome = this.#last.then(slice, slice);
    this.#last = outcome;
    return outcome;
  }

  async #move<Moved>(kind: SliceKind, left: number, blocks: MoveBlocks<Moved>): Promise<SliceOutcome<Moved>> {
    const { scheduler, checkOpen, afterOps } = this.#options;
    checkOpen();
    const takenBack = this.#takenBack;
    const count = Math.min(left, this.#blocksNow(kind));
    const moved = await afterOps(async () => blocks(count));
    scheduler.addTransfer({ [kind]: moved.durationUs });
    this.#note(kind, moved.durationUs / count);
    return { moved, isTakenBack: takenBack !== this.#takenBack };
  }

  #blocksNow(kind: SliceKind): number {
    const { runningRequests, waitingRequests } = this.#options.scheduler;
    const stepUs = this.#stepUs;
    if (runningRequests + waitingRequests === 0) return MOST_SLICE_BLOCKS;
    const blockUs = this.#blockUs[kind];
    if (blockUs === undefined || stepUs === undefined) return LEAST_BLOCKS;
    if (blockUs === 0) return MOST_SLICE_BLOCKS;
    const blocks = Math.floor(Math.max(LEAST_US, STEP_SHARE * stepUs) / blockUs);
    return Math.max(LEAST_BLOCKS, Math.min(MOST_SLICE_BLOCKS, blocks));
  }

  #note(kind: SliceKind, blockUs: number): void {
    const known = this.#blockUs[kind] ?? blockUs;
    this.#blockUs[kind] = known + NEW_SHARE * (blockUs - known);
  }
}
