import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { GenerateRequestSchema, GenerateResponse } from "#gen/openengine/v1/generation_pb";
import { Control, Inference } from "#gen/openengine/v1/openengine_pb";
import {
  RequestKind,
  type SubmitSchema,
  SubmitSchema as submitSchema,
  WorkerLinkService,
} from "#gen/stator/worker/v1/link_pb";
import { writeU32 } from "#lib/base/bytes";
import { SeededChance } from "#lib/base/chance";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Discovery, DiscoveryRecord } from "#lib/discovery/discovery";
import type { EngineCard } from "#lib/engines/engine";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { noTracer } from "#lib/host/telemetry";
import { openCallerLink } from "#lib/link/caller-link";
import type { CallerLink, LinkFinish, RequestListener } from "#lib/link/link";
import { createClient } from "#lib/rpc/client";
import { DirectTransport } from "#lib/rpc/direct";
import { RPC_INSTRUMENTS } from "#lib/rpc/metrics";
import { WORKER_INSTRUMENTS } from "#services/worker/metrics";
import { createWorker, type Worker } from "#services/worker/worker";
import type { WorkerDeps } from "#services/worker/worker-deps";
import { FakeEngine } from "./fake-engine.ts";
import { StillClock } from "./still-clock.ts";

/** Lets everything happen that is due in this turn of the event loop and the next few. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A discovery that notes what was published, and whose lease lapses when told. */
export class NotedDiscovery implements Discovery {
  /** Every version of the records, the last one is what others see. */
  readonly versions: (readonly DiscoveryRecord[])[] = [];
  closed = false;
  /** Set to refuse updates. */
  refuse: StatorError | undefined;
  readonly #onLapse = new Set<() => void>();

  async register(records: readonly DiscoveryRecord[]) {
    this.versions.push(records);
    return {
      update: async (next: readonly DiscoveryRecord[]) => {
        if (this.refuse) throw this.refuse;
        this.versions.push(next);
      },
      onLapse: (call: () => void) => void this.#onLapse.add(call),
      close: async () => {
        this.closed = true;
      },
    };
  }

  lapse(): void {
    for (const call of this.#onLapse) call();
  }

  /** The instance record as others see it, and the names of models and adapters. */
  get seen() {
    const records = this.versions.at(-1) ?? [];
    const instance = records.find(({ value }) => value.case === "instance")?.value.value;
    const names = records.flatMap(({ value }) =>
      value.case === "instance" ? [] : [`${value.case} ${value.value.name}`],
    );
    return { instance: instance?.$typeName === "stator.discovery.v1.InstanceRecord" ? instance : undefined, names };
  }

  watch(): never {
    throw new Error("a worker watches nothing");
  }

  async close(): Promise<void> {}
}

/** What a request on a link heard. */
export class Heard implements RequestListener {
  readonly said: string[] = [];
  readonly tokens: number[] = [];
  finish: LinkFinish | undefined;

  onAccepted(): void {
    this.said.push("accepted");
  }

  onTokens(tokens: Uint32Array, start: number, end: number): void {
    this.tokens.push(...tokens.subarray(start, end));
  }

  onText(text: string): void {
    this.said.push(`text ${text}`);
  }

  onEmbedding(values: Float32Array): void {
    this.said.push(`embedding of ${values.length}`);
  }

  onFinish(finish: LinkFinish): void {
    this.finish = finish;
    this.said.push(`finish ${finish.error?.reason ?? finish.reason}`);
  }

  onLost(error: StatorError, accepted: boolean): void {
    this.said.push(`lost ${error.reason} ${accepted ? "accepted" : "unaccepted"}`);
  }
}

/** What a caller of openengine.v1 heard. */
export interface Listened {
  readonly messages: GenerateResponse[];
  /** How the call ended: OK, or the reason of its status; undefined while it is open. */
  status: string | undefined;
  /** The sentence of its error. */
  words: string | undefined;
  /** Cancels the call. */
  cancel(): void;
  /** Stops reading, and reads on. */
  pause(): void;
  resume(): void;
}

/** A whole worker over the direct binding, with an engine and a discovery in the test's hand. */
export class WorkerRig {
  readonly clock = new StillClock();
  readonly engine: FakeEngine;
  readonly discovery = new NotedDiscovery();
  readonly metrics = createMetrics([RPC_INSTRUMENTS, WORKER_INSTRUMENTS], { processMetrics: false });
  readonly worker: Worker;
  readonly transport: DirectTransport;
  readonly states: string[] = [];
  /** Names of adapters that its folder is said to hold. */
  readonly adapterFiles: string[] = [];
  /** Set before `start` to open the engine otherwise. */
  openEngine: (signal: AbortSignal) => Promise<FakeEngine>;
  #callers = 0;

