import { describe, expect, test } from "vitest";
import { type Chance, pick, SeededChance } from "#lib/base/chance";
import type { PassRecord } from "#lib/perf/time-model";
import { eachSeed } from "../../../test/support/seeds.ts";
import type { FleetWorker } from "../fleet.ts";
import type { RouteNote } from "../router.ts";
import { LoadBook } from "./load-book.ts";
import type { Placement, Reservation } from "./reservation.ts";

const BLOCK_TOKENS = 4;
const HERE = { worker: 1n, rank: 0 };
const NOTHING = new BigUint64Array(0);

function workerOf(worker: bigint, more: Partial<FleetWorker> = {}): FleetWorker {
  return {
    ...{ worker, incarnation: 1n, ranks: 1, weights: "w", why: "", reuseTokens: 1, totalBlocks: 100 },
    ...{ scope: { blockTokens: BLOCK_TOKENS, hashScheme: "h" }, maxRunningRequests: undefined },
    ...{ taints: new Set<string>(), prior: undefined },
    ...more,
  };
}

function fleetOf(...workers: FleetWorker[]) {
  return new Map(workers.map((worker) => [worker.worker, worker]));
}

function bookOf(...workers: FleetWorker[]): LoadBook {
  const book = new LoadBook();
  book.follow(fleetOf(...(workers.length > 0 ? workers : [workerOf(1n)])));
  return book;
}

function placementOf(more: Partial<Placement> = {}): Placement {
  return { promptTokens: 10, cachedTokens: 0, choices: [0], contents: NOTHING, atMs: 0, ...more };
}

const QUIET: PassRecord = {
  ...{ rank: 0, durationUs: 0, prefillTokens: 0, prefillContextTokens: 0, decodeSequences: 0, decodeContextTokens: 0 },
  ...{ usedBlocks: 0, totalBlocks: 0, runningRequests: 0, waitingRequests: 0, waitingTokens: 0, mergedSteps: 0 },
};

const IDLE = {
  ...{ prefillTokens: 0, rawPrefillTokens: 0, activeBlocks: 0, openRequests: 0, waitingRequests: 0 },
  ...{ startedTokens: 0, passingTokens: 0, passingMs: 0 },
  ...{ decodeSequences: 0, decodeContextTokens: 0, usedBlocks: 0, sessionsFull: false, totalBlocks: 100 },
  ...{ prefillUtilisation: 0, tokensPerSecond: 0, ageMs: undefined },
};

function observe(book: LoadBook, pass: Partial<PassRecord>, at: { nowMs?: number; promptMs?: number } = {}): void {
  book.observe(1n, { ...QUIET, ...pass }, { nowMs: 0, promptMs: 0, ...at });
}

