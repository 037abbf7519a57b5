import { readPassTimes } from "./cost/pass-times.ts";
import { readOverlap } from "./grain.ts";
import type { PromptBlocks } from "./index/prefix-index.ts";
import type { RankSeat, Shelf } from "./ranks.ts";
import type { PreferredTaint } from "./router.ts";
import type { Candidates } from "./rules/candidates.ts";

/** What a table of candidates is filled for. */
export interface FillFor {
  /** Tokens of the prompt. */
  readonly promptTokens: number;
  /** The prompt's blocks for an index; undefined where nothing of it is reused. Asked once for each index. */
  readonly blocks: ((shelf: Shelf) => PromptBlocks) | undefined;
  /** What the request prefers. */
  readonly preferred: readonly PreferredTaint[];
  /** Workers tell of their caches; else one is taken to hold what was sent there. */
  readonly followsEvents: boolean;
  /** On the router's clock. */
  readonly nowMs: number;
}

/** Columns of the times, of which those of others stand in for unknown ones. */
const TIMES = ["passTokens", "baseMs", "tokenMs", "squareMs", "contextMs", "decodeMs"] as const;

/** Writes what is known now of each seat. The table has room for them. */
export function fillCandidates(seats: readonly RankSeat[], about: FillFor, into: Candidates): void {
  into.count = seats.length;
  for (let at = 0; at < seats.length; at++) {
    const seat = seats[at]!;
    into.workers[at] = seat.fleet.worker;
    into.rank[at] = seat.rank;
    into.coldTurn[at] = seat.coldTurn;
    into.maxRunningRequests[at] = seat.fleet.maxRunningRequests ?? 0;
    into.preference[at] = about.preferred.length === 0 ? 0 : preferenceOf(seat, about.preferred);
    fillLoad(seat, into, at);
    fillTimes(seat, into, at);
  }
  fillPrefixes(seats, about, into);
  standInTimes(into);
}

/** Whether it is known what a seat holds. */
export function knowsPrefixes({ shelf, knowledge: { state } }: RankSeat, followsEvents: boolean): boolean {
  if (!shelf || state === "untrusted") return false;
  return !followsEvents || state === "live" || state === "recovering";
}

function preferenceOf({ fleet: { taints } }: RankSeat, preferred: readonly PreferredTaint[]): number {
  let sum = 0;
  for (const { taint, weight } of preferred) if (taints.has(taint)) sum += weight;
  return sum;
}

function fillLoad({ book, fleet }: RankSeat, into: Candidates, at: number): void {
  const { load } = book;
  into.prefillTokens[at] = load.prefillTokens;
  into.rawPrefillTokens[at] = load.rawPrefillTokens;
  into.openRequests[at] = load.openRequests;
  into.waitingRequests[at] = load.waitingRequests;
  into.decodeSequences[at] = load.decodeSequences;
  into.decodeContextTokens[at] = load.decodeContextTokens;
  into.usedBlocks[at] = load.usedBlocks;
  into.totalBlocks[at] = load.totalBlocks || (fleet.totalBlocks ?? 0);
  into.prefillUtilisation[at] = load.prefillUtilisation;
  into.tokensPerSecond[at] = load.tokensPerSecond;
}

function fillTimes({ times: { model }, shelf }: RankSeat, into: Candidates, at: number): void {
  const poolTokens = into.totalBlocks[at]! * (shelf?.scope.blockTokens ?? 0);
  const [decodeSequences, decodeContextTokens] = [into.decodeSequences[at]!, into.decodeContextTokens[at]!];
  into.timed[at] = model.isGuess && model.passes === 0 ? 0 : 1;
  if (into.timed[at] === 1) readPassTimes(model, { decodeSequences, decodeContextTokens, poolTokens }, into, at);
}

/** Who is not timed is taken to be as fast as the others are on average; where nobody is, a token is a unit of time. */
function standInTimes(into: Candidates): void {
  const { count, timed } = into;
  let known = 0;
  for (let at = 0; at < count; at++) known += timed[at]!;
  if (known === count) return;
  for (const name of TIMES) {
    const column = into[name];
    let sum = name === "tokenMs" || name === "passTokens" ? 1 : 0;
    if (known > 0) {
      sum = 0;
      for (let at = 0; at < count; at++) if (timed[at] === 1) sum += column[at]!;
      sum /= known;
    }
    for (let at = 0; at < count; at++) if (timed[at] === 0) column[at] = sum;
  }
}

function fillPrefixes(seats: readonly RankSeat[], about: FillFor, into: Candidates): void {
  const { promptTokens, followsEvents } = about;
  let matched: Shelf | undefined;
  let blocks: PromptBlocks | undefined;
  for (let at = 0; at < seats.length; at++) {
    const seat = seats[at]!;
    const { shelf, fleet, slot } = seat;
    into.known[at] = knowsPrefixes(seat, followsEvents) ? 1 : 0;
    into.deviceTokens[at] = 0;
    into.hostTokens[at] = 0;
    into.diskTokens[at] = 0;
    into.externalTokens[at] = 0;
    into.heldBlocks[at] = shelf ? heldBlocks(shelf, slot) : 0;
    if (shelf && shelf !== matched) {
      // Seats of one index mostly stand together; a second look at one is only time.
      matched = shelf;
      blocks = about.blocks?.(shelf);
      if (blocks) matchPrompt(shelf, blocks, about.nowMs);
    }
    const own = shelf && blocks;
    into.potentialBlocks[at] = seat.book.potentialBlocks(promptTokens, own);
    if (!shelf || !own || seat.knowledge.state === "untrusted") continue;
    readOverlap(shelf, slot, { promptTokens, reuseTokens: fleet.reuseTokens }, { candidates: into, at });
  }
}

function matchPrompt({ index, overlaps }: Shelf, blocks: PromptBlocks, nowMs: number): void {
  index.expire(nowMs);
  index.match(blocks, overlaps);
}

function heldBlocks({ index }: Shelf, slot: number): number {
  return (
    index.held(slot, "device") + index.held(slot, "host") + index.held(slot, "disk") + index.held(slot, "external")
  );
}
