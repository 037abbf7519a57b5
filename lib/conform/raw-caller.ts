import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type Accepted,
  CancelMode,
  type Finish,
  type LinkRequest,
  LinkRequestSchema,
  type LinkResponse,
  RequestKind,
  type Step,
  type Submit,
  type SubmitSchema,
  type Welcome,
} from "#gen/stator/worker/v1/link_pb";
import { readU32, writeU32 } from "#lib/base/bytes";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { CallerChannel } from "#lib/link/link";
import { readEntries } from "#lib/link/step";
import { expect } from "./failure.ts";

/** A worker that says more on one link floods: the busiest check hears some thousand messages. */
const MOST_MESSAGES = 100_000;

/** Fields of a request that a check sets. */
export type SubmitFields = Exclude<MessageInitShape<typeof SubmitSchema>, Submit>;

/** What a caller without a machine goes by. */
export interface RawCallerOptions {
  /** Borrowed; waits go by it. */
  readonly clock: Clock;
  /** Longest wait for one thing. */
  readonly timeoutMs: number;
  /** The model that requests name; the first of Welcome unless given. */
  readonly model: string | undefined;
  /** Messages beyond end the link; MOST_MESSAGES unless given. */
  readonly mostMessages?: number;
}

/** What came for one handle, in order. */
export interface Answer {
  /** Of all steps, in order. */
  readonly tokens: number[];
  /** How often Accepted named it. */
  accepted: number;
  /** Tokens that came before the request was accepted, or after it had ended. */
  stray: number;
  /** Every terminal frame: a worker in order sends one. */
  readonly finishes: Finish[];
}

/** A caller without a machine: it says what it is told, right or wrong, and keeps what it hears. */
export class RawCaller {
  readonly #channel: CallerChannel;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #model: string | undefined;
  readonly #mostMessages: number;
  readonly #answers = new Map<number, Answer>();
  #wake: (() => void) | undefined;
  welcome: Welcome | undefined;
  readonly messages: LinkResponse[] = [];
  readonly steps: Step[] = [];
  /** Set when the worker ended the link. */
  ended: { readonly error: StatorError | undefined } | undefined;

  constructor(channel: CallerChannel, options: RawCallerOptions) {
    this.#mostMessages = options.mostMessages ?? MOST_MESSAGES;
    this.#channel = channel;
    this.#clock = options.clock;
    this.#timeoutMs = options.timeoutMs;
    this.#model = options.model;
    channel.receive({
      onMessage: (message) => this.#take(message),
      onEnd: (error) => {
        this.ended ??= { error };
        this.#wake?.();
      },
    });
  }

  /** The model that requests name. */
  get model(): string {
    return this.#model ?? this.welcome?.models[0] ?? "";
  }

  say(message: MessageInitShape<typeof LinkRequestSchema>): void {
    this.#channel.send(create(LinkRequestSchema, message) as LinkRequest);
  }

  /** Hello with optional features, none unless given, and its answer. */
  async greet(features: string[] = []): Promise<Welcome> {
    this.say({ hello: { minimumRevision: 1, maximumRevision: 1, caller: "conform", features } });
    await this.until(() => this.welcome !== undefined, "Welcome");
    expect(this.welcome, "Welcome did not come");
    return this.welcome;
  }

  /** A greedy request; `more` overrides. */
  request(handle: number, more: SubmitFields): SubmitFields {
    return {
      handle,
      requestId: `conform-${handle}`,
      kind: RequestKind.GENERATE,
      model: this.model,
      sampling: { temperature: 0, seed: 1n },
      stopping: { maxTokens: 8, ignoreEos: true },
      ...more,
    };
  }

  /** What came for a handle so far. */
  answer(handle: number): Answer {
    let answer = this.#answers.get(handle);
    if (!answer) {
      answer = { tokens: [], accepted: 0, stray: 0, finishes: [] };
      this.#answers.set(handle, answer);
    }
    return answer;
  }

  /** Submits and waits for the end. */
  async ask(handle: number, more: SubmitFields): Promise<Answer> {
    this.say({ submits: [this.request(handle, more)] });
    await this.finished(handle);
    return this.answer(handle);
  }

  finished(handle: number): Promise<void> {
    return this.until(() => this.answer(handle).finishes.length > 0, `the Finish of handle ${handle}`);
  }

  cancel(handles: readonly number[], mode: CancelMode = CancelMode.STOP): void {
    this.say({ cancels: [{ handles: writeU32(handles), mode }] });
  }

  /** Waits until it holds; fails when it does not in time, or the link ends before. */
  async until(holds: () => boolean, what: string): Promise<void> {
    const untilMs = this.#clock.nowMs() + this.#timeoutMs;
    while (!holds()) {
      expect(
        !this.ended,
        `the worker ended the link (${this.ended?.error?.message ?? "in order"}) before ${what} came`,
      );
      await this.#event(untilMs, what);
    }
  }

  /** Waits for the worker to end the link. */
  async untilEnd(why: string): Promise<StatorError | undefined> {
    const untilMs = this.#clock.nowMs() + this.#timeoutMs;
    while (!this.ended) await this.#event(untilMs, `the end of the link (${why})`);
    return this.ended.error;
  }

  /** Gives the worker time to say something wrong. */
  async pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#clock.after(ms, resolve, { keepAlive: true });
    });
  }

  halfClose(): void {
    this.#channel.end();
  }

  async end(): Promise<void> {
    if (!this.ended) this.#channel.end();
    // A worker that does not answer the end is checked elsewhere.
    for (let at = 0; at < 20 && !this.ended; at++) await this.pause(10);
  }

  async #event(untilMs: number, what: string): Promise<void> {
    const leftMs = untilMs - this.#clock.nowMs();
    expect(leftMs > 0, `${what} did not come in ${this.#timeoutMs} ms`);
    await new Promise<void>((resolve) => {
      const timer = this.#clock.after(leftMs, resolve, { keepAlive: true });
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
    this.#wake = undefined;
  }

  #take(message: LinkResponse): void {
    if (this.ended) return;
    if (this.messages.length >= this.#mostMessages) {
      const detail = `it floods: more than ${this.#mostMessages} messages came on one link`;
      this.ended = { error: new StatorError("CONTRACT_MISMATCH", { what: "The worker", detail }) };
      this.#channel.end(new StatorError("CANCELLED"));
      this.#wake?.();
      return;
    }
    this.messages.push(message);
    this.welcome ??= message.welcome;
    if (message.accepted) this.#accepted(message.accepted);
    if (message.step) this.#step(message.step);
    this.#wake?.();
  }

  #accepted(accepted: Accepted): void {
    for (const handle of readU32(accepted.handles)) this.answer(handle).accepted++;
  }

  #step(step: Step): void {
    this.steps.push(step);
    const { handles, counts, tokens } = readEntries(step);
    let end = 0;
    for (const [at, handle] of handles.entries()) {
      const start = end;
      end += counts ? (counts[at] ?? 0) : 1;
      const answer = this.answer(handle);
      if (answer.accepted === 0 || answer.finishes.length > 0) answer.stray += end - start;
      answer.tokens.push(...tokens.subarray(start, end));
    }
    for (const finish of step.finishes) this.answer(finish.handle).finishes.push(finish);
  }
}