describe("the life of a stream", () => {
  test("prefill counts until the first token, decoding grows until the end, and then nothing is left", () => {
    const book = bookOf();
    const stream = book.reserve(HERE, placementOf({ cachedTokens: 8 }));
    expect(book.read(HERE, 0)).toEqual({
      ...{ ...IDLE, prefillTokens: 2, rawPrefillTokens: 10, activeBlocks: 3, openRequests: 1 },
    });
    stream.note({ kind: "accepted", choice: 0, cachedTokens: 4 });
    expect(book.read(HERE, 0)).toMatchObject({ prefillTokens: 6, rawPrefillTokens: 10 });
    stream.note({ kind: "first token", choice: 0 });
    const decoding = { prefillTokens: 0, rawPrefillTokens: 0, decodeSequences: 1, decodeContextTokens: 10 };
    expect(book.read(HERE, 0)).toMatchObject({ ...decoding, activeBlocks: 3 });
    stream.note({ kind: "tokens", choice: 0, tokens: 2 });
    expect(book.read(HERE, 0)).toMatchObject({ decodeContextTokens: 12, activeBlocks: 3 });
    stream.note({ kind: "tokens", choice: 0, tokens: 3 });
    expect(book.read(HERE, 0)).toMatchObject({ decodeContextTokens: 13, activeBlocks: 4 });
    expect(book.openReservations).toBe(1);
    stream.note({ kind: "ended", choice: 0 });
    expect(book.read(HERE, 0)).toEqual(IDLE);
    expect([book.openReservations, stream.open]).toEqual([0, 0]);
  });

  test("an end frees what is still being computed", () => {
    const book = bookOf();
    book.reserve(HERE, placementOf()).note({ kind: "ended", choice: 0 });
    const accepted = book.reserve(HERE, placementOf());
    accepted.note({ kind: "accepted", choice: 0, cachedTokens: 3 });
    accepted.cancel();
    accepted.cancel();
    expect(book.read(HERE, 0)).toEqual(IDLE);
    expect(book.openReservations).toBe(0);
  });

  test("choices of one prompt share it, and compute it once", () => {
    const book = bookOf();
    const stream = book.reserve(HERE, placementOf({ choices: [4, 5, 6] }));
    expect(book.read(HERE, 0)).toMatchObject({ prefillTokens: 10, activeBlocks: 2 + 3, openRequests: 3 });
    stream.note({ kind: "accepted", choice: 4, cachedTokens: 0 });
    stream.note({ kind: "accepted", choice: 5, cachedTokens: 8 });
    stream.note({ kind: "accepted", choice: 6, cachedTokens: 4 });
    expect(book.read(HERE, 0)).toMatchObject({ prefillTokens: 2 });
    stream.note({ kind: "first token", choice: 5 });
    expect(book.read(HERE, 0)).toMatchObject({ prefillTokens: 0, decodeSequences: 1, decodeContextTokens: 10 });
    stream.note({ kind: "tokens", choice: 5, tokens: 7 });
    expect(book.read(HERE, 0)).toMatchObject({ activeBlocks: 2 + 3 + 2 });
    stream.note({ kind: "ended", choice: 5 });
    expect(book.read(HERE, 0)).toMatchObject({ activeBlocks: 2 + 2, openRequests: 2, decodeSequences: 0 });
    stream.cancel();
    expect(book.read(HERE, 0)).toEqual(IDLE);
  });

  test("what comes twice, late or out of order changes nothing, and nothing is below 0", () => {
    const book = bookOf();
    const stream = book.reserve(HERE, placementOf({ cachedTokens: 1_000 }));
    expect(book.read(HERE, 0)).toMatchObject({ prefillTokens: 0 });
    for (const kind of ["first token", "first token"] as const) stream.note({ kind, choice: 0 });
    stream.note({ kind: "accepted", choice: 0, cachedTokens: 0 });
    stream.note({ kind: "tokens", choice: 0, tokens: 20 });
    stream.note({ kind: "tokens", choice: 0, tokens: 6 });
    stream.note({ kind: "tokens", choice: 9, tokens: 6 });
    const decoding = { prefillTokens: 0, rawPrefillTokens: 0, decodeSequences: 1, decodeContextTokens: 30 };
    expect(book.read(HERE, 0)).toMatchObject({ ...decoding, activeBlocks: 8 });
    stream.note({ kind: "ended", choice: 0 });
    for (const kind of ["ended", "first token"] as const) stream.note({ kind, choice: 0 });
    stream.note({ kind: "tokens", choice: 0, tokens: 600 });
    expect(book.read(HERE, 0)).toEqual(IDLE);
  });

  test("a worker that is lost, or has another incarnation, takes its load with it", () => {
    const book = bookOf(workerOf(1n), workerOf(2n));
    const lost = book.reserve(HERE, placementOf());
    book.follow(fleetOf(workerOf(1n, { incarnation: 2n }), workerOf(2n)));
    expect(book.read(HERE, 0)).toEqual(IDLE);
    const again = book.reserve(HERE, placementOf());
    lost.note({ kind: "first token", choice: 0 });
    expect(book.read(HERE, 0)).toMatchObject({ rawPrefillTokens: 10, decodeSequences: 0 });
    book.follow(fleetOf(workerOf(2n)));
    expect(book.read(HERE, 0)).toMatchObject({ openRequests: 0, totalBlocks: 0 });
    const nowhere = book.reserve(HERE, placementOf());
    observe(book, { waitingRequests: 4 });
    expect(book.openReservations).toBe(3);
    for (const each of [lost, again, nowhere]) each.cancel();
    expect(book.openReservations).toBe(0);
  });

  test("what is learned of a worker while it runs leaves no trace of its requests", () => {
    const book = bookOf(workerOf(1n, { scope: undefined, totalBlocks: undefined }));
    const early = book.reserve(HERE, placementOf({ contents: BigUint64Array.of(1n, 2n) }));
    expect(book.read(HERE, 0)).toMatchObject({ activeBlocks: 0, totalBlocks: 0 });
    book.follow(fleetOf(workerOf(1n)));
    const late = book.reserve(HERE, placementOf({ contents: BigUint64Array.of(1n, 2n) }));
    expect(book.read(HERE, 0)).toMatchObject({ activeBlocks: 3, openRequests: 2, totalBlocks: 100 });
    early.note({ kind: "tokens", choice: 0, tokens: 90 });
    for (const each of [early, late]) each.cancel();
    expect(book.read(HERE, 0)).toEqual(IDLE);
  });

  test("another number of ranks is another division of its load", () => {
    const book = bookOf();
    const stream = book.reserve(HERE, placementOf());
    book.follow(fleetOf(workerOf(1n, { ranks: 2 })));
    expect(book.read(HERE, 0)).toEqual(IDLE);
    stream.cancel();
    expect(book.openReservations).toBe(0);
  });

  test("blocks may be as short as a token", () => {
    const book = bookOf(workerOf(1n, { scope: { blockTokens: 1, hashScheme: "h" } }));
    const stream = book.reserve(HERE, placementOf());
    expect(book.read(HERE, 0)).toMatchObject({ activeBlocks: 10 });
    stream.note({ kind: "tokens", choice: 0, tokens: 3 });
    expect(book.read(HERE, 0)).toMatchObject({ activeBlocks: 13 });
    stream.cancel();
  });

  test("ranks are counted apart", () => {
    const book = bookOf(workerOf(1n, { ranks: 2 }));
    const stream = book.reserve({ worker: 1n, rank: 1 }, placementOf());
    observe(book, { rank: 1, usedBlocks: 9 });
    observe(book, { rank: 2, usedBlocks: 9 });
    expect(book.read(HERE, 0)).toEqual(IDLE);
    expect(book.read({ worker: 1n, rank: 1 }, 0)).toMatchObject({ openRequests: 1, usedBlocks: 9 });
    stream.cancel();
  });
});

