import type { OwnRegion } from "./mover.ts";

/** The agents of one process, which read each other's memory as it is. */
export class Neighbours {
  readonly #regions = new Map<bigint, OwnRegion>();

  /** A worker of this process, by its instance, and where its blocks are on their way out. Returns what takes it away. */
  add(instanceId: bigint, region: OwnRegion): () => void {
    this.#regions.set(instanceId, region);
    return () => void this.#regions.delete(instanceId);
  }

  /** The region of an instance; undefined for one of another process. */
  find(instanceId: bigint): OwnRegion | undefined {
    return this.#regions.get(instanceId);
  }
}
