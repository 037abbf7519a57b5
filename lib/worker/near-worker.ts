import { KvEventService } from "#gen/stator/worker/v1/kv_event_pb";
import { WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import { asStatorError, type StatorError } from "#lib/base/errors";
import { adaptersOf } from "#lib/engines/ability";
import type { Engine, EngineStanding } from "#lib/engines/engine";
import type { Scope } from "#lib/host/scope";
import { noTracer } from "#lib/host/telemetry";
import type { Introduction } from "#lib/link/worker-state";
import type { CallContext } from "#lib/rpc/call";
import { createService, type ServedService } from "#lib/rpc/service";
import { type Board, createBoard } from "./board.ts";
import { serveKvSubscriber } from "./kv-event-service.ts";
import { KvSource, type KvSourceOptions } from "./kv-source.ts";
import { createLinks, type Links } from "./links.ts";
import { WORKER_FEATURES } from "./translate.ts";

/** What a near worker is made of. */
export interface NearWorkerDeps extends Pick<KvSourceOptions, "incarnation" | "hasher" | "clock" | "log"> {
  /** By which callers ask for it. */
  readonly instanceId: bigint;
  /** Opens its engine; called again when the one before could not be opened or has failed. */
  openEngine(): Promise<Engine>;
  /** Borrowed: it waits for engines that are being closed. */
  readonly scope: Pick<Scope, "spawn">;
}

/** Its engine, with what runs on it. */
interface Open {
  readonly engine: Engine;
  readonly board: Board;
  standing: EngineStanding["state"];
}

/**
 * A worker of this process around an engine that is somewhere else: it answers the link and tells of cached blocks as any
 * worker does, and is published by nobody. Its engine is opened for the first that calls, who waits for it; whoever calls
 * when it has failed has it opened anew.
 */
export class NearWorker {
  /** The link and the events of its cache, for calls within this process. */
  readonly services: readonly ServedService[];
  readonly #deps: NearWorkerDeps;
  readonly #links: Links;
  readonly #kvSource: KvSource;
  #opening: Promise<Open> | undefined;
  #open: Open | undefined;
  #isClosed = false;
  #hasTold = false;

  constructor(deps: NearWorkerDeps) {
    this.#deps = deps;
    const { clock, log } = deps;
    this.#kvSource = new KvSource(deps);
    this.#links = createLinks({
      serving: () => this.#serving(),
      introduce: () => this.#introduction(),
      cancel: (ids, mode) => this.#open?.board.cancel(ids, mode),
      clock,
      log,
    });
    const sources = [this.#kvSource];
    this.services = [
      createService(WorkerLinkService, {
        link: {
          open: (channel, call) => this.#whenOpen(channel, call, () => this.#links.open(channel, call.peer.address)),
        },
      }),
      createService(KvEventService, {
        subscribe: {
          open: (channel, call) =>
            this.#whenOpen(channel, call, () => {
              const subscription = serveKvSubscriber(channel, { sources, clock });
              // A cancel may look like an end in order.
              call.signal.addEventListener("abort", () => subscription.stop());
            }),
        },
      }),
    ];
  }

  /** Ends what runs with this error and gives the engine back. */
  async close(error: StatorError): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#links.closeAll(error);
    this.#kvSource.close(error);
    this.#open?.board.end(error);
    const open = await this.#opening?.catch(() => undefined);
    await open?.engine.close();
  }

  /** Serves a call over its channel, unless its caller has gone meanwhile. */
  #whenOpen(channel: { end(error: StatorError): void }, { signal }: CallContext, serve: () => void): void {
    this.#opening ??= this.#begin();
    this.#opening.then(
      () => {
        if (!signal.aborted && !this.#isClosed) serve();
      },
      (error: unknown) => channel.end(asStatorError(error)),
    );
  }

  async #begin(): Promise<Open> {
    try {
      const engine = await this.#deps.openEngine();
      // Whoever closes waits for this, and closes the engine.
      return this.#serve(engine);
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }

  #serve(engine: Engine): Open {
    const { log } = this.#deps;
    // Numbers of events go on: what the engine before kept is gone.
    if (this.#hasTold) this.#kvSource.publish({ kind: "cleared" });
    else this.#kvSource.open(engine.card);
    this.#hasTold = true;
    const board = createBoard(
      engine,
      {
        onFailure: (error) => this.#failed(error),
        onStanding: ({ state }) => {
          open.standing = state;
          this.#links.notice({ draining: state !== "ready", modelsChanged: false, models: [] });
        },
        onMetrics: this.#links.load,
        onIdle() {},
        onKv: (notice) => this.#kvSource.publish(notice),
      },
      { log, tracer: noTracer },
    );
    const open: Open = { engine, board, standing: "ready" };
    this.#open = open;
    return open;
  }

  #failed(error: StatorError): void {
    const { engine } = this.#open!;
    this.#open = undefined;
    this.#opening = undefined;
    this.#links.closeAll(error);
    this.#deps.scope.spawn("close the engine", () => engine.close());
  }

  #serving() {
    const { engine, board } = this.#open!;
    const { model } = engine.card;
    const hasAdapter = (asked: string) => adaptersOf(engine).some(({ name }) => name === asked);
    return { engine, board, names: { model, hasAdapter } };
  }

  #introduction(): Introduction {
    const { instanceId, incarnation } = this.#deps;
    const { engine, standing } = this.#open!;
    const { card } = engine;
    return {
      instanceId,
      incarnation,
      models: [card.model, ...adaptersOf(engine).map(({ name }) => name)],
      maxRunningRequests: card.maxRunningRequests ?? 0,
      maxWaitingRequests: card.maxWaitingRequests ?? 0,
      totalKvBlocks: BigInt(card.totalBlocks ?? 0),
      ranks: 1,
      features: [...WORKER_FEATURES],
      draining: standing !== "ready",
    };
  }
}
