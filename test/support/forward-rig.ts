import { create } from "@bufbuild/protobuf";
import {
  InstanceRecordSchema,
  InstanceRole,
  InstanceState,
  ModelCardSchema,
  ModelInput,
} from "#gen/stator/discovery/v1/discovery_pb";
import { peekInferRequest } from "#lib/api/kserve/peek";
import { SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import { ModelView } from "#lib/discovery/model-view";
import { instanceKey, modelKey } from "#lib/discovery/record-keys";
import { createDispatcher, type FrontendDispatcher } from "#lib/dispatch/dispatcher";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock as clock } from "#lib/host/system-clock";
import { createPlainRouter } from "#lib/routing/plain-router";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";
import type { Placement } from "#lib/serving/answer";
import { createForwarding } from "#services/frontend/inference/forward";
import type { ForwardAsk, Forwarded, Forwarding, ForwardSink } from "#services/frontend/inference/forwarding";
import { RehearsalWatch } from "./rehearsal/open.ts";

/** Hears what comes back for one request and keeps it. */
export class ForwardClient implements ForwardSink {
  readonly placements: Placement[] = [];
  readonly answers: Uint8Array[] = [];
  handle: Forwarded | undefined;
  /** Says that it has more than it takes. */
  full = false;
  readonly #ended = Promise.withResolvers<StatorError | undefined>();
  #ends = 0;
  #wake: (() => void) | undefined;

  onPlaced(placement: Placement): void {
    this.placements.push(placement);
  }

  onAnswer(bytes: Uint8Array): boolean {
    if (this.#ends > 0) throw new Error("an answer behind the end");
    this.answers.push(bytes);
    this.#wake?.();
    return !this.full;
  }

  onEnd(error: StatorError | undefined): void {
    this.#ends++;
    if (this.#ends > 1) throw new Error("it ended twice");
    this.#ended.resolve(error);
  }

  /** Why it failed; undefined when all was answered. */
  get end(): Promise<StatorError | undefined> {
    return this.#ended.promise;
  }

  get ended(): boolean {
    return this.#ends > 0;
  }

  async until(answers: number): Promise<void> {
    while (this.answers.length < answers) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** The frontend's side of tensors, over real gRPC: what discovery shows, a dispatcher and the forwarding. */
export class ForwardRig {
  readonly watch = new RehearsalWatch();
  readonly view = new ModelView({ watch: this.watch, clock });
  readonly dispatcher: FrontendDispatcher;
  readonly forwarding: Forwarding;

  constructor() {
    const chance = new SeededChance(1n);
    this.dispatcher = createDispatcher({
      caller: "frontend/test",
      view: this.view,
      connect: () => {
        throw new StatorError("UNAVAILABLE", { what: "a link", detail: "there is none" });
      },
      dial: (address) => new Channel(address, loopbackCredentials, clock),
      router: (locate) => createPlainRouter({ mode: "round-robin", locate, clock, chance, metrics: noMetrics }),
      ...{ clock, chance, log: silentLog, metrics: noMetrics },
    });
    this.forwarding = createForwarding({ view: this.view, dispatcher: this.dispatcher, clock });
  }

  /** Shows a worker of `simple`, also called `easy`, and waits until its session stands. */
  async add(id: bigint, address: string): Promise<void> {
    const about = { instanceId: id, incarnation: 1n, role: InstanceRole.WORKER, models: ["simple"] };
    const state = InstanceState.READY;
    const instance = create(InstanceRecordSchema, { ...about, state, address: "own:1", inferenceAddress: address });
    const named = { name: "simple", aliases: ["easy"], instanceId: id, createdUnixSeconds: id };
    const card = create(ModelCardSchema, { ...named, input: ModelInput.TENSOR });
    this.watch.put(
      { key: instanceKey(id), value: { case: "instance", value: instance } },
      { key: modelKey("simple", id), value: { case: "model", value: card } },
    );
    await this.until(() => this.dispatcher.tensorWorkers().some(({ instance: one }) => one.instanceId === id));
  }

  infer(
    bytes: Uint8Array,
    more: Partial<ForwardAsk> & { headers?: Readonly<Record<string, string>> } = {},
  ): ForwardClient {
    const client = new ForwardClient();
    const { headers = {}, ...rest } = more;
    client.handle = this.forwarding.infer(
      {
        ...{ method: "modelInfer", bytes, head: peekInferRequest(bytes), requestId: "r1", route: "kserve" },
        header: (name) => headers[name],
        ...rest,
      },
      client,
    );
    return client;
  }

  /** Turns until something is so. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise(setImmediate);
  }

  async close(): Promise<void> {
    await this.dispatcher.close();
    this.view.close();
  }
}
