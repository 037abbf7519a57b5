import { Control } from "#gen/openengine/v1/openengine_pb";
import { printId } from "#lib/base/bytes";
import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { asStatorError, assert, StatorError } from "#lib/base/errors";
import type { SaidSampling } from "#lib/base/sampling";
import type { Log } from "#lib/host/log";
import { pause } from "#lib/host/pause";
import { Scope } from "#lib/host/scope";
import { type Client, createClient } from "#lib/rpc/client";
import type { Transport } from "#lib/rpc/transport";
import type {
  Engine,
  EngineAdapters,
  EngineCard,
  EngineListener,
  EngineStanding,
  EngineText,
  GenerateRequest,
  StepMetrics,
} from "../engine.ts";
import { RemoteAdapters } from "./adapters.ts";
import { type AskTarget, checkAsk } from "./ask.ts";
import { Cancels } from "./cancels.ts";
import {
  askTarget,
  checkAccount,
  type EngineAccount,
  engineCard,
  type KnownHere,
  sameEngine,
  type ToldModel,
} from "./card.ts";
import { type CallListener, EngineCall } from "./engine-call.ts";
import { KvFollow } from "./kv-follow.ts";
import { OPENENGINE_LIMITS, type OpenEngineLimits } from "./limits.ts";
import { type EngineLoad, lookAt, NO_LOAD, readLoad, sameLoad } from "./look.ts";
import { type ModelText, readModelText } from "./model-text.ts";
import { Salts } from "./salts.ts";
import { StepGather } from "./step-gather.ts";

