import type { Log } from "./log.ts";

/** Something that is acquired and given back. Close is idempotent and settles only when everything is back. */
export interface Closable {
  /** Gives it back; a second call is answered by the first. */
  close(): Promise<void> | void;
}

/**
 * Owns what a service started: detached promises and things to close. A promise that is not awaited goes through
 * `spawn`, so that its error has an owner and its end is waited for.
 */
export class Scope {
  readonly name: string;
  readonly #log: Log;
  readonly #abort = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #owned: { name: string; close: () => Promise<void> | void }[] = [];
  #closing: Promise<void> | undefined;

  constructor(name: string, log: Log) {
    this.name = name;
    this.#log = log;
  }

  /** Aborts when the scope begins to close. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Runs beside the caller. An error is logged, unless the scope is closing. */
  spawn(name: string, run: (signal: AbortSignal) => Promise<void>): void {
    const task: Promise<void> = run(this.signal)
      .catch((error: unknown) => {
        if (!this.signal.aborted) this.#log.error("task failed", { scope: this.name, task: name, error });
      })
      .finally(() => this.#running.delete(task));
    this.#running.add(task);
  }

  /** Closes this when the scope closes, in reverse order of ownership. Returns it. */
  own<Thing extends Closable>(name: string, thing: Thing): Thing {
    this.#owned.push({ name, close: () => thing.close() });
    return thing;
  }

  /** Calls this when the scope closes. */
  defer(name: string, close: () => Promise<void> | void): void {
    this.#owned.push({ name, close });
  }

  /** Aborts the signal, closes what is owned, newest first, and waits for what runs. Safe to call twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#abort.abort();
    for (const { name, close } of this.#owned.toReversed()) {
      try {
        await close();
      } catch (error) {
        this.#log.warn("close failed", { scope: this.name, thing: name, error });
      }
    }
    await Promise.allSettled(this.#running);
  }
}
