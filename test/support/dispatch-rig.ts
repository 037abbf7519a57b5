import { create } from "@bufbuild/protobuf";
import { expect } from "vitest";
import {
  InstanceRecordSchema,
  InstanceRole,
  InstanceState,
  ModelCardSchema,
  WorkerRole,
} from "#gen/stator/discovery/v1/discovery_pb";
import { SeededChance } from "#lib/base/chance";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { ProcessClock } from "#lib/base/process-clock";
import {
  createPracticeWorker,
  type PracticeOptions,
  type PracticeWorker,
  practiceToken,
} from "#lib/conform/practice-worker";
import { ModelView } from "#lib/discovery/model-view";
import { instanceKey, modelKey } from "#lib/discovery/record-keys";
import { createDispatcher, type DispatcherOptions, type FrontendDispatcher } from "#lib/dispatch/dispatcher";
import { DISPATCH_INSTRUMENTS } from "#lib/dispatch/instruments";
import { createLog } from "#lib/host/log";
import { createMetrics, noMetrics } from "#lib/host/metrics";
import type { WorkerChannel } from "#lib/link/link";
import { createMemoryLink, type MemoryLink } from "#lib/link/memory-channel";
import type { Disaggregation } from "#lib/routing/legs/disaggregation";
import type { RouterMode } from "#lib/routing/options";
import { createPlainRouter } from "#lib/routing/plain-router";
import type { Router } from "#lib/routing/router";
import type { Placement, ServingLogprobs, Usage } from "#lib/serving/answer";
import type { ChoiceEnd, ServingSink } from "#lib/serving/dispatcher";
import { type PlainChanges, plainAsk } from "#lib/serving/plain-ask";
import { RehearsalWatch } from "./rehearsal/open.ts";

/** Hears an answer and keeps it. */
export class Client implements ServingSink {
  readonly placements: Placement[] = [];
  readonly tokens: number[][] = [[], [], [], []];
  readonly scores: number[] = [];
  readonly embeddings: number[][] = [];
  readonly ends: ChoiceEnd[] = [];
  usage: Usage | undefined;
  error: StatorError | undefined;
  onPlaced(placement: Placement) {
    this.placements.push(placement);
  }
  onTokens(choice: number, tokens: Uint32Array) {
    this.tokens[choice]?.push(...tokens);
  }
  onPromptLogprobs(_choice: number, position: number, { chosen }: ServingLogprobs) {
    expect([position, this.tokens[0]]).toEqual([this.scores.length + 1, []]);
    this.scores.push(...chosen);
  }
  onEmbedding(choice: number, values: Float32Array) {
    this.embeddings[choice] = [...values];
  }
  onEnd(_choice: number, end: ChoiceEnd) {
    this.ends.push(end);
  }
  onDone(usage: Usage) {
    expect(this.usage).toBeUndefined();
    this.usage = usage;
  }
  onError(error: StatorError) {
    expect(this.error).toBeUndefined();
    this.error = error;
  }
}

/** The worker's end of a wire on which nothing about requests leaves it. */
function deafened(channel: WorkerChannel): WorkerChannel {
  return {
    get bufferedBytes() {
      return channel.bufferedBytes;
    },
    send: ({ welcome, pong, notice, $typeName }) =>
      channel.send({ $typeName, welcome, pong, notice, accepted: undefined, step: undefined }),
    receive: (handlers) => channel.receive(handlers),
    end: (error) => channel.end(error),
  };
}

/** Workers, wires and a dispatcher on one clock that only moves when told. */
export class DispatchRig {
  readonly clock = new FakeClock();
  readonly view = new RehearsalWatch();
  readonly metrics = createMetrics([DISPATCH_INSTRUMENTS], { processMetrics: false });
  readonly workers = new Map<bigint, PracticeWorker>();
  readonly clocks = new Map<bigint, ProcessClock>();
  readonly wires = new Map<bigint, MemoryLink[]>();
  /** Sessions that workers were told to let go, one message each. */
  readonly released: [bigint, readonly string[]][] = [];
  /** Workers that answer pings and nothing else. */
  readonly deaf = new Set<bigint>();
  /** Phrases of what was logged as a warning. */
  readonly warnings: string[] = [];
  readonly dispatcher: FrontendDispatcher;

