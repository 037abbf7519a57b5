/** A running call, as Abort sees it. */
export interface OpenCall {
  /** Asks for the end of what still runs of it; its caller gets the finish of each output. */
  abort(): void;
}

/** Requests by the name that their caller gave, and the last ones that ended. */
export interface OpenCalls {
  /** False when a call of this name runs already. */
  add(requestId: string, call: OpenCall): boolean;
  /** It has ended, in whatever way. Unknown names are left alone. */
  remove(requestId: string): void;
  /** Aborts one: it was open, it has ended lately, or nobody knows it. */
  abort(requestId: string): "open" | "ended" | "unknown";
  /** Calls that run. */
  readonly size: number;
}

/** How many ended requests are remembered, so that a late Abort is not an error. */
const REMEMBERED = 4096;

/** An empty table. */
export function createOpenCalls(): OpenCalls {
  const open = new Map<string, OpenCall>();
  const ended = new Set<string>();
  return {
    add(requestId, call) {
      if (open.has(requestId)) return false;
      ended.delete(requestId);
      open.set(requestId, call);
      return true;
    },
    remove(requestId) {
      if (!open.delete(requestId)) return;
      ended.add(requestId);
      if (ended.size <= REMEMBERED) return;
      for (const oldest of ended) {
        ended.delete(oldest);
        break;
      }
    },
    abort(requestId) {
      const call = open.get(requestId);
      call?.abort();
      return call ? "open" : ended.has(requestId) ? "ended" : "unknown";
    },
    get size() {
      return open.size;
    },
  };
}
