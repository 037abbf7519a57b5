import type { RequestRecord } from "#gen/stator/frontend/v1/frontend_pb";
import type { GateWay } from "./ways.ts";

/** What came of all requests of one way. */
export interface GateRow {
  readonly name: string;
  /** Choices that were compared. */
  readonly answers: number;
  /** Of them other than the undisturbed ones. */
  readonly differing: number;
  /** Requests that went on elsewhere. */
  readonly handOffs: number;
  /** Blocks that came, by the word of their way. */
  readonly blocks: ReadonlyMap<string, number>;
  /** Why less came than was kept, and of how many requests. */
  readonly reasons: ReadonlyMap<string, number>;
  readonly migrations: number;
  /** Requests that nobody could take at first, as many times as they came. */
  readonly askedAgain: number;
  /** Blocks that made room for others, over all workers. */
  readonly evicted: number;
  readonly seconds: number;
  /** What is not as it has to be, in words; empty of a way that holds. */
  readonly problems: readonly string[];
}

/** What a way has seen. */
export interface Seen {
  readonly way: GateWay;
  /** One for each request, whatever became of it. */
  readonly records: readonly RequestRecord[];
  readonly answers: number;
  /** Places of the answers that differ, and of those whose blocks were damaged unseen. */
  readonly differing: readonly number[];
  readonly spoiled: ReadonlySet<number>;
  /** A damaged bit changes the answer, whichever it is. */
  readonly everyBitTells: boolean;
  /** Requests whose answer had a second token. */
  readonly longer: number;
  readonly askedAgain: number;
  readonly evicted: number;
  readonly meddled: number;
  /** Sessions and blocks that were kept for others at the end. */
  readonly left: number;
  readonly seconds: number;
}

/** Looks whether a way was taken, and whether its answers are as they have to be. */
export function judge(seen: Seen): GateRow {
  const { way, records, answers, differing, evicted, askedAgain, seconds } = seen;
  const handed = records.flatMap(({ handOff }) => (handOff && handOff.decodeWorker !== 0n ? [handOff] : []));
  const blocks = countBy(
    handed,
    ({ rung }) => rung,
    (each) => each.blocks,
  );
  const reasons = countBy(
    handed.filter(({ reason }) => reason !== ""),
    ({ reason }) => reason,
    () => 1,
  );
  const row = {
    ...{ name: way.name, answers, differing: differing.length, askedAgain, handOffs: handed.length, blocks, reasons },
    ...{ migrations: records.reduce((sum, { migrations }) => sum + migrations, 0), evicted, seconds },
  };
  return { ...row, problems: [...answerProblems(seen), ...wayProblems(seen, row)] };
}

function answerProblems({ way, differing, spoiled, everyBitTells, left }: Seen): string[] {
  const problems: string[] = [];
  const wrong = differing.filter((at) => way.expects !== "wrong" || !spoiled.has(at));
  if (wrong.length > 0) problems.push(`${wrong.length} answers differ, such as ${wrong.slice(0, 3).join(", ")}`);
  if (way.expects === "wrong") {
    const found = differing.filter((at) => spoiled.has(at)).length;
    if (spoiled.size === 0) problems.push("no damaged block came");
    else if (found <= (everyBitTells ? spoiled.size / 2 : 0))
      problems.push(`of ${spoiled.size} answers from damaged blocks ${found} differ`);
  }
  if (left > 0) problems.push(`${left} sessions and blocks are still kept for others`);
  return problems;
}

function wayProblems(
  { way, longer, meddled, evicted, records }: Seen,
  row: Pick<GateRow, "handOffs" | "blocks" | "reasons" | "migrations">,
): string[] {
  const problems: string[] = [];
  const rungs = [...row.blocks.keys()].filter((rung) => rung !== "" && rung !== way.rung);
  if (rungs.length > 0) problems.push(`blocks came by ${rungs.join(", ")}`);
  if (way.rung !== undefined && row.handOffs < longer / 4)
    problems.push(`only ${row.handOffs} of ${longer} were handed on`);
  if (way.rung !== undefined && way.expects !== "found" && !row.blocks.get(way.rung)) problems.push("no block came");
  if (way.expects === "found" && (meddled === 0 || !row.reasons.get("CORRUPT"))) problems.push("no damage was found");
  if (way.expects === "same" && row.reasons.get("CORRUPT")) problems.push("blocks were damaged on their way");
  if (way.disturbance && row.migrations === 0) problems.push("no answer moved");
  if (evicted === 0 && way.expects === "same") problems.push("no block was evicted");
  // Who was told to come again did, and has an answer.
  const known = new Set(["UNSUPPORTED_FEATURE", "NO_WORKERS", "MODEL_LOADING"]);
  const failed = records.filter(({ outcome, reason }) => outcome === "failed" && !known.has(reason));
  if (failed.length > 0) problems.push(`${failed.length} failed: ${failed[0]!.reason}`);
  return problems;
}

function countBy<Each>(all: readonly Each[], key: (each: Each) => string, count: (each: Each) => number) {
  const counts = new Map<string, number>();
  for (const each of all) counts.set(key(each), (counts.get(key(each)) ?? 0) + count(each));
  return counts;
}
