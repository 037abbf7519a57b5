import { StatorError } from "#lib/base/errors";

/** Bounds what a frontend has in hand: requests side by side, and bytes of bodies. */
export class Admission {
  readonly #mostRequests: number;
  readonly #mostBytes: number;
  #requests = 0;
  #bytes = 0;

  constructor(limits: { concurrentRequests: number; allBodiesBytes: number }) {
    this.#mostRequests = limits.concurrentRequests;
    this.#mostBytes = limits.allBodiesBytes;
  }

  /** Requests that are being answered. */
  get requests(): number {
    return this.#requests;
  }

  /** Bytes of bodies in memory. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a place or throws OVERLOADED; give it back with leave. */
  enter(): void {
    if (this.#requests >= this.#mostRequests) throw new StatorError("OVERLOADED", { what: "requests" });
    this.#requests++;
  }

  leave(): void {
    this.#requests--;
  }

  /** Takes room for bytes of a body; false when there is none. Give it back with release. */
  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#mostBytes) return false;
    this.#bytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
  }
}
