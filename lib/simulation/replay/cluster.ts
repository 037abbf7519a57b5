import type { EngineFinish, KvNotice } from "#lib/engines/engine";
import type { Explanation } from "#lib/routing/explain/explanation";
import type { FleetWorker } from "#lib/routing/fleet";
import { GROWTH_TOKENS, type Place, type RouteNote } from "#lib/routing/router";
import { joined } from "./content.ts";
import { createMember, type Member, type MemberOptions } from "./member.ts";
import { type MoveEnd, Moves } from "./moving/moves.ts";
import type { ReplayRequest, Session } from "./replay-request.ts";
import { changeOf, ReplayRouter } from "./replay-router.ts";
import { SharedCache } from "./shared-cache.ts";
import { placeOfWorker, workerAt } from "./worker-id.ts";

/** What a cluster of a replay is made of. */
export interface ClusterOptions extends MemberOptions {
  /** How many workers there are at first, at least 1. */
  readonly workers: number;
  /** A request has ended, or was refused. */
  readonly onEnded: (request: ReplayRequest) => void;
}

/** A frontend's router over workers, all on one clock. Requests go in and end; nothing in it waits for real time. */
export class Cluster {
  readonly #options: ClusterOptions;
  readonly #router: ReplayRouter;
  readonly #members = new Map<number, Member>();
  #fleet: ReadonlyMap<bigint, FleetWorker> = new Map();
  /** What could be reused at best. */
  readonly #shared: SharedCache;
  readonly #moves: Moves;
  /** Requests that nobody can take now, and the sentence that says so. */
  #homeless = new Map<ReplayRequest, string>();
  #incarnation = 0n;

  constructor(options: ClusterOptions) {
    this.#options = options;
    const { clock, chance, routing, workers, hashes, transfer: speed } = options;
    this.#moves = new Moves({ speed, blockTokens: hashes.blockTokens, clock, catchUp: () => this.catchUp() });
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
    for (const request of [...member.worker.kill(), ...this.#moves.lose(at)]) this.#lost(request, at);
  }

  /** The worker of a request is gone, or the one where it was to go on. */
  #lost(request: ReplayRequest, at: number): void {
    if (request.ahead === at && !request.session) {
      // Its prompt is being computed: where it goes on is asked when it is.
      this.#dropAhead(request);
      return;
    }
    this.#dropAhead(request);
    note(request, { kind: "ended", choice: 0 });
    // Whose blocks are kept still goes on from them; all others begin anew, with the tokens that they have.
    if (request.session) this.#handOff(request, request.session);
    else this.#place(request);
  }

  /** A worker comes, with an empty cache. Nothing where there is one. */
  join(at: number): void {
    if (this.#members.has(at)) return;
    this.catchUp();
    this.#add(at);
    this.#follow();
    for (const request of this.#takeHomeless().keys()) this.#place(request);
  }

  /** Nobody comes any more: refuses the requests that nobody can take. False when there are none. */
  giveUp(): boolean {
    const lost = this.#takeHomeless();
    for (const [request, reason] of lost) this.#refuse(request, reason);
    return lost.size > 0;
  }

  #takeHomeless(): ReadonlyMap<ReplayRequest, string> {
    const homeless = this.#homeless;
    this.#homeless = new Map();
    return homeless;
  }

  #add(at: number): void {
    const id = workerAt(at);
    const member = createMember({ at, incarnation: ++this.#incarnation }, this.#options, {
      onPass: (pass) => this.router.observe(id, pass),
      onKv: (notice) => this.#onKv(at, notice),
      onTokens: (request, count) => this.#grow(request, count),
      onFinish: (request, finish) => this.#finish(request, finish),
    });
    this.#members.set(at, member);
  }

  #onKv(at: number, notice: KvNotice): void {
    this.router.sink(workerAt(at), 0).apply(changeOf(notice));
    if (notice.kind !== "stored") return;
    for (const request of this.#moves.awaiting(at)) {
      this.#moves.ready(request, this.#endAt(at).worker.countBlocks(request));
    }
  }

  #follow(): void {
    const members = [...this.#members].sort(([left], [right]) => left - right);
    this.#fleet = new Map(members.map(([, { fleet }]) => [fleet.worker, fleet]));
    this.router.follow(this.#fleet);
    const live = { state: "live", reason: "", lagMs: 0, behind: 0 } as const;
    for (const worker of this.#fleet.keys()) this.router.sink(worker, 0).know(live);
  }

  /** Asks where an answer begins. */
  #place(request: ReplayRequest): void {
    request.hasToken = false;
    const place = this.#ask(request);
    if (!place) return;
    request.leg = place.leg ?? "whole";
    request.worker = placeOfWorker(place.target.worker);
    this.#submit(request);
    if (place.ahead && request.refusal === "") this.#openAhead(request, placeOfWorker(place.ahead.target.worker));
  }

  /** Where an answer will go on fetches blocks while the prompt is computed. */
  #openAhead(request: ReplayRequest, at: number): void {
    const { blockTokens } = this.#options.hashes;
    const blocks = Math.floor((request.prompt.tokens.length + request.tokens) / blockTokens);
    request.ahead = at;
    request.ticket?.note({ ahead: true, kind: "accepted", choice: 0, cachedTokens: blocks * blockTokens });
    this.#moves.open(request, { from: request.worker, to: this.#endAt(at) }, blocks);
    this.#moves.ready(request, this.#endAt(request.worker).worker.countBlocks(request));
  }

