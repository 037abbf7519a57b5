import { asStatorError, type StatorError } from "#lib/base/errors";
import type { DuplexChannel } from "./stream.ts";

/** Messages read ahead of the consumer before the transport is asked to hold back. */
const READ_AHEAD = 16;

/** How a channel is iterated. */
export interface IterateOptions {
  /** The channel's onDrain. */
  onDrain?(): void;
  /** The channel's onEnd. */
  onEnd?(): void;
  /** The consumer left before the end. */
  onLeave?(): void;
}

/**
 * The receiving half of a channel as an iterable with back pressure, for code that is not hot. Takes the channel's
 * `receive`. After the consumer left, messages are dropped.
 */
export function iterate<Out, In>(channel: DuplexChannel<Out, In>, options: IterateOptions = {}): AsyncGenerator<In> {
  const inbox = new Inbox(channel);
  channel.receive({
    onMessage: (message) => inbox.add(message),
    onEnd: (error) => {
      inbox.end(error);
      options.onEnd?.();
    },
    onDrain: options.onDrain,
  });
  return drain(inbox, options.onLeave);
}

async function* drain<Out, In>(inbox: Inbox<Out, In>, onLeave: (() => void) | undefined): AsyncGenerator<In> {
  try {
    for (;;) {
      const message = inbox.take();
      if (message !== undefined) yield message;
      else if (inbox.ended) break;
      else await inbox.wait();
    }
  } finally {
    if (!inbox.leave()) onLeave?.();
  }
  if (inbox.error) throw inbox.error;
}

class Inbox<Out, In> {
  readonly #channel: DuplexChannel<Out, In>;
  #ready: In[] = [];
  #ended = false;
  #left = false;
  #paused = false;
  #wake: (() => void) | undefined;
  error: StatorError | undefined;

  constructor(channel: DuplexChannel<Out, In>) {
    this.#channel = channel;
  }

  get ended(): boolean {
    return this.#ended;
  }

  add(message: In): void {
    if (this.#left) return;
    this.#ready.push(message);
    if (!this.#paused && this.#ready.length >= READ_AHEAD) {
      this.#paused = true;
      this.#channel.pause();
    }
    this.#wake?.();
  }

  end(error: StatorError | undefined): void {
    this.#ended = true;
    this.error = error;
    this.#wake?.();
  }

  take(): In | undefined {
    const message = this.#ready.shift();
    if (this.#paused && this.#ready.length <= READ_AHEAD / 2) this.#resume();
    return message;
  }

  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** The consumer is done. True when everything was read. */
  leave(): boolean {
    this.#left = true;
    this.#ready = [];
    if (this.#paused) this.#resume();
    return this.#ended;
  }

  #resume(): void {
    this.#paused = false;
    this.#channel.resume();
  }
}

/** Where a sender waits while a send buffer is full; closed when the call is over. */
export class DrainGate {
  #wake: (() => void) | undefined;
  #onClose: (() => void) | undefined;
  #over = false;

  /** True when nobody needs to send any more. */
  get over(): boolean {
    return this.#over;
  }

  /** Calls once when the gate closes. */
  set onClose(call: () => void) {
    this.#onClose = call;
  }

  /** For the channel's onDrain. */
  readonly drained = (): void => {
    this.#wake?.();
    this.#wake = undefined;
  };

  /** The call is over. */
  readonly close = (): void => {
    if (this.#over) return;
    this.#over = true;
    this.drained();
    this.#onClose?.();
  };

  /** Settles when the buffer has drained or the gate closed. */
  wait(): Promise<void> {
    if (this.#over) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

/**
 * Sends everything an iterable yields, as fast as the channel takes it, and ends the channel in order, or with the error
 * that the iterable threw. When the gate closes it calls `return()` and stops.
 */
export function pump<Item, Out, In>(
  items: AsyncIterable<Item>,
  channel: DuplexChannel<Out, In>,
  options: PumpOptions<Item, Out>,
): void {
  const { gate } = options;
  const iterator = items[Symbol.asyncIterator]();
  gate.onClose = () => {
    // What a `finally` of a stream that nobody reads throws has no listener.
    iterator.return?.().catch(() => {});
  };
  sendAll(iterator, channel, options).catch((caught: unknown) => {
    if (!gate.over) channel.end(asStatorError(caught));
  });
}

/** How items become messages, and where to wait. */
export interface PumpOptions<Item, Out> {
  /** Where the sender waits while the channel is full; borrowed. */
  readonly gate: DrainGate;
  /** Called once for each item, in order. */
  toMessage(item: Item): Out;
}

async function sendAll<Item, Out, In>(
  iterator: AsyncIterator<Item>,
  channel: DuplexChannel<Out, In>,
  { gate, toMessage }: PumpOptions<Item, Out>,
): Promise<void> {
  while (!gate.over) {
    const { done, value } = await iterator.next();
    if (gate.over) return;
    if (done) {
      channel.end();
      return;
    }
    if (!channel.send(toMessage(value))) await gate.wait();
  }
}
