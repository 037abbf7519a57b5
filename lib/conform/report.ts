import type { Found, Outcome } from "./check.ts";

/** A run as it is told. */
export interface Report {
  /** The contract, such as openengine.v1. */
  readonly contract: string;
  /** Who was asked, as host:port. */
  readonly target: string;
  /** In the order in which they were asked. */
  readonly founds: readonly Found[];
}

const WORDS: Readonly<Record<Outcome, string>> = {
  passed: "passed",
  failed: "FAILED",
  unclaimed: "not claimed",
  unseen: "not seen",
};

/** One line: how a check ended and why, and the sentence of the contract with its place. */
export function printFound({ outcome, name, reason, sentence, of }: Found): string {
  const why = reason === undefined ? "" : `: ${oneLine(reason)}`;
  return `${WORDS[outcome].padEnd(13)}${name}${why}  [${of}: "${sentence}"]`;
}

/** The last line: what was kept of what was asked, by whom, of which contract. */
export function printBadge({ contract, target, founds }: Report): string {
  const { passed, failed, unclaimed, unseen } = countOutcomes(founds);
  const verdict = failed === 0 ? "conforms" : "DOES NOT CONFORM";
  const counts = `${passed} passed, ${failed} failed, ${unclaimed} not claimed, ${unseen} not seen`;
  return `[ ${contract} | ${verdict} ] ${target}: ${counts}`;
}

/** How many checks ended in each way. */
export function countOutcomes(founds: readonly Found[]): Record<Outcome, number> {
  const counts: Record<Outcome, number> = { passed: 0, failed: 0, unclaimed: 0, unseen: 0 };
  for (const { outcome } of founds) counts[outcome]++;
  return counts;
}

/** Reports for programs, as JSON: a list, with one for each contract. */
export function printJson(reports: readonly Report[]): string {
  const told = reports.map(({ contract, target, founds }) => ({
    ...{ contract, target, ...countOutcomes(founds), checks: founds },
  }));
  return JSON.stringify(told, undefined, 2);
}

/** Reports as JUnit's XML, a test suite for each. What is not claimed or not seen is skipped there. */
export function printJunit(reports: readonly Report[]): string {
  const suites = reports.map(printSuite);
  return ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>", ...suites, "</testsuites>"].join("\n");
}

function printSuite({ contract, target, founds }: Report): string {
  const { failed, unclaimed, unseen } = countOutcomes(founds);
  const time = seconds(founds.reduce((sum, { tookMs }) => sum + tookMs, 0));
  const counts = `tests="${founds.length}" failures="${failed}" skipped="${unclaimed + unseen}" time="${time}"`;
  const cases = founds.map((found) => printCase(contract, found));
  const head = `  <testsuite name=${quote(`${contract} at ${target}`)} ${counts}>`;
  return [head, ...cases, "  </testsuite>"].join("\n");
}

function printCase(contract: string, { name, tookMs, outcome, reason = "", of, sentence }: Found): string {
  const open = `    <testcase classname=${quote(contract)} name=${quote(name)} time="${seconds(tookMs)}"`;
  if (outcome === "passed") return `${open}/>`;
  const message = quote(outcome === "failed" ? reason : `${WORDS[outcome]}: ${reason}`);
  const tag = outcome === "failed" ? "failure" : "skipped";
  return `${open}>\n      <${tag} message=${message}>${xmlText(`${of}: "${sentence}"`)}</${tag}>\n    </testcase>`;
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(3);
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const UNSAYABLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

/** Text of XML. What XML cannot say, such as a control character in a stranger's sentence, becomes a question mark. */
function xmlText(text: string): string {
  return text.replace(UNSAYABLE, "?").replace(/[&<>"]/g, (each) => ENTITIES[each]!);
}

function quote(text: string): string {
  return `"${xmlText(oneLine(text))}"`;
}

/** A stranger's words neither break a line nor move the cursor of who reads them. */
function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ").slice(0, 500);
}
