import { SeededChance } from "#lib/base/chance";
import type { Explanation } from "#lib/routing/explain/explanation";
import type { Arrivals } from "./arrivals/arrivals.ts";
import { arrivalsOf, type Load } from "./arrivals/load.ts";
import { type SessionSource, withSessions } from "./arrivals/session-names.ts";
import { Cluster } from "./cluster.ts";
import { ContentHashes } from "./content.ts";
import type { WorkerRole } from "./member.ts";
import { type OwnShape, type Profile, TRANSFER } from "./profile.ts";
import { answerOf, PromptBook } from "./prompt-book.ts";
import { ReplayRequest } from "./replay-request.ts";
import type { ReplayRouting } from "./replay-router.ts";
import type { GapBook } from "./report/gap-book.ts";
import type { TraceRow } from "./trace-row.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** A worker that dies with its cache, or comes with an empty one. */
export interface FleetChange {
  /** Virtual ms. */
  readonly atMs: number;
  /** Its place, from 0. */
  readonly worker: number;
  /** Nothing is changed where it is so already. */
  readonly what: "fail" | "join";
}

/** What is replayed, and on what. */
export interface ReplayOptions {
  /** In order of time; read once, as far as it is needed. */
  readonly rows: Iterable<TraceRow>;
  /** Tokens of a block of the trace. */
  readonly traceBlockTokens: number;
  /** Tokens of a block of the engines. */
  readonly blockTokens: number;
  /** KV blocks of one worker. */
  readonly blocks: number;
  /** Workers at first, at least 1. */
  readonly workers: number;
  /** What part of requests each does, by its place from 0; all of it where nothing is said. */
  readonly roles?: readonly WorkerRole[];
  /** How fast they are. */
  readonly profile: Profile;
  /** What is said of workers alone, by their places from 0: it goes before what is said of all of them. */
  readonly own?: ReadonlyMap<number, OwnShape>;
  /** How requests are routed. */
  readonly routing: ReplayRouting;
  /** How many times as fast as in the trace requests come, and delays pass. */
  readonly speed: number;
  /** When requests come; by their timestamps alone where absent. */
  readonly load?: Load;
  /** What makes rows a session; that they say so where absent. */
  readonly sessions?: SessionSource;
  /** How much faster than the profile each worker is, by its place from 0; 1 where nothing is said. */
  readonly speeds?: ReadonlyMap<number, number>;
  /** Workers that come and go on the way. */
  readonly changes?: readonly FleetChange[];
  /** Of every draw. */
  readonly seed: bigint;
  /** Steps that one event may stand for; 1 steps one by one, with the same result. */
  readonly stretchSteps?: number;
  /** Passes begin when all that comes at a moment has come, as the reference's do. */
  readonly startsNextTurn?: boolean;
  /** Engines give blocks, count passes and begin them as the reference's own simulation does, so that figures compare with its replay. */
  readonly likeReference?: boolean;
  /** Written as the replay goes on: the times between the tokens of each answer, its first one among them. Nobody counts them when absent. */
  readonly gaps?: GapBook;
  /** Whether the decision about a request is wanted, asked when it has ended; of none when absent. */
  readonly explains?: (outcome: Outcome) => boolean;
}

/** What became of one request. Times are virtual ms. */
export interface Outcome {
  /** Place in the trace, from 0. */
  readonly row: number;
  /** When it came. */
  readonly arrivedMs: number;
  /** When its first token was there; undefined for none. */
  readonly firstMs: number | undefined;
  /** When its second token was there; undefined for none. */
  readonly secondMs: number | undefined;
  /** When it ended. */
  readonly endedMs: number;
  /** Tokens of its prompt. */
  readonly promptTokens: number;
  /** Of those, found in the cache when it was let in first by the worker that it ended on. */
  readonly cachedTokens: number;
  /** Of those, what one cache for all workers, without end, had when it came. */
  readonly reusableTokens: number;
  /** Tokens of its answer. */
  readonly tokens: number;
  /** Place of the worker that it ended on, from 0; -1 for none. */
  readonly worker: number;
  /** Place of the worker that computed its prompt last, from 0; another than `worker` where its answer went on elsewhere; -1 for none. */
  readonly prefilledBy: number;
  /** Tokens whose KV was moved for it. */
  readonly movedTokens: number;
  /** From the end of its prompt to where its answer went on, in virtual ms; undefined where it stayed. */
  readonly handOffMs: number | undefined;
  /** Why it got no answer; empty where it did. */
  readonly refusal: string;
  /** Why it went to its worker, the last decision about it; where it was wanted, and is kept still. */
  readonly explanation?: Explanation;
}

/** Steps that one event stands for unless something else is said: further on a stretch is cut by what comes. */
const STRETCH_STEPS = 128;

/** Lives a trace on virtual time; the same options give the same outcomes, in the same order: as the requests ended. */
export function* replay(options: ReplayOptions): Generator<Outcome> {
  const { speed, load = { kind: "open" }, sessions = "rows" } = options;
  const { stretchSteps = STRETCH_STEPS, likeReference = false } = options;
  const { startsNextTurn = likeReference } = options;
  const clock = new VirtualClock();
  const prompts = new PromptBook(options.traceBlockTokens);
  const hashes = new ContentHashes(options.blockTokens);
  const ended: Outcome[] = [];
  const arrivals: Arrivals = arrivalsOf(load, withSessions(options.rows, sessions), { speed, clock });
  const cluster = new Cluster({
    ...{ clock, hashes, stretchSteps, startsNextTurn, likeReference },
    chance: new SeededChance(options.seed),
    blocks: options.blocks,
    workers: options.workers,
    profile: options.profile,
    transfer: options.profile.transfer ?? TRANSFER,
    ...(options.roles && { roles: options.roles }),
    ...(options.own && { own: options.own }),
    ...(options.speeds && { speeds: options.speeds }),
    routing: options.routing,
    gaps: options.gaps,
    onEnded(request) {
      const outcome = outcomeOf(request);
      const explanation = options.explains?.(outcome) ? cluster.explain(request) : undefined;
      ended.push(explanation ? { ...outcome, explanation } : outcome);
      arrivals.ended(request.row);
    },
  });
  for (const { atMs, worker, what } of options.changes ?? []) {
    clock.after(atMs, () => (what === "fail" ? cluster.kill(worker) : cluster.join(worker)));
  }
  arrivals.start({
    send: (rows) =>
      cluster.send(
        rows.map((row) => {
          const about = { answer: answerOf(row), arrivedMs: clock.nowMs() };
          return new ReplayRequest(row, hashes.prompt(prompts.content(row)), about);
        }),
      ),
  });
  do {
    while (clock.step()) yield* ended.splice(0, ended.length);
    // Who waits for a worker now waits for ever; its end may let others come.
  } while (cluster.giveUp());
  yield* ended;
}

function outcomeOf(request: ReplayRequest): Outcome {
  const { row, prompt, arrivedMs, firstMs, endedMs, cachedTokens, tokens, worker, refusal } = request;
  const { secondMs, prefilledBy, movedTokens, handOffMs } = request;
  return {
    row: row.index,
    arrivedMs,
    firstMs,
    secondMs,
    endedMs: endedMs ?? arrivedMs,
    promptTokens: prompt.tokens.length,
    cachedTokens: cachedTokens ?? 0,
    reusableTokens: request.reusableTokens,
    ...{ tokens, worker, prefilledBy, movedTokens, handOffMs, refusal },
  };
}
