import { KV_TIERS, type KvChange } from "#lib/kv/event";
import type { BlockArena } from "./block-arena.ts";
import type { BlockNames } from "./block-names.ts";
import { laneEnd, laneOf, stretchFrom } from "./coverage.ts";
import { AT, DATA, HEAD, LENGTH, PARENT, ROOT, type RunTable, START } from "./run-table.ts";

/** Where an index keeps what it knows. */
export interface IndexParts {
  /** Content hashes and names. */
  readonly arena: BlockArena;
  /** Runs, and who has which. */
  readonly runs: RunTable;
  /** What a holder calls a block. */
  readonly names: BlockNames;
}

/** Consecutive blocks of a run in one tier. */
interface Piece {
  readonly run: number;
  readonly tier: number;
  readonly from: number;
  readonly to: number;
}

/**
 * What a slot holds as changes, parents first. Blocks that it does not hold, but that come before some that it holds, are
 * told as stored and, at the end, as removed: so they are known, and what goes on from them is.
 */
export function* dumpHolder(parts: IndexParts, slot: number): Generator<KvChange> {
  const { runs, arena, names } = parts;
  const { head } = runs;
  const holes: bigint[] = [];
  for (const [run, needed] of [...neededRuns(runs, slot)].sort(([a], [b]) => startOf(runs, a) - startOf(runs, b))) {
    for (const piece of piecesOf(runs, run, needed, slot)) {
      const data = head[run * HEAD + DATA]!;
      const hashes = new BigUint64Array(piece.to - piece.from);
      for (const at of hashes.keys()) hashes[at] = names.nameOf(slot, data + piece.from + at);
      if (piece.tier < 0) holes.push(...hashes);
      yield {
        ...{ kind: "stored", tier: KV_TIERS[Math.max(0, piece.tier)]!, group: 0 },
        parent: parentName(parts, slot, piece),
        ...{ hashes, contents: arena.contentHashes.slice(data + piece.from, data + piece.to) },
        ...{ adapter: undefined, saltNamespace: 0n, media: [] },
      };
    }
  }
  if (holes.length > 0) yield { kind: "removed", tier: "device", group: 0, hashes: BigUint64Array.from(holes) };
}

function startOf(runs: RunTable, run: number): number {
  return runs.head[run * HEAD + START]!;
}

/** How many blocks of which runs somebody must know who is to know what a slot holds. */
function neededRuns(runs: RunTable, slot: number): Map<number, number> {
  const { head } = runs;
  const needed = new Map<number, number>();
  for (let run = 1; run < runs.end; run++) {
    if (head[run * HEAD + LENGTH] === 0) continue;
    let end = 0;
    for (const tier of KV_TIERS.keys()) end = Math.max(end, laneEnd(runs, run, laneOf(tier, slot)));
    for (let each = run; end > 0 && each !== ROOT && (needed.get(each) ?? 0) < end; ) {
      needed.set(each, end);
      end = head[each * HEAD + AT]!;
      each = head[each * HEAD + PARENT]!;
    }
  }
  return needed;
}

/** The blocks of a run in order, each in the first tier that has it, -1 for none; then what further tiers have too. */
function* piecesOf(runs: RunTable, run: number, needed: number, slot: number): Generator<Piece> {
  const later: Piece[] = [];
  const tiersAt = (block: number) =>
    [...KV_TIERS.keys()].filter((tier) => stretchFrom(runs, run, laneOf(tier, slot), block) > 0);
  for (let from = 0; from < needed; ) {
    const tiers = tiersAt(from);
    let to = from + 1;
    while (to < needed && tiersAt(to).join() === tiers.join()) to++;
    yield { run, tier: tiers[0] ?? -1, from, to };
    for (const tier of tiers.slice(1)) later.push({ run, tier, from, to });
    from = to;
  }
  yield* later;
}

function parentName({ runs, names }: IndexParts, slot: number, piece: Piece): bigint | undefined {
  const { head } = runs;
  const base = piece.run * HEAD;
  if (piece.from > 0) return names.nameOf(slot, head[base + DATA]! + piece.from - 1);
  const parent = head[base + PARENT]!;
  if (parent === ROOT) return undefined;
  return names.nameOf(slot, head[parent * HEAD + DATA]! + head[base + AT]! - 1);
}
