import type { Clock } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Reply, Work } from "../doors/reply.ts";
import type { Models, ServedModel } from "./served.ts";

/** How long, and how many. */
export interface ModelWaitOptions {
  /** Where models are found. Borrowed. */
  readonly models: Models;
  /** Tells how long a request has waited. */
  readonly clock: Clock;
  /** Longest wait of one request; 0 never waits. */
  readonly waitMs: number;
  /** Requests that wait side by side; a further one hears MODEL_LOADING at once. */
  readonly most: number;
}

/** Finds the models of requests; a request for one that is loading waits until it is there. */
export class ModelWaits {
  readonly #options: ModelWaitOptions;
  readonly #waiting = new Set<ModelWait>();

  constructor(options: ModelWaitOptions) {
    this.#options = options;
    options.models.onChange(() => {
      for (const wait of [...this.#waiting]) wait.look();
    });
  }

  /** Requests that wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /**
   * The model of a name, now or when it is loaded. Throws what `Models.find` throws: MODEL_LOADING after the longest
   * wait, anything else as soon as it is so; CANCELLED when the client leaves.
   */
  find(name: string, reply: Pick<Reply<unknown>, "work">): ServedModel | Promise<ServedModel> {
    const { models, waitMs, most, clock } = this.#options;
    try {
      return models.find(name);
    } catch (error) {
      if (!isLoading(error) || waitMs <= 0 || this.#waiting.size >= most) throw error;
    }
    const wait = new ModelWait(() => models.find(name));
    const timer = clock.after(waitMs, () => wait.settle());
    this.#waiting.add(wait);
    reply.work = wait;
    return wait.found.finally(() => {
      timer.cancel();
      this.#waiting.delete(wait);
      reply.work = undefined;
    });
  }
}

function isLoading(error: unknown): boolean {
  return error instanceof StatorError && error.reason === "MODEL_LOADING";
}

/** One request that waits for its model. */
class ModelWait implements Work {
  readonly #find: () => ServedModel;
  readonly #settled = Promise.withResolvers<ServedModel>();

  constructor(find: () => ServedModel) {
    this.#find = find;
  }

  get found(): Promise<ServedModel> {
    return this.#settled.promise;
  }

  /** Looks again; a model that is still loading changes nothing. */
  look(): void {
    try {
      this.#settled.resolve(this.#find());
    } catch (error) {
      if (!isLoading(error)) this.#settled.reject(error);
    }
  }

  /** Looks for the last time. */
  settle(): void {
    try {
      this.#settled.resolve(this.#find());
    } catch (error) {
      this.#settled.reject(asStatorError(error));
    }
  }

  abort(error: StatorError): void {
    this.#settled.reject(error);
  }

  closed(): void {
    this.#settled.reject(new StatorError("CANCELLED"));
  }
}
