import type { OptionBase } from "#lib/base/option";
import type { WorkerRole } from "#lib/simulation/replay/member";

/** How the workers of a cluster share the work: how many there are of each role. */
export interface Split {
  /** They do all of an answer. */
  readonly aggregated: number;
  /** They compute prompts. */
  readonly prefill: number;
  /** They make answers. */
  readonly decode: number;
}

/** What is said for every split of all workers. */
export const ALL = "all";
const MOST = 1_024;

/** `--splits`: each is a row of its own, for every rule. */
export function splitsOption(): OptionBase<readonly (Split | typeof ALL)[]> {
  return {
    initial: [],
    several: true,
    placeholder: "P+D,P+D",
    doc: "Clusters to replay on, commas between them, each a row: 7+1 has seven workers for prompts and one for answers, 8 has eight for both; all is every split of --workers.",
    parse(given) {
      const splits = given.split(",").map((each) => parseSplit(each.trim()));
      if (splits.every((split) => split !== undefined)) return splits;
      return { expected: "all, or numbers of workers such as 8,7+1,6+2" };
    },
    print: (splits) => splits.map((split) => (split === ALL ? ALL : nameOfSplit(split))).join(","),
    schema: { type: "string" },
  };
}

function parseSplit(given: string): Split | typeof ALL | undefined {
  if (given === ALL) return ALL;
  const counts = /^\d{1,4}(\+\d{1,4})?$/.test(given) ? given.split("+").map(Number) : [];
  const [first = 0, second] = counts;
  if (counts.length === 0 || counts.some((count) => count < 1 || count > MOST)) return undefined;
  if (second === undefined) return { aggregated: first, prefill: 0, decode: 0 };
  return { aggregated: 0, prefill: first, decode: second };
}

/** As in the table: 8, 7+1, or 7+1+2 where two of them do all of an answer. */
export function nameOfSplit({ aggregated, prefill, decode }: Split): string {
  const counts = prefill + decode === 0 ? [aggregated] : [prefill, decode, ...(aggregated > 0 ? [aggregated] : [])];
  return counts.join("+");
}

/** Every split of so many workers, all of them aggregated first. */
export function splitsOf(workers: number): Split[] {
  const split = (_: unknown, at: number): Split => ({ aggregated: 0, prefill: workers - 1 - at, decode: at + 1 });
  return [{ aggregated: workers, prefill: 0, decode: 0 }, ...Array.from({ length: workers - 1 }, split)];
}

/** Whether anybody of it does a part of an answer alone. */
export function isSplit({ prefill, decode }: Split): boolean {
  return prefill + decode > 0;
}

/** Workers of a split. */
export function workersOf({ aggregated, prefill, decode }: Split): number {
  return aggregated + prefill + decode;
}

/** The role of each worker by its place: those for prompts first, then those for answers, then those for both. */
export function rolesOf({ aggregated, prefill, decode }: Split): readonly WorkerRole[] {
  const some = (count: number, role: WorkerRole): WorkerRole[] => Array.from({ length: count }, () => role);
  return [...some(prefill, "prefill"), ...some(decode, "decode"), ...some(aggregated, "aggregated")];
}
