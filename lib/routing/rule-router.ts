import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Metrics } from "#lib/host/metrics";
import type { KvChange, KvKnowledge, KvSink } from "#lib/kv/event";
import { promptShareMs } from "#lib/perf/prompt-times";
import type { PassRecord } from "#lib/perf/time-model";
import { SessionTable } from "./affinity.ts";
import { Capture, type CaptureParts } from "./capture/capture.ts";
import { type CapturedRank, captureRanks } from "./capture/captured-rank.ts";
import { RoutingCounters, type RoutingLevels, showRouting } from "./counters.ts";
import { DecisionRing } from "./explain/decision-ring.ts";
import { explain } from "./explain/explain.ts";
import type { Explanation } from "./explain/explanation.ts";
import { heldBlocks } from "./fill.ts";
import type { Fleet } from "./fleet.ts";
import type { PromptBlocks } from "./index/prefix-index.ts";
import { type Disaggregation, TRANSFER_LATENCY_MS, USUAL_DISAGGREGATION } from "./legs/disaggregation.ts";
import { type LegChoice, LegChooser } from "./legs/leg-chooser.ts";
import { legsOf, PlaceList } from "./legs/place-list.ts";
import { SeatFinder } from "./legs/seat-finder.ts";
import { TransferBook } from "./legs/transfer-book.ts";
import { ROUTING_LIMITS, type RoutingLimits } from "./limits.ts";
import { LoadBook } from "./load/load-book.ts";
import type { Locate } from "./locate.ts";
import type { Affinity } from "./options.ts";
import { type RankParts, RankTable } from "./rank-table.ts";
import type { RankSeat } from "./ranks.ts";
import { NO_TICKET, type PlacedPrompt, type PromptListener, RouteTicket } from "./route-ticket.ts";
import type { AskingRequest, RouteAnswer, RouteAsk, Router, Ticket } from "./router.ts";
import { type InForce, RuleBook, type RuleBookOptions } from "./rule-book.ts";
import type { RuleConstants } from "./rules/constants.ts";
import type { RuleName } from "./rules/table.ts";

/** What a router by rule needs. */
export interface RuleRouterOptions extends RankParts, RuleBookOptions {
  /** Workers tell of their caches; else one is taken to hold what was sent there. */
  readonly followsEvents: boolean;
  /** How long a prompt is taken to be where it was sent, while its worker says nothing of its cache. */
  readonly ttlMs: number;
  /** How long it is expected there until the worker says that it has it; 0 for not at all. */
  readonly predictedTtlMs: number;
  /** How a session holds on to its worker. */
  readonly affinity: Affinity;
  /** How long it does after its last request. */
  readonly sessionTtlMs: number;
  /** Who could take an ask; of a pinned one no other worker. */
  readonly locate: Locate;
  /** Tells when choices are made. */
  readonly clock: Pick<Clock, "nowMs">;
  /** Borrowed; drawn from where rules draw. */
  readonly chance: Chance;
  /** Holds the instruments of this room. */
  readonly metrics: Metrics;
  /** How answers are split, where that differs from the usual way. */
  readonly split?: Partial<Disaggregation>;
  /** Bounds that differ from the usual ones. */
  readonly limits?: Partial<RoutingLimits>;
}

/** What is known of one rank, for lists of workers. */
export interface RankView {
  /** From 0. */
  readonly rank: number;
  /** The rule in force for it. */
  readonly rule: RuleName;
  /** Why its prefixes do not decide, one sentence; empty where they do. */
  readonly why: string;
  /** How well it is known what it holds. */
  readonly knowledge: KvKnowledge;
  /** Blocks that the index has of it, in all tiers. */
  readonly heldBlocks: number;
  /** Seen ÷ prior of its times; 1 before anything was seen. */
  readonly timeFactor: number;
  /** Passes that its times were learned from. */
  readonly timedPasses: number;
}