describe("blocks", () => {
  test("prompts share what both are known to have; the rest is each one's own", () => {
    const book = bookOf();
    const contents = BigUint64Array.of(1n, 2n, 3n);
    const one = book.reserve(HERE, placementOf({ promptTokens: 18, contents }));
    expect(book.read(HERE, 0)).toMatchObject({ activeBlocks: 5 });
    const ask = (more: Partial<Placement>) => book.addedBlocks(HERE, placementOf({ promptTokens: 18, ...more }));
    expect(ask({ contents })).toBe(2);
    expect(ask({ contents: BigUint64Array.of(1n, 2n, 3n, 4n) })).toBe(2);
    expect(ask({ contents: BigUint64Array.of(1n, 9n, 3n) })).toBe(4);
    expect(ask({ contents: NOTHING })).toBe(5);
    expect(ask({ contents, choices: [0, 1] }), "a tail each").toBe(3);
    expect(ask({ contents, promptTokens: 11 }), "only complete blocks are compared").toBe(1);
    expect(book.addedBlocks({ worker: 9n, rank: 0 }, placementOf())).toBe(0);
    const other = book.reserve(HERE, placementOf({ promptTokens: 18, contents: BigUint64Array.of(1n, 2n, 3n, 4n) }));
    contents.fill(0n);
    expect(book.read(HERE, 0)).toMatchObject({ activeBlocks: 7 });
    one.cancel();
    expect(book.read(HERE, 0)).toMatchObject({ activeBlocks: 5 });
    other.cancel();
    expect(book.read(HERE, 0)).toEqual(IDLE);
  });
});

