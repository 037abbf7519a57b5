import type { Message } from "@bufbuild/protobuf";
import type { Clock } from "#lib/base/clock";
import { asStatorError, type StatorError } from "#lib/base/errors";
import { Lane } from "./lane.ts";
import type { DuplexChannel, StreamHandlers } from "./stream.ts";

/** What a pipe tells about its call. */
export interface PipeHooks {
  /** The call is over; once. `error` is undefined when the handler ended it in order, `forced` when the handler did not end it. */
  onOver(error: StatorError | undefined, forced: boolean): void;
  /** Sees every message before it is handed over. */
  onMessage?(message: Message): void;
}

/** One call inside one process: two lanes and two ends. */
export class Pipe<Up extends Message, Down extends Message> {
  readonly #up: Lane<Up>;
  readonly #down: Lane<Down>;
  readonly #hooks: PipeHooks;
  #over = false;
  /** The caller's end. */
  readonly client: DuplexChannel<Up, Down>;
  /** The handler's end. */
  readonly server: DuplexChannel<Down, Up>;

  constructor(clock: Clock, hooks: PipeHooks) {
    this.#up = new Lane(clock);
    this.#down = new Lane(clock);
    this.#hooks = hooks;
    this.client = new PipeEnd(this.#up, this.#down, {
      onMessage: hooks.onMessage,
      onEnd: () => this.#up.end(),
      onFail: (error) => this.fail(error),
    });
    this.server = new PipeEnd(this.#down, this.#up, {
      onMessage: hooks.onMessage,
      onEnd: () => this.#finish(),
      onFail: (error) => this.#fail(error, false),
    });
  }

  /** Nothing more is sent either way. */
  get over(): boolean {
    return this.#over;
  }

  /** Ends both directions at once from outside the handler: a cancel, a deadline, a close. */
  fail(error: StatorError): void {
    this.#fail(error, true);
  }

  #fail(error: StatorError, forced: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#up.cut(error);
    this.#down.cut(error);
    this.#hooks.onOver(error, forced);
  }

  /** The handler is done: the caller reads what was sent, and what the handler did not read is dropped. */
  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#down.end();
    this.#up.cut(undefined);
    this.#hooks.onOver(undefined, false);
  }
}

interface EndHooks {
  readonly onMessage: ((message: Message) => void) | undefined;
  onEnd(): void;
  onFail(error: StatorError): void;
}

class PipeEnd<Out extends Message, In extends Message> implements DuplexChannel<Out, In> {
  readonly #out: Lane<Out>;
  readonly #in: Lane<In>;
  readonly #hooks: EndHooks;
  #ended = false;

  constructor(out: Lane<Out>, into: Lane<In>, hooks: EndHooks) {
    this.#out = out;
    this.#in = into;
    this.#hooks = hooks;
  }

  get bufferedBytes(): number {
    return this.#out.bytes;
  }

  send(message: Out): boolean {
    if (this.#ended) return true;
    this.#hooks.onMessage?.(message);
    return this.#out.push(message);
  }

  receive(handlers: StreamHandlers<In>): void {
    this.#out.onDrain = () => handlers.onDrain?.();
    this.#in.receive({
      onMessage: (message) => {
        try {
          handlers.onMessage(message);
        } catch (caught) {
          this.end(asStatorError(caught));
        }
      },
      onEnd: (error) => handlers.onEnd(error),
    });
  }

  pause(): void {
    this.#in.pause();
  }

  resume(): void {
    this.#in.resume();
  }

  end(error?: StatorError): void {
    if (error) this.#hooks.onFail(error);
    else if (!this.#ended) this.#hooks.onEnd();
    this.#ended = true;
  }
}
