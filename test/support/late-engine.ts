import { asStatorError } from "#lib/base/errors";
import type { Engine, EngineListener, GenerateRequest, KnownSizes } from "#lib/engines/engine";
import { systemClock } from "#lib/host/system-clock";

/** The sizes of an engine that nobody can ask how large it is. */
export const NOTHING_KNOWN: KnownSizes = {
  contextTokens: undefined,
  blockTokens: undefined,
  reuseTokens: undefined,
  totalBlocks: undefined,
  maxRunningRequests: undefined,
  maxWaitingRequests: undefined,
};

/** The core of another engine, which says a few turns later whether it takes a request: as one that asks a server does. */
export class LateEngine implements Engine {
  readonly card: Engine["card"];
  readonly #inner: Engine;
  readonly #asked = new Map<number, "stop" | "kill" | undefined>();
  #listener: EngineListener | undefined;

  constructor(inner: Engine, card: Partial<Engine["card"]> = {}) {
    this.#inner = inner;
    this.card = { ...inner.card, ...card };
  }

  listen(listener: EngineListener): void {
    this.#listener = listener;
    this.#inner.listen(listener);
  }

  submit(request: GenerateRequest): "later" {
    this.#asked.set(request.id, undefined);
    systemClock.after(1, () => this.#ask(request), { keepAlive: true });
    return "later";
  }

  cancel(ids: readonly number[], mode: "stop" | "kill"): void {
    for (const id of ids) if (this.#asked.has(id)) this.#asked.set(id, mode);
    this.#inner.cancel(ids, mode);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  #ask(request: GenerateRequest): void {
    const { id } = request;
    const mode = this.#asked.get(id);
    this.#asked.delete(id);
    try {
      const admission = this.#inner.submit(request);
      if (admission !== "later") this.#listener?.onAdmitted?.(id, admission);
      if (mode) this.#inner.cancel([id], mode);
    } catch (error) {
      this.#listener?.onRefused?.(id, asStatorError(error));
    }
  }
}
