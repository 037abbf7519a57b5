import type { DescMessage, Message } from "@bufbuild/protobuf";
import { asStatorError, type StatorError } from "#lib/base/errors";
import { parse, Serializer } from "./serialize.ts";
import type { DuplexChannel, StreamHandlers } from "./stream.ts";

/**
 * A channel of messages, seen as one of their bytes: for who handles bytes where the transport carries messages. Bytes that
 * are sent and are no message of their schema end the call with INVALID_ARGUMENT.
 */
export class ByteChannel implements DuplexChannel<Uint8Array, Uint8Array> {
  readonly #channel: DuplexChannel<Message, Message>;
  readonly #out: DescMessage;
  readonly #serializer: Serializer;

  /** Takes the channel. Bytes that are sent are of the schema `out`, those that come of `into`. */
  constructor(channel: DuplexChannel<Message, Message>, out: DescMessage, into: DescMessage) {
    this.#channel = channel;
    this.#out = out;
    this.#serializer = new Serializer(into);
  }

  get bufferedBytes(): number {
    return this.#channel.bufferedBytes;
  }

  send(bytes: Uint8Array): boolean {
    try {
      return this.#channel.send(parse(this.#out, bytes));
    } catch (caught) {
      this.end(asStatorError(caught));
      return true;
    }
  }

  receive(handlers: StreamHandlers<Uint8Array>): void {
    this.#channel.receive({
      onMessage: (message) => handlers.onMessage(this.#serializer.serialize(message)),
      onEnd: (error) => handlers.onEnd(error),
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
}
