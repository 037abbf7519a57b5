import { StatorError } from "#lib/base/errors";
import type { DuplexChannel, StreamHandlers } from "./stream.ts";

/**
 * The server's end of a call whose method takes one message: a call with none or with more is refused with
 * INVALID_ARGUMENT, and its receiver sees neither the second message nor an end in order.
 */
export class OneRequestChannel<Out, In> implements DuplexChannel<Out, In> {
  readonly #channel: DuplexChannel<Out, In>;
  readonly #path: string;

  /** Takes the channel. `path` is `/package.Service/Method`, for errors. */
  constructor(channel: DuplexChannel<Out, In>, path: string) {
    this.#channel = channel;
    this.#path = path;
  }

  get bufferedBytes(): number {
    return this.#channel.bufferedBytes;
  }

  send(message: Out): boolean {
    return this.#channel.send(message);
  }

  receive(handlers: StreamHandlers<In>): void {
    let count = 0;
    this.#channel.receive({
      onMessage: (message) => {
        count++;
        if (count === 1) handlers.onMessage(message);
        else this.end(this.#refusal(""));
      },
      onEnd: (error) => {
        if (error || count === 1) return handlers.onEnd(error);
        const refusal = this.#refusal(count === 0 ? " and got none" : "");
        this.end(refusal);
        handlers.onEnd(refusal);
      },
      onDrain: () => handlers.onDrain?.(),
    });
  }

  pause(): void {
    this.#channel.pause();
  }

  resume(): void {
    this.#channel.resume();
  }

  end(error?: StatorError): void {
    this.#channel.end(error);
  }

  #refusal(but: string): StatorError {
    return new StatorError("INVALID_ARGUMENT", { detail: `${this.#path} takes one message${but}` });
  }
}
