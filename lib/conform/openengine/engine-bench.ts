import type { KvEventBatch } from "#gen/openengine/v1/kv_pb";
import type { HealthState } from "#gen/openengine/v1/lifecycle_pb";
import type { ModelInfo } from "#gen/openengine/v1/model_pb";
import type { ServerInfo } from "#gen/openengine/v1/server_pb";
import { asStatorError, StatorError } from "#lib/base/errors";
import { asPeerSaid } from "#lib/rpc/error-detail";
import { claimed, expect, Failure } from "../failure.ts";
import { type Ask, CODE, type EngineCaller, type RunningCall, statusOf } from "./engine-caller.ts";

/** Tokens of the answer that checks have in common. */
export const SAMPLE_TOKENS = 24;

/** What an engine says of itself, asked once in a run. */
export interface EngineFacts {
  /** As GetServerInfo answers. */
  readonly server: ServerInfo;
  /** Of the model that is asked, as GetModelInfo answers. */
  readonly model: ModelInfo;
}

/** A long answer: what it is asked for must not be over before a check has done what it wants to do to it. */
const LONG_TOKENS = 16_384;

/** Tokens that a prompt may have beside a long answer. */
const PROMPT_TOKENS = 64;

/** What was seen of an engine that was told to end. */
export interface DrainSeen {
  /** States that Health told while it drained, in order, without repeats. */
  readonly states: readonly HealthState[];
  /** The call that ran when it was told; nothing when it was over already. */
  readonly running: RunningCall;
  /** Calls that began afterwards and reached it. */
  readonly later: readonly RunningCall[];
}

/** What a bench is made of. */
export type EngineBenchParts = Pick<
  EngineBench,
  "caller" | "facts" | "exact" | "adapterPath" | "sample" | "mostKeptBytes" | "drained"
>;

/** What a check of openengine.v1 works with. */
export class EngineBench {
  readonly caller: EngineCaller;
  /** What the engine said of itself. */
  readonly facts: EngineFacts;
  /** Equal greedy requests give equal tokens, so that answers are compared. */
  readonly exact: boolean;
  /** Absolute path of an adapter at the engine's host; undefined leaves out what needs one. */
  readonly adapterPath: string | undefined;
  /**
   * The greedy answer of SAMPLE_TOKENS that several checks look at, asked for once in a run. Fails when it is refused or
   * fails.
   */
  readonly sample: () => Promise<RunningCall>;
  /** What an engine may keep for a caller that does not read. */
  readonly mostKeptBytes: number;
  /** What a drain showed; undefined where nobody can make one. It happens once in a run. */
  readonly drained: (() => Promise<DrainSeen>) | undefined;

  constructor(parts: EngineBenchParts) {
    this.caller = parts.caller;
    this.facts = parts.facts;
    this.exact = parts.exact;
    this.adapterPath = parts.adapterPath;
    this.sample = parts.sample;
    this.mostKeptBytes = parts.mostKeptBytes;
    this.drained = parts.drained;
  }

  /** The name that requests may ask for. */
  get model(): string {
    return this.facts.model.servedModelName;
  }

  /** A prompt in a way that the engine takes; `words` make it another one. */
  prompt(words = "Tell me a story about a duck."): Ask {
    if (this.facts.model.supportsTextInput !== false) return { input: { case: "prompt", value: words } };
    const ids = Array.from(words, (letter) => 1 + (letter.codePointAt(0)! % 96));
    return { input: { case: "tokenIds", value: { ids } } };
  }

  /** A greedy request for exactly so many tokens. */
  greedy(maxTokens = SAMPLE_TOKENS, words?: string): Ask {
    return { ...this.prompt(words), sampling: { temperature: 0 }, stopping: { maxTokens, ignoreEos: true } };
  }

  /** A greedy request that is still being answered while a check does something to it. */
  long(): Ask {
    const { maxOutputTokens, maxContextLength } = this.facts.model;
    const most = Math.min(maxOutputTokens ?? LONG_TOKENS, maxContextLength ?? LONG_TOKENS, LONG_TOKENS);
    return this.greedy(Math.max(1, most - PROMPT_TOKENS));
  }

  /** A prompt of several blocks that nobody had before. */
  fresh(): Ask {
    const words = `${this.caller.name()} ${"The quick brown fox jumps over the lazy dog. ".repeat(12)}`;
    return { ...this.greedy(2, words) };
  }

  /** Requests that run or wait; undefined when the engine does not report them. */
  async busy(): Promise<number | undefined> {
    const { runningRequests, queuedRequests } = await this.caller.control.getLoad({});
    return runningRequests === undefined ? undefined : runningRequests + (queuedRequests ?? 0);
  }

  /** Fails unless nothing of a request is left: by the load where it is reported, else by asking for its end. */
  async expectFreed(requestId: string, why: string): Promise<void> {
    const { caller } = this;
    if ((await this.busy()) !== undefined) {
      const isFree = await caller.poll(async () => (await this.busy()) === 0, 3_000);
      if (!isFree) await caller.control.abort({ target: { case: "allRequests", value: {} } }).catch(() => {});
      expect(isFree, `${why}, GetLoad still counts it after 3000 ms`);
      return;
    }
    await caller.pause(1_000);
    const { status } = await caller.control.abort({ target: { case: "requestId", value: requestId } });
    expect(status !== 1, `${why}, Abort still found it after 1000 ms`);
  }

  /** Batches of cache events while `act` goes on and shortly after it, a snapshot first where it is asked for. */
  async record(
    act: () => Promise<void>,
    request: { readonly includeSnapshot?: boolean; readonly startSequenceNumber?: bigint } = {},
  ): Promise<KvEventBatch[]> {
    const batches: KvEventBatch[] = [];
    const leave = new AbortController();
    let refused: unknown;
    const reading = (async () => {
      const events = this.caller.control.subscribeKvEvents(request, { signal: leave.signal });
      for await (const { event } of events) {
        if (event.case === "batch") batches.push(event.value);
        if (event.case === "error") throw new Failure(`the subscription failed: ${event.value.message}`);
        expect(batches.length < 50_000, "it floods: more than 50000 batches came");
      }
    })().catch((error: unknown) => {
      if (!leave.signal.aborted) refused = error;
    });
    // Nothing in the contract says that a subscription stands; what it is to tell of comes after a moment.
    await this.caller.pause(150);
    try {
      if (refused === undefined) await act();
      await this.#settle(batches, () => refused !== undefined);
    } finally {
      leave.abort(new StatorError("CANCELLED"));
      await reading;
    }
    if (refused !== undefined) this.#refuse(refused);
    return batches;
  }

  async #settle(batches: readonly KvEventBatch[], isOver: () => boolean): Promise<void> {
    for (let still = 0, last = -1, round = 0; still < 4 && round < 60 && !isOver(); round++) {
      await this.caller.pause(50);
      still = batches.length === last && batches.length > 0 ? still + 1 : 0;
      last = batches.length;
    }
  }

  #refuse(caught: unknown): never {
    if (caught instanceof Failure) throw caught;
    const error = asStatorError(caught);
    claimed(statusOf(error).code !== CODE.unimplemented, "it has no SubscribeKvEvents");
    throw new Failure(`SubscribeKvEvents: ${(asPeerSaid(error) ?? error).message}`);
  }
}
