import { asStatorError, type StatorError } from "#lib/base/errors";
import type { EmbedRequest } from "./engine.ts";

/** Who hears what became of embeddings. */
export interface EmbedListener {
  /** The vector of one input. The listener keeps it. */
  onEmbedding(request: EmbedRequest, values: Float32Array): void;
  /** It has none. Called for every input of a batch that failed. */
  onFailed(request: EmbedRequest, error: StatorError): void;
  /** All of one batch have been told. */
  onBatch(): void;
}

/** Inputs to embed, in batches of one kind, one batch at a time. */
export class EmbedQueue {
  readonly #embed: (requests: readonly EmbedRequest[]) => Promise<readonly Float32Array[]>;
  readonly #listener: EmbedListener;
  readonly #batch: { readonly inputs: number; readonly tokens: number };
  readonly #waiting: EmbedRequest[] = [];
  readonly #open = new Map<number, EmbedRequest>();
  #isBusy = false;

  constructor(options: {
    readonly embed: (requests: readonly EmbedRequest[]) => Promise<readonly Float32Array[]>;
    readonly listener: EmbedListener;
    /** Most inputs and tokens of a batch; a longer input is a batch of its own. */
    readonly batch: { readonly inputs: number; readonly tokens: number };
  }) {
    this.#embed = options.embed;
    this.#listener = options.listener;
    this.#batch = options.batch;
  }

  /** Inputs that have not been told of. */
  get size(): number {
    return this.#open.size;
  }

  /** Inputs that no batch has taken yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  has(id: number): boolean {
    return this.#open.has(id);
  }

  add(request: EmbedRequest): void {
    this.#open.set(request.id, request);
    this.#waiting.push(request);
  }

  /** Forgets a request: nothing is told of it any more. Undefined when there is none. */
  cancel(id: number): EmbedRequest | undefined {
    const request = this.#open.get(id);
    if (!request) return undefined;
    this.#open.delete(id);
    const at = this.#waiting.indexOf(request);
    if (at >= 0) this.#waiting.splice(at, 1);
    return request;
  }

  /** Starts the next batch unless one runs. Returns its run, to be owned by the caller; it never rejects. */
  next(): Promise<void> | undefined {
    if (this.#isBusy || this.#waiting.length === 0) return undefined;
    this.#isBusy = true;
    return this.#run(this.#take());
  }

  #take(): EmbedRequest[] {
    const first = this.#waiting.shift()!;
    const batch = [first];
    let tokens = first.promptTokens.length;
    for (let next = this.#waiting[0]; next && batch.length < this.#batch.inputs; next = this.#waiting[0]) {
      tokens += next.promptTokens.length;
      const isAlike = next.pooling === first.pooling && next.normalize === first.normalize;
      if (!isAlike || tokens > this.#batch.tokens) break;
      batch.push(this.#waiting.shift()!);
    }
    return batch;
  }

  async #run(batch: readonly EmbedRequest[]): Promise<void> {
    try {
      const vectors = await this.#embed(batch);
      for (const [at, request] of batch.entries()) {
        if (this.#open.delete(request.id)) this.#listener.onEmbedding(request, vectors[at]!);
      }
    } catch (caught) {
      const error = asStatorError(caught);
      for (const request of batch) if (this.#open.delete(request.id)) this.#listener.onFailed(request, error);
    }
    this.#isBusy = false;
    this.#listener.onBatch();
  }
}