  /** Nobody waits any more to go on with a request. */
  #dropAhead(request: ReplayRequest): void {
    if (request.ahead === undefined) return;
    request.ahead = undefined;
    this.#moves.drop(request);
    request.ticket?.note({ ahead: true, kind: "ended", choice: 0 });
  }

  #endAt(place: number): MoveEnd {
    return { place, worker: this.#members.get(place)!.worker };
  }

  /** Asks where an answer goes on whose prompt is computed; it takes the blocks there first. */
  #handOff(request: ReplayRequest, session: Session): void {
    request.hasToken = false;
    const place = this.#ask(request, session);
    if (!place) {
      session.blocks.letGo();
      request.session = undefined;
      return;
    }
    request.leg = "decode";
    request.worker = placeOfWorker(place.target.worker);
    const { count } = session.blocks;
    // It says at once that it takes the request; all that comes need not be computed.
    request.ticket?.note({ kind: "accepted", choice: 0, cachedTokens: count * this.#options.hashes.blockTokens });
    this.#moves.open(request, { from: session.place, to: this.#endAt(request.worker) }, count);
    const before = request.movedTokens;
    this.#moves.finish(request, session, () => {
      const bytes = (request.movedTokens - before) * this.#options.transfer.tokenBytes;
      request.ticket?.note({ kind: "transferred", choice: 0, transfer: { bytes, ms: request.handOffMs! } });
      this.#submit(request);
    });
  }

  /** The same where it waits already. */
  #goAhead(request: ReplayRequest, session: Session, at: number): void {
    request.hasToken = false;
    request.leg = "decode";
    request.worker = at;
    request.ahead = undefined;
    request.isAhead = true;
    this.#moves.finish(request, session, () => this.#submit(request));
  }

  /** Where a request goes; undefined where it is refused, or has to wait for somebody to come. */
  #ask(request: ReplayRequest, session?: Session): Place | undefined {
    let place: Place | undefined;
    request.isAhead = false;
    const handOff = session && { prefilledBy: workerAt(session.place) };
    request.ticket = this.#router.place(request, handOff, (answer) => {
      if (answer.kind === "placed") [place] = answer.places;
      else if (answer.error.reason === "NO_WORKERS") this.#homeless.set(request, answer.error.message);
      else this.#refuse(request, answer.error.message);
    });
    return place;
  }

  #submit(request: ReplayRequest): void {
    const { worker } = this.#members.get(request.worker)!;
    try {
      const cachedTokens = worker.submit(request);
      if (request.leg !== "decode") request.ticket?.note({ kind: "accepted", choice: 0, cachedTokens });
    } catch (error) {
      note(request, { kind: "ended", choice: 0 });
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
      note(request, { kind: "first token", choice: 0 });
    }
    request.tokens += count;
    const told = request.tokens - (request.tokens % GROWTH_TOKENS);
    if (request.tokens - told < count) note(request, { kind: "tokens", choice: 0, tokens: told });
  }

  #finish(request: ReplayRequest, { cachedTokens, error }: EngineFinish): void {
    const { leg, row, worker } = request;
    if (leg !== "decode") {
      request.cachedTokens = cachedTokens;
      request.prefilledBy = worker;
    }
    if (leg === "prefill" && !error && request.tokens < row.outputTokens) {
      this.#keep(request);
      return;
    }
    const { clock } = this.#options;
    if (request.ahead !== undefined) {
      clock.arrive(clock.nowMs(), () => {
        this.catchUp();
        this.#dropAhead(request);
      });
    }
    request.endedMs = clock.nowMs();
    if (error) request.refusal = error.message;
    const answer = { names: BigUint64Array.of(request.answer), ends: Uint32Array.of(request.tokens) };
    this.#shared.append(joined(request.prompt.content, answer));
    note(request, { kind: "ended", choice: 0 });
    this.#options.onEnded(request);
  }

  /** A prompt is computed, and its answer goes on elsewhere: behind all that ends now. */
  #keep(request: ReplayRequest): void {
    const { clock } = this.#options;
    const blocks = this.#members.get(request.worker)!.worker.keep(request);
    const session: Session = { place: request.worker, blocks, sinceMs: clock.nowMs() };
    request.session = session;
    request.ticket?.note({ kind: "ended", choice: 0 });
    clock.arrive(clock.nowMs(), () => {
      // Where it was to go on may have died at this very moment: then it goes on elsewhere already.
      if (request.leg !== "prefill" || request.session !== session) return;
      this.catchUp();
      if (request.ahead === undefined) this.#handOff(request, session);
      else this.#goAhead(request, session, request.ahead);
    });
  }
}

function note({ ticket, isAhead }: ReplayRequest, said: RouteNote): void {
  ticket?.note(isAhead ? { ...said, ahead: true } : said);
}
