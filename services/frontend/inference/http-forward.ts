import type { BinaryOutputs } from "#lib/api/kserve/json-request";
import { peekInferRequest } from "#lib/api/kserve/peek";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Placement } from "#lib/serving/answer";
import { httpAnswer } from "../doors/infer/print.ts";
import { LENGTH_HEADER } from "../doors/infer/read.ts";
import type { HttpAnswer, Reply, Work } from "../doors/reply.ts";
import type { PrintedAnswer } from "../read/printed-answer.ts";
import type { BodyReader } from "../read/reader.ts";
import { setPlacement } from "../serve/placement.ts";
import type { Forwarded, Forwarding, ForwardSink } from "./forwarding.ts";

/** A request for a model of tensors, in the chunks of its body. */
export interface TensorBody {
  /** Taken. */
  readonly chunks: readonly Buffer[];
  /** The part of the path. */
  readonly model: string;
  /** The part of the path; empty leaves the choice to the worker. */
  readonly version: string;
}

/** What such requests are answered with. */
export interface HttpForwardTools {
  /** Their way. */
  readonly forwarding: Forwarding;
  /** Reads bodies and prints answers. */
  readonly reader: BodyReader;
}

/** Sends a request of HTTP to a worker of its model as the message that it is. Throws what is wrong with it; nothing ran then. */
export async function forwardBody(
  { chunks, model, version }: TensorBody,
  reply: Reply<never, HttpAnswer>,
  { forwarding, reader }: HttpForwardTools,
): Promise<void> {
  const headerLength = reply.header(LENGTH_HEADER);
  const { message, binary } = await reader.readTensors(chunks, { model, version, headerLength });
  // The client may have left while its body was read.
  if (reply.closed) return;
  const answer = new HttpForward(reply, binary, reader);
  const { requestId, route } = reply;
  const head = peekInferRequest(message);
  const header = (name: string) => reply.header(name);
  answer.attach(forwarding.infer({ method: "modelInfer", bytes: message, head, requestId, route, header }, answer));
}

/** The answer of a worker of tensors on its way to a client of HTTP. */
class HttpForward implements ForwardSink, Work {
  readonly #reply: Reply<never, HttpAnswer>;
  readonly #binary: BinaryOutputs;
  readonly #reader: BodyReader;
  #handle: Forwarded | undefined;
  #whole: Uint8Array | undefined;
  #placement: Placement | undefined;
  #over = false;

  constructor(reply: Reply<never, HttpAnswer>, binary: BinaryOutputs, reader: BodyReader) {
    this.#reply = reply;
    this.#binary = binary;
    this.#reader = reader;
  }

  /** Takes the request that is under way; the client's leaving cancels it. Call right after it was sent. */
  attach(handle: Forwarded): void {
    this.#handle = handle;
    if (this.#reply.closed) handle.cancel();
    else this.#reply.work = this;
  }

  onPlaced(placement: Placement): void {
    this.#placement = placement;
  }

  onAnswer(bytes: Uint8Array): boolean {
    this.#whole ??= bytes;
    return true;
  }

  onEnd(error: StatorError | undefined): void {
    this.#handle = undefined;
    if (this.#over) return;
    const whole = this.#whole;
    if (error || !whole) {
      this.#fail(error ?? new StatorError("STREAM_LOST", { detail: "the worker ended without an answer" }));
      return;
    }
    this.#reader
      .printTensors(whole, this.#binary)
      .then((printed) => this.#tell(printed))
      .catch((caught: unknown) => this.#fail(asStatorError(caught)));
  }

  abort(error: StatorError): void {
    this.#cancel();
    this.#fail(error);
  }

  closed(): void {
    this.#over = true;
    this.#cancel();
  }

  #cancel(): void {
    const handle = this.#handle;
    this.#handle = undefined;
    handle?.cancel();
  }

  #tell(printed: PrintedAnswer): void {
    if (this.#over) return;
    setPlacement(this.#reply, this.#placement);
    this.#reply.whole(httpAnswer(printed));
    this.#over = true;
  }

  #fail(error: StatorError): void {
    if (this.#over) return;
    this.#over = true;
    this.#reply.fail(error);
  }
}