  constructor(
    mode: RouterMode = "round-robin",
    {
      split,
      ...more
    }: Pick<DispatcherOptions, "life" | "waitingRequests" | "compile" | "dial"> & {
      readonly split?: Disaggregation;
    } = {},
    watched: (router: Router) => Router = (router) => router,
  ) {
    this.dispatcher = createDispatcher({
      caller: "frontend/test",
      view: new ModelView({ watch: this.view, clock: this.clock }),
      connect: (instance) => {
        const worker = this.workers.get(instance.instanceId);
        if (!worker) throw new StatorError("UNAVAILABLE", { what: "the worker", detail: "refused" });
        const wire = createMemoryLink(this.clock, undefined, this.clocks.get(instance.instanceId));
        worker.serve(this.deaf.has(instance.instanceId) ? deafened(wire.worker) : wire.worker);
        this.wires.get(instance.instanceId)?.push(wire);
        const release = (ids: readonly string[]) => void this.released.push([instance.instanceId, ids]);
        return { channel: wire.caller, release, close() {} };
      },
      router: (locate) => {
        const chance = new SeededChance(1n);
        const own = { mode, locate, clock: this.clock, chance, metrics: noMetrics, ...(split && { split }) };
        return watched(createPlainRouter(own));
      },
      clock: this.clock,
      chance: new SeededChance(1n),
      log: createLog({ level: "warn", pretty: false, write: (line) => this.warnings.push(JSON.parse(line).phrase) }),
      metrics: this.metrics,
      ...more,
    });
  }

  add(id: bigint, incarnation = 1n, maxRequests = 1_000, more: Partial<PracticeOptions> = {}): PracticeWorker {
    const clock = new ProcessClock(this.clock);
    const worker = createPracticeWorker({
      ...{ instanceId: id, incarnation, model: "m", clock, stepMs: 20, maxRequests, ...more },
    });
    this.workers.set(id, worker);
    this.clocks.set(id, clock);
    this.wires.set(id, []);
    this.show(id, InstanceState.READY, incarnation);
    this.clock.settle();
    return worker;
  }

  show(id: bigint, state: InstanceState, incarnation = 1n, workerRole: WorkerRole = WorkerRole.UNSPECIFIED): void {
    const record = {
      workerRole,
      instanceId: id,
      incarnation,
      role: InstanceRole.WORKER,
      state,
      models: ["m"],
      address: "memory:1",
    };
    this.view.put({ key: instanceKey(id), value: { case: "instance", value: create(InstanceRecordSchema, record) } });
  }

  /** The card of a worker's model, with a tokenizer and weights of these digests. */
  showCard(id: bigint, tokenizer: number, digest = 1): void {
    const routing = { blockTokens: 16, hashScheme: "xxh3-1337-v1", tokenizerDigest: Uint8Array.of(tokenizer) };
    const weights = { modelDigest: Uint8Array.of(digest), quantization: "q8_0" };
    const card = create(ModelCardSchema, { name: "m", instanceId: id, routing, weights });
    this.view.put({ key: modelKey("m", id), value: { case: "model", value: card } });
  }

  /** It says nothing more, as a process that got SIGKILL. */
  kill(id: bigint): void {
    for (const wire of this.wires.get(id) ?? []) wire.cut();
    this.clocks.get(id)?.end();
    this.workers.delete(id);
    this.clock.settle();
  }

  freeze(id: bigint, frozen: boolean): void {
    if (frozen) this.clocks.get(id)?.stop();
    else this.clocks.get(id)?.resume();
  }

  /** Freezes a worker under a request until it is suspect. */
  stall(id: bigint): void {
    this.start({ maxTokens: 1_000 });
    this.advance(300);
    this.freeze(id, true);
    this.advance(3_000);
  }

  start(more: PlainChanges = {}) {
    const client = new Client();
    return { client, handle: this.dispatcher.start(plainAsk(more), client) };
  }

  /** Why a request is told at once that it is not served, by the end of the turn and not before. */
  refusal(more: PlainChanges = {}): StatorError | undefined {
    const { client } = this.start(more);
    expect(client.error).toBeUndefined();
    this.clock.settle();
    return client.error;
  }

  advance(ms: number): void {
    this.clock.advance(ms);
  }
}

/** The undisturbed answer to a prompt. */
export const answer = (prompt: number[], choice: number, length: number) =>
  Array.from({ length }, (_, at) => practiceToken(Uint32Array.from(prompt), choice, at));