describe("what a worker says of other callers", () => {
  const BUSY = {
    ...{ decodeSequences: 4, decodeContextTokens: 400, usedBlocks: 50, totalBlocks: 200 },
    ...{ runningRequests: 5, waitingRequests: 3, waitingTokens: 900 },
  };

  test("counts beside this router's own, and its own are not counted twice", () => {
    const book = bookOf();
    observe(book, BUSY);
    const others = { openRequests: 8, waitingRequests: 3, decodeSequences: 5, decodeContextTokens: 500 };
    expect(book.read(HERE, 0)).toMatchObject({
      ...{ ...others, prefillTokens: 900, rawPrefillTokens: 900, activeBlocks: 50, usedBlocks: 50, totalBlocks: 200 },
    });
    const stream = book.reserve(HERE, placementOf({ promptTokens: 100 }));
    observe(book, BUSY);
    expect(book.read(HERE, 0), "the record cannot have what was not accepted").toMatchObject({
      ...{ openRequests: 9, prefillTokens: 1_000, activeBlocks: 50 },
    });
    stream.note({ kind: "accepted", choice: 0, cachedTokens: 0 });
    observe(book, BUSY);
    expect(book.read(HERE, 0)).toMatchObject({ openRequests: 8, prefillTokens: 900, decodeSequences: 5 });
    stream.note({ kind: "first token", choice: 0 });
    observe(book, { ...BUSY, waitingRequests: 0, waitingTokens: 0 });
    expect(book.read(HERE, 0)).toMatchObject({ openRequests: 5, decodeSequences: 5, prefillTokens: 0 });
    expect(book.read(HERE, 0).decodeContextTokens).toBe(4 * 100 + 100);
    stream.cancel();
  });

  test("who ended in a pass is not taken for another caller's after it", () => {
    const book = bookOf();
    const stream = book.reserve(HERE, placementOf());
    stream.note({ kind: "accepted", choice: 0, cachedTokens: 0 });
    stream.note({ kind: "first token", choice: 0 });
    stream.note({ kind: "ended", choice: 0 });
    observe(book, { decodeSequences: 1, decodeContextTokens: 10, runningRequests: 0 });
    expect(book.read(HERE, 0)).toMatchObject({ openRequests: 0, decodeSequences: 0, decodeContextTokens: 0 });
  });

  test("a worker that has only this router's requests has no others", () => {
    const book = bookOf();
    const streams = [0, 1, 2].map(() => book.reserve(HERE, placementOf()));
    for (const stream of streams) stream.note({ kind: "accepted", choice: 0, cachedTokens: 0 });
    streams[0]!.note({ kind: "first token", choice: 0 });
    const before = book.read(HERE, 0);
    observe(book, {
      ...{ decodeSequences: 1, decodeContextTokens: 10, usedBlocks: 6, runningRequests: 2, waitingRequests: 1 },
      waitingTokens: 10,
    });
    expect(book.read(HERE, 0)).toEqual({
      ...{ ...before, waitingRequests: 1, usedBlocks: 6, ageMs: 0, tokensPerSecond: expect.any(Number) },
    });
    for (const stream of streams) stream.cancel();
  });

  test("what can be this router's own is taken to be, and nobody is fewer than none", () => {
    const book = bookOf();
    const waiting = book.reserve(HERE, placementOf());
    waiting.note({ kind: "accepted", choice: 0, cachedTokens: 0 });
    observe(book, { runningRequests: 2, waitingRequests: 1, waitingTokens: 500 });
    expect(book.read(HERE, 0)).toMatchObject({ openRequests: 3, decodeSequences: 2, prefillTokens: 10 });
    observe(book, { runningRequests: 2, waitingRequests: 2, waitingTokens: 4 });
    expect(book.read(HERE, 0)).toMatchObject({ openRequests: 4, decodeSequences: 2, prefillTokens: 10 });
    waiting.note({ kind: "first token", choice: 0 });
    const other = book.reserve(HERE, placementOf());
    other.note({ kind: "first token", choice: 0 });
    observe(book, { waitingRequests: 1, waitingTokens: 500 });
    expect(book.read(HERE, 0)).toMatchObject({
      openRequests: 2,
      decodeSequences: 2,
      prefillTokens: 0,
      activeBlocks: 6,
    });
    for (const stream of [waiting, other]) stream.cancel();
  });

  test("one request is counted as one", () => {
    const book = bookOf();
    const one = { decodeSequences: 1, decodeContextTokens: 70, totalBlocks: 1, runningRequests: 1 };
    observe(book, { ...one, waitingRequests: 1, waitingTokens: 30 });
    expect(book.read(HERE, 0)).toMatchObject({
      openRequests: 2,
      prefillTokens: 30,
      decodeContextTokens: 70,
      totalBlocks: 1,
    });
    observe(book, { decodeSequences: 9, decodeContextTokens: 630, mergedSteps: 8 });
    expect(book.read(HERE, 0), "how many of them run now nobody says").toMatchObject({ openRequests: 0 });
  });

  test("a pass that only prefills does not hide those that decode", () => {
    const book = bookOf();
    observe(book, BUSY);
    observe(book, { ...BUSY, decodeSequences: 0, decodeContextTokens: 0 });
    expect(book.read(HERE, 0)).toMatchObject({ decodeSequences: 5, decodeContextTokens: 500 });
    observe(book, { decodeSequences: 40, decodeContextTokens: 4_000, mergedSteps: 9, runningRequests: 4 });
    expect(book.read(HERE, 0), "sums over passes").toMatchObject({ openRequests: 4, decodeContextTokens: 400 });
  });

  test("fades when nothing more is said; this router's own does not", () => {
    const book = bookOf();
    const stream = book.reserve(HERE, placementOf());
    observe(book, { ...BUSY, waitingRequests: 8 }, { nowMs: 1_000 });
    const at = (ageMs: number) => book.read(HERE, 1_000 + ageMs);
    expect(at(2_000)).toMatchObject({ openRequests: 14, prefillTokens: 910, activeBlocks: 50, waitingRequests: 8 });
    expect(at(4_000)).toMatchObject({ openRequests: 8, prefillTokens: 460, ageMs: 4_000, waitingRequests: 4 });
    expect(at(6_000)).toMatchObject({ openRequests: 4, prefillTokens: 235 });
    expect(at(60_000)).toMatchObject({
      ...{
        openRequests: 1,
        prefillTokens: 10,
        activeBlocks: 3,
        decodeSequences: 0,
        waitingRequests: 0,
        usedBlocks: 50,
      },
    });
    stream.cancel();
  });

  test("prompts and tokens have a rate over the last seconds", () => {
    const book = bookOf();
    for (let nowMs = 100; nowMs <= 20_000; nowMs += 100) {
      observe(book, { durationUs: 100_000, prefillTokens: 30, decodeSequences: 20 }, { nowMs, promptMs: 60 });
    }
    const load = book.read(HERE, 20_000);
    expect(load.prefillUtilisation).toBeCloseTo(0.6, 1);
    expect(load.tokensPerSecond / 500).toBeCloseTo(1, 1);
    const once = bookOf();
    observe(once, { prefillTokens: 30, decodeSequences: 10 }, { nowMs: 500, promptMs: 400 });
    expect(once.read(HERE, 500)).toMatchObject({ tokensPerSecond: 10, prefillUtilisation: 0.1 });
    observe(book, {}, { nowMs: 20_000, promptMs: 1e9 });
    expect(book.read(HERE, 20_000).prefillUtilisation).toBe(1);
  });
});

