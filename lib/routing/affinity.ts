import { BoundedCache } from "#lib/base/collections";
import { xxh3 } from "#lib/tokens/xxh3";

/** Where a session is at home. */
export interface Home {
  /** The worker's instance. */
  readonly worker: bigint;
  /** Of its start: another one has nothing of the session. */
  readonly incarnation: bigint;
  /** Data-parallel rank. */
  readonly rank: number;
}

interface Held {
  home: Home;
  /** Requests of the session that have not ended. */
  open: number;
  /** When the last of them ended, on the router's clock. */
  idleSinceMs: number;
}

/** Where sessions are at home: until they were idle for a while, or their worker is lost. Bounded. */
export class SessionTable {
  readonly #held: BoundedCache<bigint, Held>;
  readonly #ttlMs: number;
  #forgotten = 0;
  #open = 0;

  constructor(options: { readonly sessions: number; readonly ttlMs: number }) {
    this.#held = new BoundedCache(options.sessions, (_, { open }) => {
      this.#forgotten++;
      this.#open -= open;
    });
    this.#ttlMs = options.ttlMs;
  }

  /** Sessions that have a home, those among them that were idle for long and not asked for since. */
  get size(): number {
    return this.#held.size;
  }

  /** Sessions that lost theirs because there were too many. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** Requests of sessions that have a home and that have not ended: 0 when nothing runs. */
  get open(): number {
    return this.#open;
  }

  /** The home of a session; undefined when it has none, or was idle for too long. */
  find(session: bigint, nowMs: number): Home | undefined {
    const held = this.#held.get(session);
    if (!held) return undefined;
    if (held.open === 0 && nowMs - held.idleSinceMs >= this.#ttlMs) {
      this.#held.delete(session);
      return undefined;
    }
    return held.home;
  }

  /** A request of the session went there, and the session is at home there from now on. */
  begin(session: bigint, home: Home, nowMs: number): void {
    const held = this.#held.get(session);
    this.#open++;
    if (held) {
      held.home = home;
      held.open++;
    } else this.#held.set(session, { home, open: 1, idleSinceMs: nowMs }, 1);
  }

  /** A request of the session ended. */
  end(session: bigint, nowMs: number): void {
    const held = this.#held.get(session);
    if (!held) return;
    // One that was forgotten meanwhile counts only what began since.
    if (held.open > 0) {
      held.open--;
      this.#open--;
    }
    held.idleSinceMs = nowMs;
  }
}

/** Names a session of a model in 64 bits: what clients send is not kept. */
export function sessionKey(model: string, session: string): bigint {
  return xxh3(new TextEncoder().encode(`${model}\0${session}`), 0n);
}
