import { createReadStream, existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { printId } from "#lib/base/bytes";
import { SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import type { CapturedDecision } from "#lib/routing/capture/captured-decision";
import { type Redecided, redecide } from "#lib/routing/capture/redecide";
import { printCost } from "#lib/routing/decision";
import { readRuleConstants, routingDefaults } from "#lib/routing/options";
import { COLUMNS as CANDIDATE_COLUMNS } from "#lib/routing/rules/candidates";
import type { RuleConstants } from "#lib/routing/rules/constants";
import type { Rule } from "#lib/routing/rules/rule";
import { RULES, type RuleName } from "#lib/routing/rules/table";
import { readAbout } from "../capture/read-about.ts";
import { type CapturedRow, parseDecision } from "../capture/row.ts";
import type { CommandContext } from "../command.ts";
import { type Column, printTable } from "../table.ts";

/** What decisions are made with once more. */
export interface ReplayDecisionsOptions {
  /** A trace of `stator capture --decisions`. */
  readonly path: string;
  /** The rule that decides; undefined: the one that did. */
  readonly rule: RuleName | undefined;
}

/** A row whose decision is another one now. */
export interface ChangedRow {
  /** Its line in the file, from 1. */
  readonly line: number;
  /** When it came, in ms since the capture began. */
  readonly timestamp: number;
  /** Worker and rank then. */
  readonly before: string;
  /** Worker and rank now. */
  readonly now: string;
  /** The term that speaks most for the new one. */
  readonly term: string;
  /** What it is for the one of then and the one of now. */
  readonly values: readonly [before: number, now: number];
}

/** What became of the decisions of a trace. */
export interface DecisionsReport {
  /** Lines of the trace. */
  readonly rows: number;
  /** Of those, lines with a decision. */
  readonly decisions: number;
  /** Of those, decisions of a session: no rule was asked. */
  readonly held: number;
  /** Decisions that are the same again. */
  readonly same: number;
  /** Decisions that are another one, by the term that speaks most for it. */
  readonly terms: Readonly<Record<string, number>>;
  /** The first of those rows. */
  readonly changed: readonly ChangedRow[];
}

/** Place of the column of ranks. */
const RANK = CANDIDATE_COLUMNS.indexOf("rank");
/** Rows that are named. */
const MOST_NAMED = 20;
/** Of draws that the rule of then did not make. */
const SEED = 1n;

/**
 * Makes each decision of a trace once more from what it was made from: nothing is simulated. By the same rule every decision
 * is the same again; another rule says what it would have chosen there. Throws FILE_NOT_FOUND, BAD_CONFIG where there are no
 * decisions, and CORRUPT.
 */
export async function replayDecisions({ path, rule }: ReplayDecisionsOptions): Promise<DecisionsReport> {
  const tally = new Tally(readConstants(path), rule);
  let line = 0;
  for await (const text of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
    line++;
    if (text !== "") tally.add(parseRow(text, line), line);
  }
  const { report } = tally;
  if (report.decisions === 0) {
    const detail = `${path} has no decisions: they are captured with \`stator capture --decisions\`.`;
    throw new StatorError("BAD_CONFIG", { detail });
  }
  return report;
}

/** The same as a command: prints the report; the exit code is 1 where a decision is not the same by its own rule. */
export async function runReplayDecisions(
  options: ReplayDecisionsOptions,
  { values, print }: Pick<CommandContext, "values" | "print">,
): Promise<number> {
  const report = await replayDecisions(options);
  print(values.json ? JSON.stringify(report, undefined, 2) : printReport(report));
  return options.rule === undefined && report.same < report.decisions ? 1 : 0;
}

class Tally {
  readonly #constants: RuleConstants;
  readonly #asked: RuleName | undefined;
  readonly #rules = new Map<RuleName, Rule>();
  readonly #chance = new SeededChance(SEED);
  readonly #terms = new Map<string, number>();
  readonly #changed: ChangedRow[] = [];
  #rows = 0;
  #decisions = 0;
  #held = 0;
  #same = 0;

  constructor(constants: RuleConstants, asked: RuleName | undefined) {
    this.#constants = constants;
    this.#asked = asked;
  }

  get report(): DecisionsReport {
    const terms = Object.fromEntries([...this.#terms].sort(([, left], [, right]) => right - left));
    const [rows, decisions, held, same] = [this.#rows, this.#decisions, this.#held, this.#same];
    return { rows, decisions, held, same, terms, changed: this.#changed };
  }

  add(row: CapturedRow, line: number): void {
    this.#rows++;
    const decision = parseDecision(row);
    if (!decision) return;
    this.#decisions++;
    if (decision.isHeld) this.#held++;
    const now = redecide(decision, { rule: this.#ruleOf(decision), chance: this.#chance });
    if (now.because) this.#change(row, line, { decision, now });
    else this.#same++;
  }

  #change(
    { timestamp }: CapturedRow,
    line: number,
    { decision, now }: { readonly decision: CapturedDecision; readonly now: Redecided },
  ): void {
    const { term = "", before = 0, now: after = 0 } = { ...now.because };
    this.#terms.set(term, (this.#terms.get(term) ?? 0) + 1);
    if (this.#changed.length >= MOST_NAMED) return;
    const places = { before: nameOf(decision, now.before), now: nameOf(decision, now.now) };
    this.#changed.push({ line, timestamp, ...places, term, values: [before, after] });
  }

  #ruleOf({ rule }: CapturedDecision): Rule {
    const name = this.#asked ?? rule;
    const known = this.#rules.get(name) ?? RULES[name].create(this.#constants);
    this.#rules.set(name, known);
    return known;
  }
}

/** A candidate by its worker, and its rank where that is not the first. */
function nameOf({ workers, columns }: CapturedDecision, at: number): string {
  const rank = columns[RANK * workers.length + at] ?? 0;
  return printId(workers[at] ?? 0n) + (rank > 0 ? `/${rank}` : "");
}

/** The numbers of the rules as they were; as the options have them where nothing stands beside the trace. */
function readConstants(path: string): RuleConstants {
  if (!existsSync(path)) throw new StatorError("FILE_NOT_FOUND", { path, hint: "Name a file of `stator capture`." });
  return { ...readRuleConstants(routingDefaults()), ...readAbout(path)?.constants };
}

function parseRow(text: string, line: number): CapturedRow {
  try {
    const row = JSON.parse(text) as CapturedRow;
    return row.stator === undefined ? { ...row, stator: { model: "", worker: "", rank: 0, rule: "" } } : row;
  } catch (error) {
    throw new StatorError("CORRUPT", { what: `Line ${line} of the trace`, detail: "it is not JSON" }, { cause: error });
  }
}

const COLUMNS: readonly Column<ChangedRow>[] = [
  ["LINE", ({ line }) => line],
  ["AT, ms", ({ timestamp }) => Math.round(timestamp)],
  ["THEN", ({ before }) => before],
  ["NOW", ({ now }) => now],
  ["BECAUSE OF", ({ term }) => term],
  ["THERE", ({ values }) => printCost(values[0])],
  ["HERE", ({ values }) => printCost(values[1])],
];

function printReport({ rows, decisions, held, same, terms, changed }: DecisionsReport): string {
  const other = decisions - same;
  const head = `${rows} rows, ${decisions} decisions: ${same} are the same, ${other} are another one; ${held} were made by sessions.`;
  if (other === 0) return head;
  const reasons = Object.entries(terms).map(([term, count]) => `  ${count} because of: ${term}`);
  const more = other - changed.length;
  return [head, ...reasons, "", printTable(COLUMNS, changed), ...(more > 0 ? [`and ${more} more`] : [])].join("\n");
}
