import { type Directory, readDirectory, type ScopePolicy } from "./directory.ts";
import type { DiscoveryWatch } from "./discovery.ts";

/** The directory of a watch, kept up to date. Borrows the watch. */
export class LiveDirectory {
  readonly #watch: DiscoveryWatch;
  readonly #policy: ScopePolicy;
  readonly #unsubscribe: () => void;
  readonly #calls = new Set<(directory: Directory) => void>();
  #current: Directory | undefined;

  constructor(watch: DiscoveryWatch, policy: ScopePolicy) {
    this.#watch = watch;
    this.#policy = policy;
    this.#unsubscribe = watch.subscribe(() => {
      this.#current = undefined;
      for (const call of [...this.#calls]) call(this.current);
    });
  }

  /** The directory now; the same object until something changes. */
  get current(): Directory {
    this.#current ??= readDirectory(this.#watch.records.values(), this.#policy);
    return this.#current;
  }

  /** Calls after each change; returns what ends it. */
  subscribe(call: (directory: Directory) => void): () => void {
    this.#calls.add(call);
    return () => void this.#calls.delete(call);
  }

  close(): void {
    this.#unsubscribe();
    this.#calls.clear();
  }
}
