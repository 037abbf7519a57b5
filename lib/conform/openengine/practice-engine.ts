import { create } from "@bufbuild/protobuf";
import type { GenerateRequest, GenerateResponse } from "#gen/openengine/v1/generation_pb";
import { AbortStatus, HealthState } from "#gen/openengine/v1/lifecycle_pb";
import { CandidateTokenSelectionMode } from "#gen/openengine/v1/model_pb";
import { Control, Inference } from "#gen/openengine/v1/openengine_pb";
import { EngineRole } from "#gen/openengine/v1/server_pb";
import { Access, Blame, ErrorDetailSchema, Retry } from "#gen/stator/common/v1/common_pb";
import type { Clock, Timer } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { CallContext } from "#lib/rpc/call";
import { fromErrorDetail } from "#lib/rpc/error-detail";
import { createService, type ServedService } from "#lib/rpc/service";
import type { DuplexChannel } from "#lib/rpc/stream";
import type { EngineFaultName } from "./engine-faults.ts";
import { PracticeAdapters } from "./practice-adapters.ts";
import { BLOCK_TOKENS, CACHE_BLOCKS, PracticeCache } from "./practice-cache.ts";
import { PracticeGeneration } from "./practice-generation.ts";
import { CONTEXT_TOKENS, MOST_SEQUENCES, readPracticeAsk } from "./practice-request.ts";
import { MOST_TOP } from "./practice-tokens.ts";

/** What a practice engine is like. */
export interface PracticeEngineOptions {
  /** The only name that it serves. */
  readonly model: string;
  /** Borrowed; steps go by it. */
  readonly clock: Clock;
  /** Pause between steps. */
  readonly stepMs: number;
  /** How long it loads before it serves; not at all unless given. */
  readonly loadMs?: number;
  /** The one promise that it breaks; none unless given. */
  readonly fault?: EngineFaultName;
}

/** An engine without an engine that keeps openengine.v1, and whose answers follow from what it is asked. */
export interface PracticeEngine {
  /** openengine.v1, for a server. */
  readonly services: readonly ServedService[];
  /** Takes nothing new and finishes what it has. */
  drain(): void;
  /** Ends everything. */
  close(): void;
  /** Requests that it computes. */
  readonly openRequests: number;
}

/** Ended requests that are remembered, so that a late Abort is not an error. */
const REMEMBERED = 4_096;

/** Opens a practice engine. */
export function openPracticeEngine(options: PracticeEngineOptions): PracticeEngine {
  return new Practice(options);
}

type Channel = DuplexChannel<GenerateResponse, GenerateRequest>;

class Practice implements PracticeEngine {
  readonly services: readonly ServedService[];
  readonly #options: PracticeEngineOptions;
  readonly #cache: PracticeCache;
  readonly #adapters = new PracticeAdapters();
  readonly #open = new Map<string, PracticeGeneration>();
  readonly #ended = new Set<string>();
  readonly #readyMs: number;
  #draws = 0n;
  #isDraining = false;
  #timer: Timer | undefined;