/** A placement as the naive model keeps it: what was said, in order. */
interface Told {
  readonly worker: bigint;
  readonly incarnation: bigint;
  readonly placement: Placement;
  readonly stream: Reservation;
  readonly notes: RouteNote[];
}

/** A record in which many others run and wait. */
const CROWD = { ...QUIET, runningRequests: 500, waitingRequests: 200, waitingTokens: 50_000, usedBlocks: 9_000 };

/** Loads from scratch behind a record of a crowd: every note that a placement ever heard is read again. */
function naiveLoad(told: readonly Told[]) {
  const load = { prefillTokens: 0, rawPrefillTokens: 0, openRequests: 0, decodeSequences: 0, decodeContextTokens: 0 };
  const prefixes = new Set<string>();
  let blocks = 0;
  const taken = { choices: 0, prefilling: 0, prefillTokens: 0 };
  for (const { placement, notes } of told) {
    const { promptTokens, contents, choices } = placement;
    const complete = Math.floor(promptTokens / BLOCK_TOKENS);
    const ended = new Set<number>();
    const first = new Set<number>();
    const tokens = new Map<number, number>();
    let cached: number | undefined;
    for (const note of notes) {
      if (!choices.includes(note.choice) || ended.has(note.choice)) continue;
      if (note.kind === "accepted" && first.size === 0) cached = Math.max(cached ?? 0, note.cachedTokens);
      if (note.kind === "first token") first.add(note.choice);
      if (note.kind === "tokens") tokens.set(note.choice, Math.max(note.tokens, tokens.get(note.choice) ?? 0));
      if (note.kind === "ended") ended.add(note.choice);
    }
    const open = choices.filter((choice) => !ended.has(choice));
    if (open.length === 0) continue;
    load.openRequests += open.length;
    if (first.size === 0) {
      load.rawPrefillTokens += promptTokens;
      load.prefillTokens += promptTokens - Math.min(promptTokens, cached ?? placement.cachedTokens);
    }
    const known = [...contents].slice(0, complete);
    for (let end = 1; end <= known.length; end++) prefixes.add(known.slice(0, end).join());
    blocks += complete - known.length;
    for (const choice of open) {
      const context = promptTokens + (tokens.get(choice) ?? 0);
      const isTaken = notes.some(
        (note) => note.choice === choice && (note.kind === "accepted" || note.kind === "first token"),
      );
      taken.choices += isTaken ? 1 : 0;
      taken.prefilling += isTaken && !first.has(choice) ? 1 : 0;
      taken.prefillTokens += isTaken && !first.has(choice) ? promptTokens : 0;
      blocks += Math.ceil(context / BLOCK_TOKENS) - complete;
      if (!first.has(choice)) continue;
      load.decodeSequences++;
      load.decodeContextTokens += context;
    }
  }
  const waitingTokens = CROWD.waitingTokens - taken.prefillTokens;
  return {
    prefillTokens: load.prefillTokens + waitingTokens,
    rawPrefillTokens: load.rawPrefillTokens + waitingTokens,
    openRequests: load.openRequests + CROWD.runningRequests + CROWD.waitingRequests - taken.choices,
    decodeSequences: load.decodeSequences + CROWD.runningRequests - (taken.choices - taken.prefilling),
    decodeContextTokens: load.decodeContextTokens,
    activeBlocks: CROWD.usedBlocks,
    ownBlocks: blocks + prefixes.size,
  };
}

