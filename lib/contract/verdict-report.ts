import { type Difference, isBreaking, type Weight, weigh } from "./difference.ts";
import { kindOf } from "./kinds/kinds.ts";
import { plural } from "./plural.ts";
import { AUDIENCES, type Audience, PARTIES, type Party, type Verdict } from "./verdict.ts";

/** Whom a party is called for people. */
const PARTY_NAMES: Readonly<Record<Party, string>> = {
  oldServers: "old servers",
  newServers: "new servers",
  json: "JSON users",
  stubs: "stub users",
};

const HEADINGS: Readonly<Record<Weight, string>> = {
  breaks: "BREAKS",
  refused: "REFUSED",
  careful: "CARE",
  safe: "SAFE",
};

/** How many differences weigh how much. */
export type Weights = Readonly<Record<Weight, number>>;

/** Counts differences by what they are for these audiences. */
export function countWeights(differences: readonly Difference[], audiences: readonly Audience[]): Weights {
  const counts = { breaks: 0, refused: 0, careful: 0, safe: 0 };
  for (const difference of differences) counts[weigh(difference, audiences)]++;
  return counts;
}

/**
 * For people: what breaks, what is refused, what asks for care, each with its reasons and what to do, and a line that counts
 * and says who is hurt. Additions that ask for care alone are counted, and left to the changelog.
 */
export function printVerdicts(differences: readonly Difference[], audiences: readonly Audience[] = AUDIENCES): string {
  const order: readonly Weight[] = ["breaks", "refused", "careful"];
  const parts = order.flatMap((weight) =>
    differences
      .filter((difference) => weigh(difference, audiences) === weight)
      .filter(({ kind }) => weight !== "careful" || kindOf(kind).section !== "added")
      .map((difference) => printDifference(difference, HEADINGS[weight])),
  );
  return [...parts, printSummary(differences, audiences)].join("\n\n");
}

/** What breaks or is refused alone, for a gate that says why it is shut. Empty where nothing does. */
export function printBreaks(differences: readonly Difference[], audiences: readonly Audience[]): string {
  return differences
    .filter((difference) => isBreaking(difference, audiences))
    .map((difference) => printDifference(difference, HEADINGS[weigh(difference, audiences)]))
    .join("\n\n");
}

function printDifference({ element, file, what, effects, todo, rules }: Difference, heading: string): string {
  const width = Math.max(...Object.values(PARTY_NAMES).map((name) => name.length));
  const rows = PARTIES.map((party) => {
    const [verdict, why] = effects[party];
    return `    ${PARTY_NAMES[party].padEnd(width)}  ${VERDICT_WORDS[verdict]}${why === "" ? "" : `: ${why}`}`;
  });
  return [
    `${heading}  ${element}${file === "" || file === element ? "" : `  (${file})`}`,
    `  ${what}`,
    ...rows,
    ...(todo === "" ? [] : [`  What to do: ${todo}`]),
    ...(rules.length === 0 || heading === HEADINGS.careful ? [] : [`  buf: ${rules.join(", ")}`]),
  ].join("\n");
}

const VERDICT_WORDS: Readonly<Record<Verdict, string>> = { breaks: "break", careful: "care", safe: "fine" };

function printSummary(differences: readonly Difference[], audiences: readonly Audience[]): string {
  if (differences.length === 0) return "Compatible: nothing is different.";
  const { breaks, refused, careful, safe } = countWeights(differences, audiences);
  const verbs = [
    `${breaks} break${breaks === 1 ? "s" : ""}`,
    `${careful} ask${careful === 1 ? "s" : ""} for care`,
  ] as const;
  const counts = [verbs[0], `${refused} refused by buf's rules`, verbs[1], `${safe} fine`];
  const hurt = PARTIES.filter((party) => differences.some(({ effects }) => effects[party][0] === "breaks"));
  const whom = hurt.length === 0 ? "" : ` Broken are ${hurt.map((party) => PARTY_NAMES[party]).join(", ")}.`;
  const verdict = breaks + refused === 0 ? "Compatible" : "Breaking";
  const limits = audiences.length === AUDIENCES.length ? "" : `, counting ${audiences.join(" and ")} alone`;
  return `${verdict}${limits}: ${plural(differences.length, "difference")}, ${counts.join(", ")}.${whom}`;
}

/** The same for programs. */
export function verdictsAsJson(differences: readonly Difference[], audiences: readonly Audience[]): object {
  return {
    compatible: !differences.some((difference) => isBreaking(difference, audiences)),
    audiences,
    counts: countWeights(differences, audiences),
    differences: differences.map((difference) => differenceAsJson(difference, audiences)),
  };
}

function differenceAsJson(difference: Difference, audiences: readonly Audience[]): object {
  const { kind, element, file, package: packageName, what, effects, todo, rules } = difference;
  const told = PARTIES.map((party) => [party, { verdict: effects[party][0], why: effects[party][1] }] as const);
  return {
    ...{ kind, element, file, package: packageName, weight: weigh(difference, audiences), what, todo },
    effects: Object.fromEntries(told),
    bufRules: rules,
  };
}