  constructor(options: PracticeEngineOptions) {
    const { clock, fault, loadMs = 0 } = options;
    this.#options = options;
    this.#cache = new PracticeCache(clock, fault);
    this.#readyMs = clock.nowMs() + loadMs;
    this.services = [this.#inference(), this.#control()];
  }

  get openRequests(): number {
    return this.#open.size;
  }

  drain(): void {
    this.#isDraining = true;
  }

  close(): void {
    this.#timer?.cancel();
    for (const generation of this.#open.values()) generation.gone();
    this.#open.clear();
  }

  #inference(): ServedService {
    const open = (channel: Channel, call: CallContext) => {
      let generation: PracticeGeneration | undefined;
      channel.receive({
        onMessage: (request) => {
          try {
            generation = this.#start(request, channel, call);
          } catch (error) {
            channel.end(this.#refusal(asStatorError(error)));
          }
        },
        onEnd() {},
        onDrain: () => generation?.drained(),
      });
    };
    return createService(Inference, { generate: { open } }, { access: Access.PEER });
  }

  #control(): ServedService {
    const { model } = this.#options;
    return createService(
      Control,
      {
        getServerInfo: () => this.#serverInfo(),
        getModelInfo: (request) => {
          this.#requireLoaded();
          if (request.model !== "" && request.model !== model)
            throw new StatorError("MODEL_NOT_FOUND", { model: request.model });
          return modelInfo(model);
        },
        getLoad: () => ({
          instanceId: "practice",
          timestampUnixNanos: BigInt(Math.floor(this.#options.clock.unixMs())) * 1_000_000n,
          runningRequests: this.#open.size,
          queuedRequests: 0,
          usedKvBlocks: BigInt(this.#cache.size),
          totalKvBlocks: BigInt(CACHE_BLOCKS),
        }),
        health: (request) => this.#health(request),
        abort: ({ target }) => this.#abort(target),
        loadLora: ({ adapter }) => this.#adapters.load(adapter),
        unloadLora: ({ loraName }) => this.#adapters.unload(loraName),
        listLoras: () => this.#adapters.list(),
        getKvEventSources: () => ({ sources: [] }),
        subscribeKvEvents: (request, call) => this.#cache.subscribe(request, call.signal),
      },
      { access: Access.PEER },
    );
  }

  #start(request: GenerateRequest, channel: Channel, call: CallContext): PracticeGeneration {
    const { fault, model } = this.#options;
    this.#requireLoaded();
    if (this.#isDraining && fault !== "reply-after-drain") throw new StatorError("DRAINING", { what: "The engine" });
    const read = readPracticeAsk(request, { model, adapters: this.#adapters, metadata: call.metadata });
    const { requestId } = request;
    if (this.#open.has(requestId)) throw new StatorError("ALREADY_EXISTS", { what: `The request ${requestId}` });
    const { cacheSalt = "", bypassPrefixCache = false } = request.kv ?? {};
    const cachedTokens = this.#cache.take(read.prompt, cacheSalt, !bypassPrefixCache);
    const generation = new PracticeGeneration({ ...read, request, cachedTokens, seed: ++this.#draws }, channel, fault);
    this.#open.set(requestId, generation);
    call.signal.addEventListener("abort", () => this.#gone(requestId, asStatorError(call.signal.reason)));
    this.#arm();
    return generation;
  }

  #gone(requestId: string, { reason }: StatorError): void {
    const { fault } = this.#options;
    const isDeadline = reason === "DEADLINE";
    if (fault === (isDeadline ? "deadline-ignored" : "cancel-ignored")) return;
    if (fault === "cancel-ends-others" && !isDeadline) for (const each of this.#open.values()) each.cancel();
    this.#open.get(requestId)?.gone();
    this.#sweep();
  }

  /** One timer steps everything that is open. */
  #arm(): void {
    if (this.#timer || this.#open.size === 0) return;
    this.#timer = this.#options.clock.after(this.#options.stepMs, () => {
      this.#timer = undefined;
      for (const generation of [...this.#open.values()]) generation.step();
      this.#sweep();
      this.#arm();
    });
  }

  #sweep(): void {
    for (const [requestId, generation] of this.#open) {
      if (!generation.isOver) continue;
      this.#open.delete(requestId);
      this.#ended.add(requestId);
    }
    for (const requestId of this.#ended) {
      if (this.#ended.size <= REMEMBERED) break;
      this.#ended.delete(requestId);
    }
  }

  #abort(target: { readonly case: string | undefined; readonly value?: unknown }) {
    if (target.case === "allRequests") {
      for (const generation of this.#open.values()) generation.cancel();
      this.#sweep();
      return { status: AbortStatus.ABORTED };
    }
    if (target.case === "requestId") {
      const requestId = String(target.value);
      const generation = this.#open.get(requestId);
      if (!generation && this.#ended.has(requestId)) return { status: AbortStatus.ALREADY_FINISHED };
      if (!generation) throw this.#refusal(new StatorError("NOT_FOUND", { what: `The request ${requestId}` }));
      generation.cancel();
      this.#sweep();
      return { status: AbortStatus.ABORTED };
    }
    if (target.case === "kvSession") throw new StatorError("NOT_FOUND", { what: "The session" });
    throw new StatorError("INVALID_ARGUMENT", { detail: "target: expected one" });
  }

  #health({ model, role, includeInferenceProbe }: { model: string; role: EngineRole; includeInferenceProbe: boolean }) {
    const isLoaded = this.#isLoaded || this.#options.fault === "ready-before-load";
    const own = this.#isDraining ? HealthState.DRAINING : isLoaded ? HealthState.READY : HealthState.STARTING;
    const isModel = model === "" || model === this.#options.model;
    const isRole = role !== EngineRole.PREFILL && role !== EngineRole.DECODE;
    const checks = [
      { name: "grpc", state: HealthState.READY },
      { name: "model", state: isModel ? own : HealthState.NOT_READY },
      { name: "role", state: isRole ? HealthState.READY : HealthState.NOT_READY },
      ...(includeInferenceProbe ? [{ name: "inference_probe", state: own }] : []),
    ];
    return { state: isModel && isRole ? own : HealthState.NOT_READY, checks };
  }

  #serverInfo() {
    this.#requireLoaded();
    return {
      engineName: "practice",
      engineVersion: "1",
      engineRole: EngineRole.AGGREGATED,
      instanceId: "practice",
      supportedModels: [this.#options.model],
      schemaRevision: 1,
      minimumClientRevision: 1,
      schemaRelease: "practice-1",
      capacity: { kvBlockSize: BLOCK_TOKENS, totalKvBlocks: BigInt(CACHE_BLOCKS) },
    };
  }

  get #isLoaded(): boolean {
    return this.#options.clock.nowMs() >= this.#readyMs;
  }

  #requireLoaded(): void {
    if (!this.#isLoaded) throw new StatorError("MODEL_LOADING", { model: this.#options.model });
  }

  /** A refusal, or what a worker without words makes of it. */
  #refusal(error: StatorError): StatorError {
    if (this.#options.fault !== "error-without-detail") return error;
    const { grpc: grpcCode, http: httpStatus } = error.row;
    const silent = { reason: "SILENT", grpcCode, httpStatus, retry: Retry.NEVER, blame: Blame.CALLER, message: "" };
    return fromErrorDetail(create(ErrorDetailSchema, silent));
  }
}

function modelInfo(model: string) {
  return {
    modelId: model,
    servedModelName: model,
    maxContextLength: CONTEXT_TOKENS,
    maxOutputTokens: CONTEXT_TOKENS,
    supportsTextInput: true,
    supportsTokenIdsInput: true,
    supportsLora: true,
    supportsMultimodal: false,
    generation: {
      promptLogprobs: { supported: false },
      outputLogprobs: {
        supported: true,
        candidateSelectionModes: [CandidateTokenSelectionMode.TOP_N],
        maxTopN: MOST_TOP,
      },
      guidedDecoding: { supported: false },
      maxNumSequences: MOST_SEQUENCES,
      supportsPriority: false,
      supportsStopInOutput: true,
      supportsCacheSalt: true,
      supportsPrefixCacheBypass: true,
    },
  };
}