function randomPlacement(chance: Chance): Placement {
  const promptTokens = pick(chance, 40);
  const contents = BigUint64Array.from({ length: pick(chance, 12) }, () => BigInt(1 + pick(chance, 2)));
  const choices = Array.from({ length: 1 + pick(chance, 3) }, (_, at) => 5 + at);
  return { promptTokens, contents, choices, cachedTokens: pick(chance, 50), atMs: 0 };
}

function randomNote(chance: Chance): RouteNote {
  const choice = 5 + pick(chance, 4);
  const kinds = ["accepted", "first token", "tokens", "tokens", "ended"] as const;
  const kind = kinds[pick(chance, kinds.length)]!;
  if (kind === "accepted") return { kind, choice, cachedTokens: pick(chance, 50) };
  return kind === "tokens" ? { kind, choice, tokens: pick(chance, 60) } : { kind, choice };
}

test("any notes, aborts and lost workers are counted as reading everything again counts them, and end at nothing", () => {
  eachSeed(60, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    const incarnations = new Map([1n, 2n, 3n].map((worker) => [worker, 1n]));
    const fleet = () => fleetOf(...[...incarnations].map(([worker, incarnation]) => workerOf(worker, { incarnation })));
    const book = new LoadBook();
    book.follow(fleet());
    const told: Told[] = [];
    const check = () => {
      for (const [worker, incarnation] of incarnations) {
        const here = told.filter((each) => each.worker === worker && each.incarnation === incarnation);
        const { ownBlocks, ...load } = naiveLoad(here);
        book.observe(worker, QUIET, { nowMs: 0, promptMs: 0 });
        expect(book.read({ worker, rank: 0 }, 0).activeBlocks).toBe(ownBlocks);
        book.observe(worker, CROWD, { nowMs: 0, promptMs: 0 });
        expect(book.read({ worker, rank: 0 }, 0)).toMatchObject(load);
      }
    };
    for (let turn = 0; turn < 200; turn++) {
      const worker = BigInt(1 + pick(chance, 3));
      const dice = chance.next();
      const someone = told[pick(chance, Math.max(1, told.length))];
      if (dice < 0.2) {
        const placement = randomPlacement(chance);
        const stream = book.reserve({ worker, rank: 0 }, placement);
        told.push({ worker, incarnation: incarnations.get(worker)!, placement, stream, notes: [] });
      } else if (dice < 0.25) {
        for (const choice of someone?.placement.choices ?? []) someone?.notes.push({ kind: "ended", choice });
        someone?.stream.cancel();
      } else if (dice < 0.27) {
        incarnations.set(worker, incarnations.get(worker)! + 1n);
        book.follow(fleet());
      } else if (someone) {
        const note = randomNote(chance);
        someone.notes.push(note);
        someone.stream.note(note);
      }
      check();
    }
    for (const { stream, notes, placement } of told) {
      for (const choice of placement.choices) notes.push({ kind: "ended", choice });
      stream.cancel();
    }
    check();
    for (const worker of incarnations.keys()) {
      book.observe(worker, QUIET, { nowMs: 0, promptMs: 0 });
      expect(book.read({ worker, rank: 0 }, 0)).toEqual({ ...IDLE, ageMs: 0 });
    }
    expect(book.openReservations).toBe(0);
  });
});
