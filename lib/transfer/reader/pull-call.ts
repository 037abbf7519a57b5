import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  PayloadService,
  type PullOpenSchema,
  type PullRequest,
  PullRequestSchema,
  type PullResponse,
} from "#gen/stator/worker/v1/payload_pb";
import type { Clock, Timer } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { DuplexChannel } from "#lib/rpc/stream";
import type { Transport } from "#lib/rpc/transport";

/** Messages that are read ahead before the owner is held back. */
const READ_AHEAD = 16;

/** How one pull is made. */
export interface PullCallOptions {
  /** Of the lease. */
  readonly clock: Clock;
  /** What is wanted. */
  readonly open: MessageInitShape<typeof PullOpenSchema>;
  /** The owner forgets a reader that says nothing for so long, until it has told of its own time. */
  readonly leaseMs: number;
  /** The owner may say nothing for so long; undefined while nothing is due. */
  readonly stallMs: number | undefined;
}

/** The reader's end of one Pull. Ended by `close`, always. */
export class PullCall {
  readonly #channel: DuplexChannel<PullRequest, PullResponse>;
  readonly #options: PullCallOptions;
  readonly #ready: PullResponse[] = [];
  #isPaused = false;
  #ended: { readonly error: StatorError } | undefined;
  #wake: (() => void) | undefined;
  #taken = 0;
  #leaseMs: number;
  #saidMs: number;
  #timer: Timer | undefined;

  constructor(transport: Transport, options: PullCallOptions) {
    this.#options = options;
    this.#channel = transport.open(PayloadService.method.pull);
    this.#saidMs = options.clock.nowMs();
    this.#leaseMs = options.leaseMs;
    this.#channel.receive({
      onMessage: (message) => this.#add(message),
      onEnd: (error) => this.#end(error ?? new StatorError("STREAM_LOST", { detail: "it ended before its last word" })),
    });
    this.#channel.send(create(PullRequestSchema, { content: { case: "open", value: options.open } }));
    this.#beat();
  }

  /** The owner's own lease, where it is shorter. */
  shorten(leaseMs: number): void {
    if (leaseMs >= this.#leaseMs || leaseMs <= 0) return;
    this.#leaseMs = leaseMs;
    this.#timer?.cancel();
    this.#beat();
  }

  /** The next message. Throws why there is none. */
  async next(): Promise<PullResponse> {
    const { clock, stallMs } = this.#options;
    const late = () => this.stop(new StatorError("WORKER_STALLED", { stalledMs: stallMs }));
    const timer = stallMs === undefined ? undefined : clock.after(stallMs, late);
    try {
      for (;;) {
        const message = this.#ready.shift();
        if (message) {
          if (this.#isPaused && this.#ready.length <= READ_AHEAD / 2) this.#pause(false);
          return message;
        }
        if (this.#ended) throw this.#ended.error;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      timer?.cancel();
    }
  }

  /**
   * The memory of so many blocks was read. Throws when the owner may have used it again meanwhile, since nothing was
   * said for too long: what was read is not to be believed.
   */
  take(blocks: number): void {
    this.#requireLease();
    this.#taken += blocks;
    this.#say();
  }

  /** `next` throws this from now on. */
  stop(error: StatorError): void {
    this.#ready.length = 0;
    this.#end(error);
  }

  /** Ends it in order. Nothing that the owner has given is read any more. */
  close(): void {
    this.#timer?.cancel();
    this.stop(new StatorError("CANCELLED"));
    this.#channel.end();
    if (this.#isPaused) this.#pause(false);
  }

  #end(error: StatorError): void {
    this.#ended ??= { error };
    this.#wake?.();
  }

  #add(message: PullResponse): void {
    if (this.#ended) return;
    this.#ready.push(message);
    if (!this.#isPaused && this.#ready.length >= READ_AHEAD) this.#pause(true);
    this.#wake?.();
  }

  #pause(isPaused: boolean): void {
    this.#isPaused = isPaused;
    if (isPaused) this.#channel.pause();
    else this.#channel.resume();
  }

  /** Says that it is there, often enough for the owner's lease. */
  #beat(): void {
    this.#timer = this.#options.clock.after(this.#leaseMs / 3, () => {
      if (this.#ended) return;
      try {
        this.#requireLease();
      } catch (caught) {
        if (caught instanceof StatorError) this.stop(caught);
        return;
      }
      this.#say();
      this.#beat();
    });
  }

  #say(): void {
    this.#saidMs = this.#options.clock.nowMs();
    this.#channel.send(create(PullRequestSchema, { content: { case: "taken", value: { blocks: this.#taken } } }));
  }

  #requireLease(): void {
    const silentMs = this.#options.clock.nowMs() - this.#saidMs;
    if (silentMs >= this.#leaseMs) throw new StatorError("LEASE_LOST", { lease: "of the session" });
  }
}
