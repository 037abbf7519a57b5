import type { Candidate, Explanation, Flip, Outcome, Term } from "#gen/stator/router/v1/router_pb";
import { printId } from "#lib/base/bytes";
import { printCost } from "#lib/routing/decision";
import type { Paint } from "./screen.ts";
import { type Column, printTable } from "./table.ts";

/** Candidates that are shown; of more, those that cost least and the chosen one. */
const SHOWN = 16;

/** How a decision and its workers are called, where that is not by id. */
export interface ExplanationNames {
  /** The request. */
  readonly request?: string;
  /** A worker. */
  readonly worker: (id: bigint) => string;
}

const BY_ID: ExplanationNames = { worker: printId };

/** One decision for people: what was chosen, what it was chosen among, and what would have changed it. */
export function printExplanation(explanation: Explanation, paint: Paint, names = BY_ID): string {
  const { requestId, agoMs, promptTokens, decision, why, rule, missing } = explanation;
  const usual = requestId === "" ? "A prompt that comes now" : `Request ${requestId}, ${printAge(agoMs)} ago`;
  const lines = [
    `${names.request ?? usual}: ${promptTokens} tokens${LEG_WORDS[explanation.leg] ?? ""}`,
    paint.bold(decision),
    ...(why === "" ? [] : [paint.yellow(`${rule} is in force: ${why}`)]),
    "",
    printCandidates(explanation, paint, names),
    "",
    ...printBypass(explanation),
    ...printOutcome(explanation),
    ...explanation.flips.map((flip) => printFlip(flip, explanation, names)),
    ...missing.map(({ need, candidates }) => paint.yellow(`Not known: the ${need} of ${candidates} of them.`)),
  ];
  return lines.join("\n");
}

/** What of the answer was placed, where that is not all of it. */
const LEG_WORDS: Readonly<Partial<Record<string, string>>> = {
  prefill: ", to be computed for an answer elsewhere",
  decode: ", computed elsewhere: where the answer goes on",
};

/** The two ways of a prompt, such as: Computed where its answer is made, by priced. whole 12 ms: prefill 12; split 14 ms: wait 14. */
function printBypass({ bypass }: Explanation): string[] {
  if (!bypass) return [];
  const { rule, isBypassed, isVetoed, terms } = bypass;
  if (isBypassed && terms.length === 0)
    return ["Computed where its answer is made: it has no complete block to hand over."];
  const veto = isVetoed ? ", though it said otherwise: the blocks for answers are nearly all in use" : "";
  const way = isBypassed ? "Computed where its answer is made" : "Computed apart from its answer";
  const ways = ["whole", "split"].map((name) => printWay(name, terms)).filter((text) => text !== "");
  return [`${way}, by ${rule}${veto}.${ways.length > 0 ? ` ${ways.join("; ")}.` : ""}`];
}

function printWay(way: string, terms: readonly Term[]): string {
  const own = terms.filter(({ name }) => name.startsWith(`${way}: `));
  const sum = own.reduce((total, { value }) => total + value, 0);
  const parts = own
    .filter(({ value }) => value !== 0)
    .map(({ name, value }) => `${name.slice(way.length + 2)} ${shown(value)}`);
  return own.length === 0 ? "" : `${way} ${shown(sum)} ms: ${parts.join(", ") || "nothing"}`;
}

/** A candidate and its place. */
type Row = readonly [at: number, candidate: Candidate];

function printCandidates(explanation: Explanation, paint: Paint, names: ExplanationNames): string {
  const { candidates, chosen, candidateCount, unit } = explanation;
  const rows: Row[] = [...candidates.entries()].filter(([at]) => at < SHOWN - 1 || at === chosen);
  const shownTerms = candidates.flatMap((each) => each.terms.filter(({ value }) => value !== 0));
  const terms = [...new Set(shownTerms.map(({ name }) => name))];
  const isWeighed = candidates.some(({ preferenceFactor }) => preferenceFactor !== 1);
  const hasRanks = candidates.some(({ rank }) => rank > 0);
  const columns: Column<Row>[] = [
    ["", ([at]) => (at === chosen ? "->" : " ")],
    ["WORKER", ([, { worker, rank }]) => names.worker(worker) + (hasRanks ? `/${rank}` : "")],
    [`COST${unit === "none" ? "" : `, ${unit}`}`, ([, { cost }]) => shown(cost)],
    ...terms.map((name): Column<Row> => [name.toUpperCase(), ([, candidate]) => printTerm(candidate, name)]),
    ...(isWeighed ? [["PREFERRED", ([, { preferenceFactor }]) => `x ${shown(preferenceFactor)}`] as Column<Row>] : []),
    ["CACHED", ([, candidate]) => printCached(candidate)],
    ["TO COMPUTE", ([, { prefillTokens }]) => prefillTokens],
    ["OPEN", ([, { openRequests }]) => openRequests],
  ];
  const [head = "", ...body] = printTable(columns, rows).split("\n");
  const painted = body.map((line, at) => (rows[at]?.[0] === chosen ? paint.green(line) : line));
  const more = candidateCount - rows.length;
  return [head, ...painted, ...(more > 0 ? [paint.dim(`and ${more} more that cost no less`)] : [])].join("\n");
}

/** In brackets when it is no part of the cost. */
function printTerm({ terms }: Candidate, name: string): string {
  const term = terms.find((each) => each.name === name);
  if (!term) return "";
  return term.counts ? shown(term.value) : `(${shown(term.value)})`;
}

/** Tokens in each tier, those that are not on the device behind a plus. */
function printCached({ prefixesKnown, deviceTokens, hostTokens, diskTokens, externalTokens }: Candidate): string {
  if (!prefixesKnown) return "?";
  const more = [
    [hostTokens, "host"],
    [diskTokens, "disk"],
    [externalTokens, "external"],
  ] as const;
  return [deviceTokens, ...more.filter(([tokens]) => tokens > 0).map((each) => each.join(" "))].join(" + ");
}

function printOutcome({ predicted, seen }: Explanation): string[] {
  const [foreseen, came] = [outcome(predicted), outcome(seen)];
  if (foreseen === "") return came === "" ? [] : [`Seen: ${came}.`];
  return [`Foreseen: ${foreseen}.${came === "" ? "" : ` Seen: ${came}.`}`];
}

function outcome(given: Outcome | undefined): string {
  const { firstTokenMs, cachedTokens } = given ?? {};
  const parts = [
    ...(firstTokenMs === undefined ? [] : [`the first token after ${shown(firstTokenMs)} ms`]),
    ...(cachedTokens === undefined ? [] : [`${cachedTokens} tokens cached`]),
  ];
  return parts.join(", ");
}

/** Such as: With 240 fewer cached tokens at A it would have gone to B. */
function printFlip(flip: Flip, { candidates, requestId }: Explanation, names: ExplanationNames): string {
  const { what, candidate, by, chooses } = flip;
  const name = (at: number) => names.worker(candidates[at]?.worker ?? 0n);
  const amount = shown(Math.abs(by));
  const thing = amount === "1" ? what.replace(/s\b/, "") : what;
  const would = requestId === "" ? "it would go" : "it would have gone";
  return `With ${amount} ${by < 0 ? "fewer" : "more"} ${thing} at ${name(candidate)} ${would} to ${name(chooses)}.`;
}

function printAge(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

function shown(value: number): string {
  if (Number.isNaN(value)) return "";
  return Number.isFinite(value) ? printCost(value) : "left out";
}