  constructor(card: Partial<EngineCard> = {}, more: Partial<WorkerDeps> = {}) {
    this.engine = new FakeEngine(card);
    this.openEngine = async () => this.engine;
    const deps = { clock: this.clock, log: silentLog, metrics: this.metrics };
    this.worker = createWorker({
      ...deps,
      chance: new SeededChance(7n),
      tracer: noTracer,
      openEngine: (_, signal) => this.openEngine(signal),
      discovery: this.discovery,
      leaseMs: 10_000,
      // Nothing is read of what the engine here pretends to load.
      adapterFolder: {
        check: async () => {},
        find: async (name) => {
          if (this.adapterFiles.includes(name)) return `/adapters/${name}.gguf`;
          throw new StatorError("NOT_FOUND", { what: name });
        },
        list: async () => this.adapterFiles,
      },
      version: "0.0.0",
      engineName: "fake",
      models: ["fake-model"],
      onState: ({ state }) => void this.states.push(state),
      ...more,
    });
    this.transport = new DirectTransport(this.worker.services, deps);
  }

  start() {
    return this.worker.start("127.0.0.1:1", () => {});
  }

  get control() {
    return createClient(Control, this.transport);
  }

  /** Opens a link; `said` fills with what it hears of itself. */
  async link(expect: { incarnation?: bigint } = {}): Promise<{
    link: CallerLink;
    said: string[];
    steps: number[];
    kept: [sessions: number, blocks: number][];
    full: boolean[];
  }> {
    const said: string[] = [];
    const steps: number[] = [];
    const kept: [number, number][] = [];
    const full: boolean[] = [];
    const link = openCallerLink(this.transport.open(WorkerLinkService.method.link), {
      caller: `test/${++this.#callers}`,
      features: ["prefill", "session", "room"],
      clock: this.clock,
      ...expect,
      listener: {
        onState: (state, reason) => void said.push(reason ? `${state} ${reason.reason}` : state),
        onWelcome: () => {},
        onStep: (step) => {
          steps.push(step.runningRequests);
          kept.push([step.openSessions, step.pinnedBlocks]);
          full.push(step.sessionsFull);
        },
        onNotice: ({ draining, models }) => void said.push(draining ? "notice draining" : `notice ${models.join(" ")}`),
      },
    });
    await settle();
    return { link, said, steps, kept, full };
  }

  /** Submits on a link and waits until it was taken or refused. */
  async submit(link: CallerLink, more: MessageInitShape<typeof SubmitSchema> = {}) {
    const heard = new Heard();
    const init = {
      requestId: "r",
      kind: RequestKind.GENERATE,
      model: "fake-model",
      stopping: { maxTokens: 100 },
      ...more,
    };
    const submit = create(submitSchema, init as typeof more);
    if (submit.promptText === "" && submit.promptTokenIds.length === 0) submit.promptTokenIds = writeU32([1, 2]);
    const handle = link.submit(submit, heard);
    await settle();
    return { heard, handle, id: this.engine.ids.at(-1) ?? 0 };
  }

  /** Calls Generate and waits until it was taken or refused. */
  async generate(
    request: MessageInitShape<typeof GenerateRequestSchema>,
    metadata: Record<string, string> = {},
  ): Promise<Listened> {
    const abort = new AbortController();
    const channel = this.transport.open(Inference.method.generate, { signal: abort.signal, metadata });
    const listened: Listened = {
      messages: [],
      status: undefined,
      words: undefined,
      cancel: () => abort.abort(),
      pause: () => channel.pause(),
      resume: () => channel.resume(),
    };
    channel.receive({
      onMessage: (message) => void listened.messages.push(message),
      onEnd: (error) => {
        listened.status = error ? asStatorError(error).reason : "OK";
        listened.words = error?.message;
      },
    });
    channel.send(create(Inference.method.generate.input, request));
    channel.end();
    await settle();
    return listened;
  }
}
