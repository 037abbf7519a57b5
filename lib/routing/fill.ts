import { sharedPassTokens } from "./cost/first-token.ts";
import { isUntimed } from "./cost/kept-times.ts";
import { standIn } from "./cost/stand-in.ts";
import { chunkTokensOf, readOverlap } from "./grain.ts";
import type { PromptBlocks } from "./index/prefix-index.ts";
import type { LoadBook } from "./load/load-book.ts";
import type { RankSeat, Shelf } from "./ranks.ts";
import type { PreferredTaint } from "./router.ts";
import type { Candidates } from "./rules/candidates.ts";

/** What a table of candidates is filled for. */
export interface FillFor {
  /** Tokens of the prompt. */
  readonly promptTokens: number;
  /** Choices of it that go to one place together. */
  readonly choices: readonly number[];
  /** The prompt's blocks for an index, hashed on demand; undefined where nothing of it is reused. */
  readonly blocks: ((shelf: Shelf) => PromptBlocks) | undefined;
  /** What the request prefers. */
  readonly preferred: readonly PreferredTaint[];
  /** Predicted milliseconds until a seat that has so many tokens of the prompt has the rest from elsewhere. Absent: nothing comes. */
  readonly pull?: ((seat: RankSeat, deviceTokens: number) => number) | undefined;
  /** What everybody has to do. */
  readonly loads: LoadBook;
  /** Workers tell of their caches; else one is taken to hold what was sent there. */
  readonly followsEvents: boolean;
  /** On the router's clock. */
  readonly nowMs: number;
}

/** Writes what is known now of each seat. The table has room for them. */
export function fillCandidates(seats: readonly RankSeat[], about: FillFor, into: Candidates): void {
  into.count = seats.length;
  for (let at = 0; at < seats.length; at++) {
    const seat = seats[at]!;
    into.workers[at] = seat.worker;
    into.rank[at] = seat.rank;
    into.coldTurn[at] = seat.coldTurn;
    into.maxRunningRequests[at] = seat.fleet.maxRunningRequests ?? 0;
    into.chunkTokens[at] = chunkTokensOf(seat.fleet);
    into.preference[at] = about.preferred.length === 0 ? 0 : preferenceOf(seat, about.preferred);
    into.times[at] = seat.times;
    into.timed[at] = isUntimed(seat.learned) ? 0 : 1;
    fillLoad(seat, about, into, at);
  }
  standIn(into);
  for (let at = 0; at < seats.length; at++) {
    const shared = sharedPassTokens(into, at);
    into.sharingPrompts[at] = shared === 0 ? 0 : about.loads.endingWithin(seats[at]!, shared);
  }
  fillPrefixes(seats, about, into);
  const { pull } = about;
  for (let at = 0; at < seats.length; at++) into.pullMs[at] = pull ? pull(seats[at]!, into.deviceTokens[at]!) : 0;
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

function fillLoad(seat: RankSeat, { loads, nowMs }: FillFor, into: Candidates, at: number): void {
  const load = loads.read(seat, nowMs);
  into.prefillTokens[at] = load.prefillTokens;
  into.rawPrefillTokens[at] = load.rawPrefillTokens;
  into.startedTokens[at] = load.startedTokens;
  into.passingTokens[at] = load.passingTokens;
  into.passingMs[at] = load.passingMs;
  into.potentialBlocks[at] = load.activeBlocks;
  into.openRequests[at] = load.openRequests;
  into.waitingRequests[at] = load.waitingRequests;
  into.decodeSequences[at] = load.decodeSequences;
  into.decodeContextTokens[at] = load.decodeContextTokens;
  into.usedBlocks[at] = load.usedBlocks;
  into.totalBlocks[at] = load.totalBlocks;
  into.poolTokens[at] = load.totalBlocks * (seat.fleet.scope?.blockTokens ?? 0);
  into.prefillUtilisation[at] = load.prefillUtilisation;
  into.tokensPerSecond[at] = load.tokensPerSecond;
}

const NO_CONTENTS = new BigUint64Array(0);

/** A prompt in the index that was asked last: seats of one index mostly stand together. */
interface Asked {
  readonly shelf: Shelf;
  readonly blocks: PromptBlocks;
  /** As much of it as was hashed to find what anybody has. */
  readonly contents: BigUint64Array;
}

function fillPrefixes(seats: readonly RankSeat[], about: FillFor, into: Candidates): void {
  const { promptTokens, choices, loads, followsEvents } = about;
  let asked: Asked | undefined;
  for (let at = 0; at < seats.length; at++) {
    const seat = seats[at]!;
    const { shelf, fleet, slot } = seat;
    if (shelf && about.blocks && asked?.shelf !== shelf) asked = match(shelf, about.blocks(shelf), about.nowMs);
    const isKnown = knowsPrefixes(seat, followsEvents);
    into.known[at] = isKnown ? 1 : 0;
    into.heldBlocks[at] = heldBlocks(seat);
    into.deviceTokens[at] = 0;
    into.hostTokens[at] = 0;
    into.diskTokens[at] = 0;
    into.externalTokens[at] = 0;
    const own = shelf && asked;
    const contents = own?.contents ?? NO_CONTENTS;
    into.potentialBlocks[at]! += loads.addedBlocks(seat, { promptTokens, choices, contents });
    // Nobody in this index has anything. Of a liar nothing counts but what was sent there, and that is soon forgotten.
    if (!own || own.contents.length === 0 || seat.knowledge.state === "untrusted") continue;
    readOverlap(own.shelf, slot, { promptTokens, reuseTokens: fleet.reuseTokens }, { candidates: into, at });
  }
}

function match(shelf: Shelf, blocks: PromptBlocks, nowMs: number): Asked {
  const { index, overlaps } = shelf;
  index.expire(nowMs);
  index.match(blocks, overlaps);
  let deepest = 0;
  for (let slot = 0; slot < index.slots; slot++) {
    const depth = overlaps.device[slot]! + overlaps.host[slot]! + overlaps.disk[slot]! + overlaps.external[slot]!;
    deepest = Math.max(deepest, depth);
  }
  return { shelf, blocks, contents: blocks.contents(deepest).subarray(0, deepest) };
}

/** Blocks that the index has of a rank, in all tiers. */
export function heldBlocks({ shelf, slot }: RankSeat): number {
  return shelf ? shelf.index.heldAnywhere(slot) : 0;
}
