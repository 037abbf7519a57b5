import { asStatorError, StatorError } from "#lib/base/errors";
import type { IncomingBlocks } from "../block-store.ts";

/** A block that has come. */
export interface Arrived {
  /** Its bytes; borrowed until `done`. */
  readonly bytes: Uint8Array;
  /** What it must be; undefined where that was looked at. */
  readonly checksum: bigint | undefined;
  /** Its memory is not needed any more. Called once, whatever becomes of it. */
  done(): void;
}

/** Puts blocks into an engine in the order in which they come, while others are on their way. */
export class BlockIntake {
  readonly #incoming: IncomingBlocks;
  readonly #waiting: Arrived[] = [];
  #room: number;
  #running: Promise<void> | undefined;
  #error: StatorError | undefined;
  /** Told why no more is put in, once. */
  onError: (error: StatorError) => void = () => {};

  /** @param room blocks that are wanted; what comes behind them is dropped */
  constructor(incoming: IncomingBlocks, room: number) {
    this.#incoming = incoming;
    this.#room = room;
  }

  /** Why no more is put in; what comes then is dropped. */
  get error(): StatorError | undefined {
    return this.#error;
  }

  /** Takes the next block. */
  add(block: Arrived): void {
    if (this.#room === 0) {
      block.done();
      return;
    }
    this.#room--;
    this.#waiting.push(block);
    this.#running ??= this.#run();
  }

  /** Drops what waits and what follows. The first reason stays. */
  fail(error: StatorError): void {
    if (this.#error) return;
    this.#error = error;
    this.onError(error);
  }

  /** Resolves when nothing waits or is being written. */
  async settle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    // Blocks that came in the same turn go in together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const blocks = this.#waiting.splice(0);
      try {
        if (!this.#error) await this.#write(blocks);
      } catch (caught) {
        this.fail(asStatorError(caught));
      }
      for (const block of blocks) block.done();
    }
    this.#running = undefined;
  }

  async #write(blocks: readonly Arrived[]): Promise<void> {
    const isChecked = blocks.some(({ checksum }) => checksum !== undefined);
    const checksums = isChecked ? BigUint64Array.from(blocks, ({ checksum }) => checksum ?? 0n) : undefined;
    const good = await this.#incoming.write(
      blocks.map(({ bytes }) => bytes),
      checksums,
    );
    if (good < blocks.length) throw corrupt();
  }
}

/** A block is not what its checksum says. */
export function corrupt(detail = "its checksum differs"): StatorError {
  return new StatorError("CORRUPT", { what: "A KV block", detail });
}