/** What an adapter is opened with. */
export interface OpenEngineOptions {
  /** To the engine; the adapter closes it, also when it cannot be opened. */
  readonly transport: Transport;
  /** host:port of the engine, for sentences. */
  readonly address: string;
  /** The model's name there; undefined asks for its only one. */
  readonly remoteModel?: string | undefined;
  /** Name in the API; the engine's own unless given. */
  readonly model?: string | undefined;
  /** GGUF file of the model, whose tokenizer and template are read; without it the engine is asked in text. */
  readonly modelPath?: string | undefined;
  /** What others were told of the model, in place of a file: an engine that is otherwise is refused. */
  readonly told?: ToldModel | undefined;
  /** Whether one that is not ready is waited for; true unless given. */
  readonly waits?: boolean | undefined;
  /** What an operator says about drawing. */
  readonly sampling?: SaidSampling | undefined;
  /** Of all waits. */
  readonly clock: Clock;
  /** Of the names of requests: other callers of the engine have names of their own. */
  readonly chance: Chance;
  /** Told when the engine comes and goes. */
  readonly log: Log;
  /** What differs from `OPENENGINE_LIMITS`. */
  readonly limits?: Partial<OpenEngineLimits> | undefined;
  /** Ends the wait for an engine that is not there yet, or does not answer. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens an engine that somebody else runs and that speaks openengine.v1. Waits until it is there and ready; UNAVAILABLE where
 * nobody waits for it. Throws CONTRACT_MISMATCH for one that cannot be stood in front of, what it refuses to tell,
 * FILE_NOT_FOUND and BAD_MODEL_FILE, and the reason of the signal.
 */
export async function openOpenEngine(options: OpenEngineOptions): Promise<Engine> {
  const { transport, address, sampling, log, modelPath } = options;
  const limits = { ...OPENENGINE_LIMITS, ...options.limits };
  const control = createClient(Control, transport);
  const { signal } = options;
  const abort = (): void => transport.close();
  signal?.addEventListener("abort", abort);
  try {
    const modelText = await readModelText(modelPath, { sampling, log });
    const known: KnownHere = { ...modelText, address, name: options.model, told: options.told };
    const account = await awaitAccount(control, options, limits);
    checkAccount(account, known);
    const adapters = account.model.supportsLora ? new RemoteAdapters(control, limits) : undefined;
    await adapters?.refresh();
    return new OpenEngineEngine({ options, limits, control, known, modelText, adapters }, account);
  } catch (error) {
    transport.close();
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

async function askAccount(control: Client<typeof Control>, model: string, timeoutMs: number): Promise<EngineAccount> {
  const server = await control.getServerInfo({}, { timeoutMs });
  return { server, model: await control.getModelInfo({ model }, { timeoutMs }) };
}

async function awaitAccount(
  control: Client<typeof Control>,
  { address, remoteModel = "", waits = true, clock, log, signal }: OpenEngineOptions,
  { lookMs, timeoutMs }: OpenEngineLimits,
): Promise<EngineAccount> {
  const forever = new AbortController().signal;
  for (let told = ""; ; ) {
    const { state, reason } = await lookAt(control, { address, timeoutMs });
    if (state === "ready") return await askAccount(control, remoteModel, timeoutMs);
    if (!waits) throw notReady(reason);
    if (reason !== told) log.warn("waiting for the engine", { address, reason });
    told = reason;
    await pause(clock, lookMs, signal ?? forever);
  }
}

function notReady(reason: string): StatorError {
  return new StatorError("UNAVAILABLE", { what: "The engine", detail: reason.replace(/\.$/, "") });
}

/** What the engine is made of. */
interface Parts {
  readonly options: OpenEngineOptions;
  readonly limits: OpenEngineLimits;
  readonly control: Client<typeof Control>;
  readonly known: KnownHere;
  readonly modelText: ModelText;
  readonly adapters: RemoteAdapters | undefined;
}

class OpenEngineEngine implements Engine {
  readonly card: EngineCard;
  readonly text: EngineText | undefined;
  readonly adapters: EngineAdapters | undefined;
  readonly #parts: Parts;
  readonly #scope: Scope;
  readonly #cancels: Cancels;
  readonly #follow: KvFollow | undefined;
  readonly #open = new Map<number, EngineCall>();
  readonly #gather = new StepGather();
  /** Unlike the names of others, and of this engine opened another time. */
  readonly #prefix: string;
  readonly #target: AskTarget;
  readonly #salts: Salts;
  readonly #readsPriority: boolean;
  /** Of the start of the engine. */
  #instanceId: string;
  #named = 0n;
  #steps = 0;
  #listener: EngineListener | undefined;
  #standing: EngineStanding = { state: "ready", reason: "" };
  #load: EngineLoad = NO_LOAD;
  #tellsLoad = true;
  #willFlush = false;
  #isClosed = false;
  /** Ends the wait for the next look. */
  #wake = new AbortController();

  constructor(parts: Parts, account: EngineAccount) {
    const { options, limits, control, known, modelText, adapters } = parts;
    const { clock, log, chance } = options;
    this.#parts = parts;
    this.card = engineCard(account, known);
    this.text = modelText.text;
    this.adapters = adapters;
    this.#scope = new Scope("openengine", log);
    this.#prefix = `stator-${printId(chance.id())}`;
    this.#target = askTarget(account);
    this.#salts = new Salts(this.#target.goesOn);
    this.#readsPriority = account.model.generation?.supportsPriority !== false;
    this.#instanceId = account.server.instanceId;
    this.#cancels = new Cancels({ control, clock, scope: this.#scope, limits });
    const { blockTokens, hashScheme, totalBlocks } = this.card;
    if (blockTokens !== undefined && hashScheme !== "") {
      const mostBlocks = Math.min(limits.kvBlocks, totalBlocks ?? limits.kvBlocks);
      const onKv: EngineListener["onKv"] = (notice) => this.#listener?.onKv(notice);
      this.#follow = new KvFollow({
        control,
        clock,
        log,
        blockTokens,
        mostBlocks,
        saltOf: (key) => this.#salts.of(key),
        onKv,
      });
    }
  }

  listen(listener: EngineListener): void {
    assert(!this.#listener, "an engine has one listener");
    this.#listener = listener;
    this.#scope.spawn("look", (signal) => this.#keepLooking(signal));
    const follow = this.#follow;
    if (follow) this.#scope.spawn("events", (signal) => follow.run(signal));
  }

  submit(request: GenerateRequest): "later" {
    const { options, limits, modelText, adapters } = this.#parts;
    this.#checkStanding();
    checkAsk(request, this.card, this.#target);
    if (request.adapter !== undefined && !adapters?.has(request.adapter)) {
      throw new StatorError("MODEL_NOT_FOUND", { model: request.adapter });
    }
    if (this.#open.size + this.#cancels.waiting >= limits.openRequests) {
      throw new StatorError("OVERLOADED", { what: "requests of this engine" });
    }
    this.#salts.note(request.cacheSalt);
    const requestId = `${this.#prefix}-${++this.#named}`;
    const call = new EngineCall(
      { request, requestId },
      {
        transport: options.transport,
        clock: options.clock,
        limits,
        target: this.#target,
        readsPriority: this.#readsPriority,
        vocabularySize: modelText.vocabularySize,
        resetInTurn: (each) => this.#cancels.reset(each),
      },
      this.#listenerOf(request),
    );
    this.#open.set(request.id, call);
    return "later";
  }

  #checkStanding(): void {
    if (this.#isClosed) throw new StatorError("ENGINE_FAILED", { detail: "it has been closed" });
    const { state, reason } = this.#standing;
    if (state === "draining") throw new StatorError("DRAINING", { what: "The engine" });
    if (state === "away") throw notReady(reason);
  }

  #listenerOf(request: GenerateRequest): CallListener {
    const { id } = request;
    return {
      onTaken: () => this.#listener?.onAdmitted?.(id, { cachedTokens: 0, queuedAhead: 0 }),
      onPart: (part) => {
        this.#gather.add(request, part);
        this.#flushSoon();
      },
      onFinish: (finish, isLost) => {
        this.#open.delete(id);
        this.#gather.finish(request, finish);
        this.#flushSoon();
        if (isLost) this.#wake.abort();
      },
      onRefused: (error) => {
        this.#open.delete(id);
        this.#listener?.onRefused?.(id, error);
      },
    };
  }

  cancel(ids: readonly number[]): void {
    for (const id of ids) {
      const call = this.#open.get(id);
      if (call) this.#cancels.cancel(call);
    }
  }

  async close(): Promise<void> {
    this.#end();
    await this.#scope.close();
  }

  /** Takes and tells nothing any more. The session ends as a whole: no stream of it is reset for itself. */
  #end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const call of this.#open.values()) call.abandon();
    this.#open.clear();
    this.#parts.options.transport.close();
  }

  /** What came in this turn is one step. */
  #flushSoon(): void {
    if (this.#willFlush) return;
    this.#willFlush = true;
    this.#parts.options.clock.soon(() => {
      this.#willFlush = false;
      if (this.#isClosed) return;
      for (let step = this.#gather.take(this.#metrics()); step; step = this.#gather.take(this.#metrics())) {
        this.#steps++;
        this.#listener?.onStep(step);
      }
    });
  }

