import { type InstanceRecord, InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { printId } from "#lib/base/bytes";
import type { DiscoveryWatch } from "#lib/discovery/discovery";
import { ModelView } from "#lib/discovery/model-view";
import { createDispatcher, type FrontendDispatcher } from "#lib/dispatch/dispatcher";
import { fleetOf } from "#lib/dispatch/fleet";
import type { Connection } from "#lib/dispatch/worker-seat";
import { type KvFollower, openKvFollower } from "#lib/events/follower";
import type { Metrics } from "#lib/host/metrics";
import type { CallerChannel } from "#lib/link/link";
import type { FleetWorker } from "#lib/routing/fleet";
import { createPlainRouter } from "#lib/routing/plain-router";
import type { RuleRouter } from "#lib/routing/rule-router";
import type { RuleName } from "#lib/routing/rules/table";
import type { ReadyAsk } from "#lib/serving/ask";
import { Client, type ClientFlaws } from "./client.ts";
import { Meter } from "./meter.ts";
import { SimulatedProcess, type Surroundings } from "./process.ts";
import type { RoutingPlan } from "./routing-plan.ts";

/** A frontend process: the dispatcher over what discovery shows, with the clients of its requests. */
export class SimulatedFrontend extends SimulatedProcess {
  readonly clients: Client[] = [];
  dispatcher: FrontendDispatcher<RuleRouter> | undefined;
  view: ModelView | undefined;
  state: "starting" | "serving" | "closed" = "starting";
  wasKilled = false;
  readonly #routing: RoutingPlan;
  readonly #meter = new Meter();
  /** Workers that were seen, by instance and incarnation: since when they are known to take nothing, if they are. */
  readonly #unfit = new Map<string, number | undefined>();
  /** Those that said themselves that they leave. */
  readonly #leaving = new Map<string, number>();
  #watch: DiscoveryWatch | undefined;
  #follower: KvFollower<FleetWorker> | undefined;

  constructor(about: { readonly name: string; readonly routing: RoutingPlan }, surroundings: Surroundings) {
    super(about.name, surroundings);
    this.#routing = about.routing;
  }

  /** The rule that it is to go by. */
  get rule(): RuleName {
    const { mode, rule } = this.#routing;
    return mode === "kv" ? rule : mode;
  }

  /** It hears what workers tell of their caches. */
  get followsEvents(): boolean {
    return this.#routing.mode === "kv" && this.#routing.followsEvents;
  }

  /** Serves from the first view on; one that sees none is a process that ends. */
  start(): void {
    this.scope.spawn("start", async () => {
      try {
        this.#watch = await this.discovery.watch("");
      } catch (error) {
        this.log.warn("frontend did not start", { error });
        this.kill();
        return;
      }
      if (this.state === "starting") this.#serve(this.#watch);
    });
  }

  #serve(watch: DiscoveryWatch): void {
    const { clock, chance, log } = this;
    const { metrics } = this.#meter;
    this.view = new ModelView({ watch, clock });
    this.view.subscribe(() => this.#look());
    this.dispatcher = createDispatcher({
      caller: this.name,
      view: this.view,
      connect: (instance) => this.#connect(instance),
      router: (locate) => createPlainRouter({ ...this.#routing, locate, clock, chance, metrics }),
      clock,
      chance,
      log,
      metrics,
    });
    if (this.followsEvents) this.#follow(this.view, this.dispatcher.router, metrics);
    this.state = "serving";
  }

  /** The router hears what the workers tell of their caches. */
  #follow(view: ModelView, router: RuleRouter, metrics: Metrics): void {
    const { clock, chance, log } = this;
    const follower = openKvFollower<FleetWorker>({
      ...{ clock, chance, log, metrics },
      connect: ({ worker }) => this.network.feed(this, view.models.workers.get(worker)?.address ?? ""),
      sink: ({ worker }, rank) => router.sink(worker, rank),
    });
    this.#follower = follower;
    view.subscribe(() => follower.follow(fleetOf(view.models).values()));
  }

  /** Sends a request; its client hears the answer. */
  send(ask: ReadyAsk, flaws?: ClientFlaws): Client {
    const client = new Client(ask, this, flaws);
    this.clients.push(client);
    if (this.dispatcher) client.start(this.dispatcher);
    return client;
  }

  override kill(): void {
    super.kill();
    this.wasKilled = true;
    for (const client of this.clients) client.lose();
  }

  /** A gauge of the dispatcher as it is now, by its name and labels. */
  gauge(name: string): number {
    return this.#meter.read(name);
  }

  /** Takes nothing new for a while, and ends in order. */
  close(afterMs = 0): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.dispatcher?.drain();
    this.scope.spawn("close", async () => {
      await this.pause(afterMs);
      this.#follower?.close();
      this.dispatcher?.router.close();
      await this.dispatcher?.close();
      this.view?.close();
      await this.#watch?.close();
      await this.exit();
    });
  }

  /** Notes who may be asked no longer. */
  #look(): void {
    const ready = new Set<string>();
    for (const worker of this.view!.models.workers.values()) {
      if (worker.state === InstanceState.READY) ready.add(keyOf(worker));
    }
    for (const key of ready) this.#unfit.set(key, undefined);
    for (const [key, sinceMs] of this.#unfit) {
      if (sinceMs === undefined && !ready.has(key)) this.#unfit.set(key, this.clock.nowMs());
    }
  }

  #connect(instance: InstanceRecord): Connection {
    const connection = this.network.connect(this, instance.address);
    return { channel: this.#watched(connection.channel, instance), close: connection.close };
  }

  /** A channel that looks at what passes: a worker that is known to be gone or to leave gets no request any more. */
  #watched(channel: CallerChannel, instance: InstanceRecord): CallerChannel {
    const key = keyOf(instance);
    return {
      get bufferedBytes() {
        return channel.bufferedBytes;
      },
      send: (message) => {
        for (const { requestId } of message.submits) if (requestId !== "canary") this.#checkFit(key, requestId);
        return channel.send(message);
      },
      receive: ({ onMessage, onEnd, onDrain }) =>
        channel.receive({
          onMessage: (message) => {
            onMessage(message);
            const isLeaving = message.notice?.draining || message.welcome?.draining;
            if (isLeaving && !this.#leaving.has(key)) this.#leaving.set(key, this.clock.nowMs());
          },
          onEnd,
          onDrain,
        }),
      end: (error) => channel.end(error),
    };
  }

  /** What was submitted leaves at the end of its turn: what is learned in between comes too late for it. */
  #checkFit(key: string, requestId: string): void {
    const nowMs = this.clock.nowMs();
    const sinceMs = Math.min(this.#unfit.get(key) ?? nowMs, this.#leaving.get(key) ?? nowMs);
    if (sinceMs < nowMs) this.complaints.push(`${requestId} went to ${key}, which took nothing since ${sinceMs} ms`);
  }
}

function keyOf({ instanceId, incarnation }: InstanceRecord): string {
  return `${printId(instanceId)}/${printId(incarnation)}`;
}
