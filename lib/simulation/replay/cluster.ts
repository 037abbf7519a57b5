import type { Chance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import type { EngineFinish } from "#lib/engines/engine";
import { silentLog as log } from "#lib/host/log";
import type { Explanation } from "#lib/routing/explain/explanation";
import type { FleetWorker } from "#lib/routing/fleet";
import { GROWTH_TOKENS } from "#lib/routing/router";
import { HASH_SCHEME } from "#lib/tokens/block-hash";
import { type ContentHashes, joined } from "./content.ts";
import { type OwnShape, type Profile, scaled, spedUp } from "./profile.ts";
import type { ReplayRequest } from "./replay-request.ts";
import { changeOf, ReplayRouter, type ReplayRouting, WEIGHTS } from "./replay-router.ts";
import { ReplayWorker, type WorkerShape } from "./replay-worker.ts";
import { SharedCache } from "./shared-cache.ts";
import type { VirtualClock } from "./virtual-clock.ts";
import { placeOfWorker, workerAt } from "./worker-id.ts";

/** What a cluster of a replay is made of. */
export interface ClusterOptions extends Omit<WorkerShape, "profile"> {
  /** How fast the workers are. */
  readonly profile: Profile;
  /** How many there are at first, at least 1. */
  readonly workers: number;
  /** What is said of workers alone, by their places. */
  readonly own?: ReadonlyMap<number, OwnShape>;
  /** How much faster than its profile each is, by its place; 1 where nothing is said. */
  readonly speeds?: ReadonlyMap<number, number>;
  /** How the frontend routes. */
  readonly routing: ReplayRouting;
  /** Of everything. */
  readonly clock: VirtualClock;
  /** Borrowed. */
  readonly chance: Chance;
  /** Cuts sequences into blocks. */
  readonly hashes: ContentHashes;
  /** A request has ended, or was refused. */
  readonly onEnded: (request: ReplayRequest) => void;
}

interface Member {
  readonly worker: ReplayWorker;
  readonly fleet: FleetWorker;
}

/** A frontend's router over workers, all on one clock. Requests go in and end; nothing in it waits for real time. */
export class Cluster {
  readonly #options: ClusterOptions;
  readonly #router: ReplayRouter;
  readonly #members = new Map<number, Member>();
  #fleet: ReadonlyMap<bigint, FleetWorker> = new Map();
  /** What could be reused at best. */
  readonly #shared: SharedCache;
  /** Requests that nobody can take now. */
  #homeless: ReplayRequest[] = [];
  #incarnation = 0n;

  constructor(options: ClusterOptions) {
    this.#options = options;
    const { clock, chance, routing, workers, hashes } = options;
    this.#shared = new SharedCache(hashes.blockTokens);
    this.#router = new ReplayRouter(routing, { clock, chance, serving: () => this.#fleet });
    for (let at = 0; at < workers; at++) this.#add(at);
    this.#follow();
  }

  /** Requests that run or wait at workers, by their places. */
  get open(): readonly number[] {
    return [...this.#members].map(([, { worker }]) => worker.open);
  }

  /** The router of the frontend. */
  get router(): ReplayRouter["router"] {
    return this.#router.router;
  }

  /** Why a request went where it did last; undefined where that is not kept, or nobody could take it. */
  explain({ row }: ReplayRequest): Explanation | undefined {
    return this.#router.explain(String(row.index));
  }

  /** Requests come at this moment. */
  send(requests: readonly ReplayRequest[]): void {
    this.catchUp();
    for (const request of requests) {
      request.reusableTokens = this.#shared.meet(request.prompt.content);
      this.#place(request);
    }
  }

  /** What lies in the past is told, so that whoever looks sees all of it. */
  catchUp(): void {
    for (const { worker } of this.#members.values()) worker.catchUp();
  }

  /** A worker dies: its cache is gone, and its requests go on elsewhere with what they have. */
  kill(at: number): void {
    const member = this.#members.get(at);
    if (!member) return;
    this.catchUp();
    this.#members.delete(at);
    this.#follow();
    for (const request of member.worker.kill()) {
      request.ticket?.note({ kind: "ended", choice: 0 });
      request.hasToken = false;
      this.#place(request);
    }
  }

  /** A worker comes, with an empty cache. Nothing where there is one. */
  join(at: number): void {
    if (this.#members.has(at)) return;
    this.catchUp();
    this.#add(at);
    this.#follow();
    for (const request of this.#homeless.splice(0)) this.#place(request);
  }

  /** Nobody comes any more: refuses the requests that nobody can take. False when there are none. */
  giveUp(): boolean {
    const lost = this.#homeless.splice(0);
    for (const request of lost) this.#refuse(request, new StatorError("NO_WORKERS", { model: WEIGHTS }).message);
    return lost.length > 0;
  }

  #add(at: number): void {
    const { own, speeds, profile: usual, clock, hashes, routing, chance, ...common } = this.#options;
    const { profile: ownProfile = usual, blocks = common.blocks } = own?.get(at) ?? {};
    const shape = { ...common, blocks };
    const id = workerAt(at);
    const profile = spedUp(ownProfile, speeds?.get(at) ?? 1);
    const { prior = 0 } = routing.errors ?? {};
    const isSlow = prior > 0 && chance.next() < 0.5;
    const fleet: FleetWorker = {
      worker: id,
      incarnation: ++this.#incarnation,
      ranks: 1,
      weights: WEIGHTS,
      scope: { blockTokens: hashes.blockTokens, hashScheme: HASH_SCHEME },
      why: "",
      reuseTokens: profile.chunkTokens ?? hashes.blockTokens,
      totalBlocks: shape.blocks,
      maxRunningRequests: profile.maxRunning,
      taints: new Set(),
      prior: scaled(profile.times, Math.exp(isSlow ? -prior : prior)),
    };
    const worker = new ReplayWorker(
      { ...shape, profile },
      {
        onPass: (pass) => this.router.observe(id, pass),
        onKv: (notice) => this.router.sink(id, 0).apply(changeOf(notice)),
        onTokens: (request, count) => this.#grow(request, count),
        onFinish: (request, finish) => this.#finish(request, finish),
      },
      { clock, hashes, log },
    );
    this.#members.set(at, { worker, fleet });
  }

  #follow(): void {
    const members = [...this.#members].sort(([left], [right]) => left - right);
    this.#fleet = new Map(members.map(([, { fleet }]) => [fleet.worker, fleet]));
    this.router.follow(this.#fleet);
    const live = { state: "live", reason: "", lagMs: 0, behind: 0 } as const;
    for (const worker of this.#fleet.keys()) this.router.sink(worker, 0).know(live);
  }

  #place(request: ReplayRequest): void {
    if (this.#members.size === 0) {
      this.#homeless.push(request);
      return;
    }
    request.ticket = this.#router.place(request, (answer) => {
      if (answer.kind === "unplaced") {
        this.#refuse(request, answer.error.message);
        return;
      }
      request.worker = placeOfWorker(answer.places[0]!.target.worker);
    });
    const member = this.#members.get(request.worker);
    if (!member || request.refusal !== "") return;
    try {
      const cachedTokens = member.worker.submit(request);
      request.ticket.note({ kind: "accepted", choice: 0, cachedTokens });
    } catch (error) {
      request.ticket.note({ kind: "ended", choice: 0 });
      this.#refuse(request, error instanceof Error ? error.message : String(error));
    }
  }

  #refuse(request: ReplayRequest, reason: string): void {
    request.refusal = reason;
    request.endedMs = this.#options.clock.nowMs();
    this.#options.onEnded(request);
  }

  #grow(request: ReplayRequest, count: number): void {
    const isFirst = request.firstMs === undefined;
    if (isFirst) request.firstMs = this.#options.clock.nowMs();
    // An attempt has a first token of its own.
    if (!request.hasToken) {
      request.hasToken = true;
      request.ticket?.note({ kind: "first token", choice: 0 });
    }
    request.tokens += count;
    const told = request.tokens - (request.tokens % GROWTH_TOKENS);
    if (request.tokens - told < count) request.ticket?.note({ kind: "tokens", choice: 0, tokens: told });
  }

  #finish(request: ReplayRequest, { cachedTokens, error }: EngineFinish): void {
    request.cachedTokens = cachedTokens;
    request.endedMs = this.#options.clock.nowMs();
    if (error) request.refusal = error.message;
    const answer = { names: BigUint64Array.of(request.answer), ends: Uint32Array.of(request.tokens) };
    this.#shared.append(joined(request.prompt.content, answer));
    request.ticket?.note({ kind: "ended", choice: 0 });
    this.#options.onEnded(request);
  }
}