  /** Nobody tells how long its steps take and what is computed in them: zeros, from which nothing is learned. */
  #metrics(): StepMetrics {
    const { running, queued, usedBlocks, totalBlocks, waitingTokens } = this.#load;
    return {
      step: this.#steps + 1,
      durationUs: 0,
      prefillTokens: 0,
      prefillContextTokens: 0,
      decodeSequences: 0,
      decodeContextTokens: 0,
      usedBlocks: usedBlocks ?? 0,
      totalBlocks: totalBlocks ?? this.card.totalBlocks ?? 0,
      runningRequests: running ?? this.#open.size,
      waitingRequests: queued ?? 0,
      waitingTokens: waitingTokens ?? 0,
      exportUs: 0,
      importUs: 0,
    };
  }

  async #keepLooking(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts.options;
    while (!signal.aborted && !this.#isClosed) {
      await Promise.all([this.#look(), this.#askLoad(), this.#askAdapters()]);
      const wake = AbortSignal.any([signal, this.#wake.signal]);
      await pause(clock, this.#parts.limits.lookMs, wake).catch(() => {});
      if (!this.#wake.signal.aborted) continue;
      this.#wake = new AbortController();
      // Whoever lost a stream asks soon, and not in a ring.
      await pause(clock, WAKE_MS, signal);
    }
  }

  async #look(): Promise<void> {
    const { control, options, limits, known } = this.#parts;
    const { address } = options;
    const found = await lookAt(control, { address, timeoutMs: limits.timeoutMs });
    if (this.#isClosed) return;
    const isBack = found.state === "ready" && this.#standing.state !== "ready";
    if (isBack && !(await this.#comeBack(known))) return;
    this.#stand(found);
  }

  /** Asks an engine that came back who it is. False: it is not ready after all, or cannot be gone on with. */
  async #comeBack(known: KnownHere): Promise<boolean> {
    const { control, options, limits, adapters } = this.#parts;
    try {
      const account = await askAccount(control, options.remoteModel ?? "", limits.timeoutMs);
      await adapters?.refresh();
      if (this.#isClosed) return false;
      if (!sameEngine(engineCard(account, known), this.card)) {
        this.#giveUp(
          new StatorError("ENGINE_FAILED", { detail: `the one at ${options.address} came back as another` }),
        );
        return false;
      }
      const { instanceId } = account.server;
      if (instanceId !== this.#instanceId) this.#follow?.restart();
      this.#instanceId = instanceId;
      return true;
    } catch (caught) {
      options.log.debug("the engine came back and went", { error: asStatorError(caught) });
      return false;
    }
  }

  #stand(standing: EngineStanding): void {
    const { state, reason } = standing;
    if (state === this.#standing.state) return;
    this.#standing = standing;
    const { log, address } = this.#parts.options;
    if (state === "ready") log.info("engine is back", { address });
    else log.warn("engine takes nothing", { address, state, reason });
    this.#listener?.onStanding?.(standing);
  }

  async #askLoad(): Promise<void> {
    if (!this.#tellsLoad) return;
    const { control, limits } = this.#parts;
    try {
      const load = readLoad(await control.getLoad({}, { timeoutMs: limits.timeoutMs }));
      if (this.#isClosed || sameLoad(load, this.#load)) return;
      this.#load = load;
      this.#steps++;
      this.#listener?.onStep({ ...NOTHING, metrics: { ...this.#metrics(), step: this.#steps } });
    } catch (caught) {
      // Where nobody says how busy it is, what is open here is all that is known.
      if (asStatorError(caught).row.grpc === GRPC_UNIMPLEMENTED) this.#tellsLoad = false;
    }
  }

  /** Where others put the engine behind us, they load its adapters. */
  async #askAdapters(): Promise<void> {
    const { options, adapters } = this.#parts;
    if (options.told) await adapters?.refresh().catch(() => {});
  }

  #giveUp(error: StatorError): void {
    if (this.#isClosed) return;
    this.#end();
    this.#listener?.onFailure(error);
  }
}

/** A step that tells of nothing but how the engine is doing. */
const NOTHING = {
  ids: new Uint32Array(0),
  counts: undefined,
  tokens: new Uint32Array(0),
  finishes: [],
  logprobs: [],
  promptLogprobs: [],
  embeddings: [],
} as const;

/** Between looks that lost streams ask for, in milliseconds. */
const WAKE_MS = 20;

const GRPC_UNIMPLEMENTED = 12;
