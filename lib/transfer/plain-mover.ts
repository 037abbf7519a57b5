import { StatorError } from "#lib/base/errors";
import type { CopyJob, CopyResult, Mover, OwnRegion } from "./mover.ts";
import type { Rung } from "./rung.ts";

/** Ways that work without the addon. */
export const PLAIN_RUNGS: readonly Rung[] = ["in-process", "grpc"];

/** A mover of a process without the addon: its memory is its own, and blocks travel in messages. */
export class PlainMover implements Mover {
  /** Nobody shares anything with it. */
  readonly identity = { host: 0n, processId: 0, processStart: 0n };
  #regions = 0;

  openRegion(sizeBytes: number): OwnRegion {
    this.#regions++;
    return { id: this.#regions, bytes: new Uint8Array(sizeBytes), memoryFile: undefined, address: 0n, close() {} };
  }

  openShared(): never {
    throw missing();
  }

  openProcess(): never {
    throw missing();
  }

  connect(): Promise<never> {
    return Promise.reject(missing());
  }

  listen(): Promise<never> {
    return Promise.reject(missing());
  }

  copy(job: CopyJob): { done: Promise<CopyResult>; cancel(): void } {
    const reason = `${missing().message} ${job.toOffsets.length} blocks were not copied.`;
    const done = Promise.resolve({ status: "failed", copied: 0, reason, durationUs: 0, passes: 0 } as const);
    return { done, cancel() {} };
  }

  close(): void {}
}

function missing(): StatorError {
  return new StatorError("UNSUPPORTED_FEATURE", {
    feature: "Memory of other processes",
    detail: "there is no native addon",
  });
}