/**
 * Places by a rule of the table, over who could take an ask, what the workers hold, have to do and how fast they are.
 * Choices of one prompt stay together; prompts of one request are placed one by one, each knowing of those before it.
 * Answers during the call.
 */
export class RuleRouter implements Router {
  readonly #options: RuleRouterOptions;
  readonly #limits: RoutingLimits;
  readonly #ranks: RankTable;
  readonly #rules: RuleBook;
  readonly #sessions: SessionTable;
  readonly #chooser: LegChooser;
  readonly #finder: SeatFinder;
  readonly #ring: DecisionRing;
  readonly #loads = new LoadBook();
  readonly #counters = new RoutingCounters();
  readonly #listener: PromptListener;
  readonly #offScrape: () => void;
  #openChoices = 0;
  /** Who is told of what is decided; mostly nobody. */
  #captures: readonly Capture[] = [];

  constructor(options: RuleRouterOptions) {
    this.#options = options;
    this.#limits = { ...ROUTING_LIMITS, ...options.limits };
    this.#ranks = new RankTable(options);
    this.#rules = new RuleBook(options);
    this.#sessions = new SessionTable({ sessions: this.#limits.sessions, ttlMs: options.sessionTtlMs });
    this.#ring = new DecisionRing(this.#limits);
    const split = { ...USUAL_DISAGGREGATION, ...options.split };
    const transfers = new TransferBook({
      latencyMs: TRANSFER_LATENCY_MS,
      bytesPerMs: split.transferBytesPerSecond / 1_000,
    });
    const [rules, sessions, loads] = [this.#rules, this.#sessions, this.#loads];
    this.#chooser = new LegChooser({ ...options, rules, sessions, loads, split, transfers });
    this.#finder = new SeatFinder({
      locate: options.locate,
      ranks: this.#ranks,
      isDirect: rules.configured === "direct",
      enforce: split.enforce,
      hasRoom: (seat) => !loads.read(seat, options.clock.nowMs()).sessionsFull,
    });
    this.#listener = {
      accepted: (prompt, cachedTokens) => this.#accepted(prompt, cachedTokens),
      firstToken: (prompt) => this.#firstToken(prompt),
      ended: (prompt, choice, tokens) => this.#ended(prompt, choice, tokens),
      transferred: ({ from, to }, seen) => {
        if (from === undefined) return;
        this.#transferred(transfers.observe({ from, to }, seen));
      },
    };
    this.#offScrape = showRouting(options.metrics, this.#counters, () => this.#levels());
  }

  get openChoices(): number {
    return this.#openChoices;
  }

  /** Prompts that were placed and whose choices have not all ended. */
  get openReservations(): number {
    return this.#loads.openReservations;
  }

  /** Requests of sessions that were placed and have not ended. */
  get openSessionRequests(): number {
    return this.#sessions.open;
  }

  /** The rule in force for the workers of each weight set, and why where it is not the configured one. */
  get inForce(): readonly InForce[] {
    return this.#rules.inForce;
  }

  /** Entries that the budgets of its indexes took so far. */
  get evictedEntries(): number {
    return this.#ranks.evicted;
  }

  /** It goes by what workers tell of their caches. */
  get hearsEvents(): boolean {
    return this.#options.followsEvents && this.#rules.needsPrefixes;
  }

  /** What its rules have to do without now, a sentence each; none when they have all. */
  get lacking(): readonly string[] {
    const rules = this.inForce.filter(({ why }) => why !== "").map(({ rule, why }) => `${rule} is in force: ${why}`);
    if (!this.hearsEvents) return rules;
    const ranks = [...this.#ranks.workers.values()].flat().filter(({ shelf }) => shelf);
    const unknown = ranks.filter(({ knowledge }) => knowledge.state === "none" || knowledge.state === "untrusted");
    if (unknown.length === 0) return rules;
    const reason = unknown[0]!.knowledge.reason;
    return [...rules, `What ${unknown.length} of ${ranks.length} ranks hold is not known. ${reason}`];
  }

  follow(fleet: Fleet): void {
    this.#ranks.follow(fleet);
    this.#loads.follow(fleet);
    this.#finder.follow(fleet.values());
    this.#rules.follow(fleet);
  }

  observe(worker: bigint, pass: PassRecord): void {
    const seat = this.#ranks.of(worker)[pass.rank];
    if (!seat) return;
    const poolTokens = pass.totalBlocks * (seat.fleet.scope?.blockTokens ?? 0);
    const promptMs = promptShareMs(seat.learned, pass, poolTokens);
    this.#loads.observe(worker, pass, { nowMs: this.#options.clock.nowMs(), promptMs });
    seat.learned.observe(pass);
  }

  /** Takes what the events of a rank say, for the incarnation that was followed last. */
  sink(worker: bigint, rank: number): KvSink {
    return this.#ranks.sink(worker, rank);
  }

  /** What a rank was told to hold, as `PrefixIndex.dump`; nothing of one that is not followed or not known by prefixes. */
  dump(worker: bigint, rank: number): Iterable<KvChange> {
    const { shelf, slot } = this.#ranks.of(worker)[rank] ?? {};
    return shelf && slot !== undefined ? shelf.index.dump(slot) : [];
  }

  /** The ranks of a worker; none of one that is not followed. */
  view(worker: bigint): readonly RankView[] {
    return this.#ranks.of(worker).map((seat) => {
      const { name, why } = this.#rules.ruleOf([seat]);
      return {
        rank: seat.rank,
        rule: name,
        why: why || this.#whyBlind(seat),
        knowledge: seat.knowledge,
        heldBlocks: heldBlocks(seat),
        timeFactor: seat.learned.factor,
        timedPasses: seat.learned.passes,
      };
    });
  }

  /** Why a rule that goes by prefixes does not know those of a rank; empty where it does, and where none goes by them. */
  #whyBlind({ fleet, knowledge }: RankSeat): string {
    if (!this.#rules.needsPrefixes) return "";
    return fleet.why || (this.#options.followsEvents ? knowledge.reason : "");
  }

  place(ask: RouteAsk, answer: (answer: RouteAnswer) => void): Ticket {
    const seats = this.#finder.find(ask);
    if ("kind" in seats) {
      answer(seats);
      return NO_TICKET;
    }
    const places = new PlaceList(seats.words);
    const prompts: PlacedPrompt[] = [];
    const ahead: PlacedPrompt[] = [];
    const from = this.#keeperOf(ask);
    for (const choices of promptsOf(ask)) {
      const legs = this.#chooser.choose(ask, { choices, seats, isReal: true, from });
      places.add(choices, legs);
      const keeper = legs.ahead ? legs.chosen.seat.worker : undefined;
      prompts.push(this.#book(ask, legs, from?.worker));
      if (legs.ahead) ahead.push(this.#book(ask, legs.ahead, keeper));
    }
    const ticket = new RouteTicket(prompts, this.#listener, ahead);
    answer({ kind: "placed", places: places.all });
    return ticket;
  }

  /** Why the prompts of a request went where they did, the latest first. Throws DECISION_NOT_KEPT. */
  explain(requestId: string): readonly Explanation[] {
    const found = this.#ring.find(requestId);
    if (found.length === 0) {
      throw new StatorError("DECISION_NOT_KEPT", { request: requestId, reach: this.#reach() });
    }
    const nowMs = this.#options.clock.nowMs();
    const with_ = { constants: this.#options.constants, nowMs };
    return found.reverse().flatMap((kept) => {
      const table = this.#ring.table(kept);
      return table ? [explain(kept, table, { ...with_, rule: this.#rules.named(kept.rule) })] : [];
    });
  }

  /** Where the prompts of an ask would go now, and why; nothing is placed or counted. Throws why nobody can take it. */
  explainAsk(ask: RouteAsk): readonly Explanation[] {
    const seats = this.#finder.find(ask);
    if ("kind" in seats) throw seats.error;
    const nowMs = this.#options.clock.nowMs();
    const with_ = { constants: this.#options.constants, nowMs };
    const from = this.#keeperOf(ask);
    return promptsOf(ask).flatMap((choices) => {
      const legs = this.#chooser.choose(ask, { choices, seats, isReal: false, from });
      return legsOf(legs).map(({ chosen: { kept }, chooser }) =>
        explain(kept, chooser.table(kept), { ...with_, rule: this.#rules.named(kept.rule) }),
      );
    });
  }

  done(asker: AskingRequest): void {
    if (this.#captures.length === 0) return;
    for (const capture of this.#captures) capture.done(asker);
  }

  /**
   * Tells of what is decided from now on, for requests that come from now on; the owner takes it and closes it. Throws
   * OVERLOADED where there are as many as may be.
   */
  capture(asked: Pick<CaptureParts, "decisions" | "blockTokens" | "limits">): Capture {
    if (this.#captures.length >= this.#limits.captures) throw new StatorError("OVERLOADED", { what: "a capture" });
    const capture = new Capture({
      ...asked,
      startedMs: this.#options.clock.nowMs(),
      hasher: this.#options.hasher,
      onClose: (closed) => {
        if (!this.#captures.includes(closed)) return;
        this.#captures = this.#captures.filter((each) => each !== closed);
        this.#counters.captureLost += closed.lost;
      },
    });
    this.#captures = [...this.#captures, capture];
    return capture;
  }

  /** How it chooses: the rule that is configured, and the numbers of the rules. */
  get chooses(): { readonly rule: RuleName; readonly constants: RuleConstants } {
    return { rule: this.#rules.configured, constants: this.#options.constants };
  }

  /** All ranks that are there, with their times as far as known now. */
  get ranks(): readonly CapturedRank[] {
    return captureRanks(this.#ranks.workers.values(), this.#rules);
  }

  /** Counts nothing any more. */
  close(): void {
    this.#offScrape();
  }

  /** Who has the blocks that a hand-off goes on from, while it is there. */
  #keeperOf({ prefilledBy }: RouteAsk): RankSeat | undefined {
    return prefilledBy === undefined ? undefined : this.#ranks.of(prefilledBy)[0];
  }

  /** `from`: who has the blocks that come there. */
  #book(ask: RouteAsk, legChoice: LegChoice, from: bigint | undefined): PlacedPrompt {
    const { chosen, leg } = legChoice;
    const { seat, kept, blocks, candidates, costs, isCold } = chosen;
    const { atMs: nowMs, choices } = kept;
    this.#ring.add(kept, candidates, costs);
    this.#counters.placed(kept, candidates);
    if (isCold) seat.coldTurn = kept.ask.turn + 1;
    this.#expect(seat, blocks, nowMs);
    // Where its prompt was computed a session finds it again.
    const session = ask.session === undefined || leg === "decode" ? undefined : kept.ask.session;
    const home = { worker: seat.worker, incarnation: seat.fleet.incarnation, rank: seat.rank };
    for (const _ of choices) if (session !== undefined) this.#sessions.begin(session, home, nowMs);
    this.#openChoices += choices.length;
    const contents = blocks ? blocks.contents(blocks.length).subarray(0, blocks.length) : NO_CONTENTS;
    const { promptTokens } = kept.ask;
    if (this.#captures.length > 0 && leg !== "decode") this.#captured(ask, legChoice);
    const isPulled = leg === "decode" && candidates.pullMs[chosen.at]! < Number.POSITIVE_INFINITY;
    const reservation = this.#loads.reserve(seat, {
      promptTokens,
      choices,
      contents,
      cachedTokens: isPulled ? promptTokens - 1 : (kept.predictedTokens ?? 0),
      isPulled,
      atMs: nowMs,
    });
    return { reservation, kept, session, asker: ask.asker, to: seat.worker, from };
  }

  #captured(ask: RouteAsk, { chosen, chooser: { draws } }: LegChoice): void {
    for (const capture of this.#captures) capture.placed(ask, chosen, draws);
  }

  /** The prompt is on its way there: others like it that come now should follow. */
  #expect(seat: RankSeat, blocks: PromptBlocks | undefined, nowMs: number): void {
    const { shelf, slot, knowledge } = seat;
    if (!shelf || !blocks || knowledge.state === "untrusted") return;
    const { followsEvents, predictedTtlMs, ttlMs } = this.#options;
    const forMs = followsEvents && knowledge.state !== "none" ? predictedTtlMs : ttlMs;
    if (forMs > 0) shelf.index.expect(slot, blocks, nowMs + forMs);
  }

  /** The first of a prompt's choices tells: others find what it computes. */
  #accepted({ kept }: PlacedPrompt, cachedTokens: number): void {
    if (kept.seenTokens !== undefined) return;
    kept.seenTokens = cachedTokens;
    if (kept.predictedTokens === undefined || kept.leg === "decode") return;
    this.#counters.foundTokens += cachedTokens;
    this.#counters.expectedTokens += kept.predictedTokens;
  }

  #firstToken({ kept }: PlacedPrompt): void {
    if (kept.seenMs !== undefined) return;
    kept.seenMs = this.#options.clock.nowMs() - kept.atMs;
    const { predictedMs } = kept;
    if (predictedMs !== undefined && predictedMs > 0 && kept.leg !== "decode") {
      this.#options.metrics.observe("stator_routing_first_token_ratio", kept.seenMs / predictedMs);
    }
  }

  /** `ratio`: its time as a multiple of the predicted one; undefined where nothing was learned from it. */
  #transferred(ratio: number | undefined): void {
    if (ratio !== undefined) this.#options.metrics.observe("stator_routing_transfer_ratio", ratio);
  }

  #ended({ session, asker, kept }: PlacedPrompt, choice: number, tokens: number): void {
    if (asker && this.#captures.length > 0) {
      for (const capture of this.#captures) capture.ended(asker, choice, tokens);
    }
    this.#openChoices--;
    if (session !== undefined) this.#sessions.end(session, this.#options.clock.nowMs());
    // A prefill leg ends long before its answer does.
    if (tokens > 0 && kept.leg !== "prefill") this.#chooser.answered(tokens);
  }

  #reach(): string {
    const { oldestMs, size } = this.#ring;
    if (oldestMs === undefined) return "none was made yet";
    const seconds = Math.round((this.#options.clock.nowMs() - oldestMs) / 1_000);
    return `the oldest of ${size} that are kept was made ${seconds} s ago`;
  }

  #levels(): RoutingLevels {
    const shelves = [...this.#ranks.shelves];
    this.#counters.forgottenSessions = this.#sessions.forgotten;
    this.#counters.evictedEntries = this.evictedEntries;
    return {
      rules: this.inForce.map(({ rule }) => rule),
      knowledge: [...this.#ranks.workers.values()].flat().map(({ knowledge }) => knowledge.state),
      openChoices: this.#openChoices,
      indexEntries: shelves.reduce((sum, { index }) => sum + index.entries, 0),
      indexBytes: shelves.reduce((sum, { index }) => sum + index.bytes, 0),
      sessions: this.#sessions.size,
      decisions: this.#ring.size,
      captures: this.#captures.length,
      captureLost: this.#captures.reduce((sum, { lost }) => sum + lost, this.#counters.captureLost),
    };
  }
}

const NO_CONTENTS = new BigUint64Array(0);

/** The choices of an ask, those of one prompt together. */
function promptsOf({ choices, choicesPerPrompt }: RouteAsk): number[][] {
  return [...Map.groupBy(choices, (choice) => Math.floor(choice / choicesPerPrompt)).values()];
}
