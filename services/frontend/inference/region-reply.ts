import { asStatorError, type StatorError } from "#lib/base/errors";
import type { Reply, Work } from "../doors/reply.ts";

/** Printed answers that may wait to be placed before whoever computes them is told to wait. */
const MOST_WAITING = 8;

/** How the answers of one request come into regions of shared memory. */
export interface RegionPlaces<Printed> {
  /** Writes an answer's outputs into their regions; resolves with what is told in its place. Throws what is wrong. */
  place(printed: Printed): Promise<Printed>;
  /** Nothing is placed any more. May be called again. */
  release(): void;
}

/**
 * A reply whose answers have outputs in shared memory: each is written there before it is told, one after the other. An
 * output that does not fit fails the request. Gives the places back when the request is over; whoever makes it does so
 * where no work ever began.
 */
export class RegionReply<Printed> implements Reply<Printed> {
  readonly #inner: Reply<Printed>;
  readonly #places: RegionPlaces<Printed>;
  #work: RegionWork | undefined;
  #answered = false;
  #isFull = false;
  #waiting = 0;
  /** Settles when all that was printed so far was told. Never rejects. */
  #told = Promise.resolve();

  constructor(inner: Reply<Printed>, places: RegionPlaces<Printed>) {
    this.#inner = inner;
    this.#places = places;
  }

  get requestId(): string {
    return this.#inner.requestId;
  }

  get route(): string {
    return this.#inner.route;
  }

  get arrivedMs(): number {
    return this.#inner.arrivedMs;
  }

  get firstTokenMs(): number | undefined {
    return this.#inner.firstTokenMs;
  }

  set firstTokenMs(ms: number | undefined) {
    this.#inner.firstTokenMs = ms;
  }

  get work(): Work | undefined {
    return this.#work;
  }

  set work(work: Work | undefined) {
    this.#work = work && new RegionWork(work, this.#places);
    this.#inner.work = this.#work;
  }

  get closed(): boolean {
    return this.#inner.closed;
  }

  get answered(): boolean {
    return this.#answered || this.#inner.answered;
  }

  get backlogBytes(): number {
    return this.#inner.backlogBytes;
  }

  header(name: string): string | undefined {
    return this.#inner.header(name);
  }

  set(name: string, value: string): void {
    this.#inner.set(name, value);
  }

  whole(body: Printed): void {
    if (this.answered) return;
    this.#answered = true;
    this.#then(async () => {
      this.#inner.whole(await this.#places.place(body));
      this.#places.release();
    });
  }

  fail(error: StatorError): void {
    if (this.answered) return;
    this.#inner.fail(error);
    this.#places.release();
  }

  openEvents(): void {
    this.#answered = true;
    this.#inner.openEvents();
  }

  write(event: Printed): boolean {
    this.#then(async () => {
      const placed = await this.#places.place(event);
      this.#isFull = !this.#inner.closed && !this.#inner.write(placed);
    });
    return !this.#isFull && this.#waiting < MOST_WAITING;
  }

  writeAll(events: readonly Printed[]): boolean {
    return events.map((event) => this.write(event)).every((taken) => taken);
  }

  ping(): boolean {
    return this.#inner.ping();
  }

  endEvents(error?: StatorError): void {
    this.#then(async () => {
      this.#inner.endEvents(error);
      this.#places.release();
    });
  }

  whenDrained(drained: () => void, cut: () => void): void {
    this.#then(async () => {
      this.#isFull = false;
      this.#inner.whenDrained(drained, cut);
    });
  }

  #then(tell: () => Promise<void>): void {
    this.#waiting++;
    this.#told = this.#told
      .then(() => (this.#inner.closed ? this.#places.release() : tell()))
      .catch((caught: unknown) => this.#failed(asStatorError(caught)))
      .then(() => {
        this.#waiting--;
      });
  }

  /** The work behind ends with the reply, as it would by a client that leaves. */
  #failed(error: StatorError): void {
    if (this.#inner.answered) this.#inner.endEvents(error);
    else this.#inner.fail(error);
    this.#places.release();
  }
}

/** Work that gives the places back with its end. */
class RegionWork implements Work {
  readonly #inner: Work;
  readonly #places: Pick<RegionPlaces<never>, "release">;

  constructor(inner: Work, places: Pick<RegionPlaces<never>, "release">) {
    this.#inner = inner;
    this.#places = places;
  }

  abort(error: StatorError): void {
    this.#inner.abort(error);
  }

  closed(): void {
    this.#places.release();
    this.#inner.closed();
  }
}
