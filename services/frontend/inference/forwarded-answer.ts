import type { StatorError } from "#lib/base/errors";
import type { Placement } from "#lib/serving/answer";
import type { Work } from "../doors/reply.ts";
import { setPlacement } from "../serve/placement.ts";
import type { Forwarded, ForwardSink } from "./forwarding.ts";
import type { GrpcReply } from "./reply.ts";

/** The answers of a worker of tensors on their way to the client: nothing of them is read here. */
export class ForwardedAnswer implements ForwardSink, Work {
  readonly #reply: GrpcReply;
  readonly #isStream: boolean;
  #handle: Forwarded | undefined;
  /** The only answer of a call that has one, until it is known that nothing else comes. */
  #whole: Uint8Array | undefined;

  constructor(reply: GrpcReply, isStream: boolean) {
    this.#reply = reply;
    this.#isStream = isStream;
  }

  /** Takes the request that is under way; the client's leaving cancels it. Call right after it was sent. */
  attach(handle: Forwarded): void {
    this.#handle = handle;
    if (this.#reply.closed) handle.cancel();
    else this.#reply.work = this;
  }

  onPlaced(placement: Placement): void {
    setPlacement(this.#reply, placement);
  }

  onAnswer(bytes: Uint8Array): boolean {
    if (!this.#isStream) {
      this.#whole ??= bytes;
      return true;
    }
    this.#reply.openEvents();
    if (this.#reply.write(bytes)) return true;
    this.#reply.whenDrained(
      () => this.#handle?.resume(),
      () => this.#handle?.cancel(),
    );
    return false;
  }

  onEnd(error: StatorError | undefined): void {
    this.#handle = undefined;
    if (!error && this.#whole) this.#reply.whole(this.#whole);
    else this.#tell(error);
  }

  abort(error: StatorError): void {
    this.#cancel();
    this.#tell(error);
  }

  closed(): void {
    this.#cancel();
  }

  #cancel(): void {
    const handle = this.#handle;
    this.#handle = undefined;
    handle?.cancel();
  }

  /** The end of a stream's answers; of a call that has one answer the error in its place. */
  #tell(error: StatorError | undefined): void {
    if (error && !this.#reply.answered) this.#reply.fail(error);
    else this.#reply.endEvents(error);
  }
}
