import { readFileSync } from "node:fs";
import path from "node:path";

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly testResults: readonly FileResult[];
}

interface FileResult {
  /** Path of the file. */
  readonly name: string;
  /** When its first test began and its last ended, in ms. */
  readonly startTime: number;
  readonly endTime: number;
  readonly assertionResults: readonly TestResult[];
}

interface TestResult {
  readonly status: string;
  readonly fullName: string;
}

/** Files whose time is told: what keeps `npm test` short begins with them. */
const SLOWEST = 12;

/**
 * One line with the counts of a vitest JSON report, before it one line per skipped test, so that no skip goes unseen, and one
 * of the files that took longest.
 */
export function summarize(reportFile: string): string {
  let report: Report;
  try {
    report = JSON.parse(readFileSync(reportFile, "utf8")) as Report;
  } catch {
    return "0 passed, 1 failed (vitest wrote no report)";
  }
  const tests = report.testResults.flatMap((file) => file.assertionResults);
  const skipped = tests.filter((test) => test.status === "skipped" || test.status === "pending");
  const lines = skipped.map((test) => `skipped: ${test.fullName}`);
  const counts = `${report.numPassedTests} passed, ${report.numFailedTests} failed`;
  lines.push(`slowest: ${slowestOf(report.testResults).join(", ")}`);
  return [...lines, skipped.length === 0 ? counts : `${counts}, ${skipped.length} skipped`].join("\n");
}

function slowestOf(files: readonly FileResult[]): string[] {
  const times = files.map(({ name, startTime, endTime }) => ({ name, seconds: (endTime - startTime) / 1000 }));
  const longest = times.sort((one, other) => other.seconds - one.seconds).slice(0, SLOWEST);
  return longest.map(({ name, seconds }) => `${path.basename(name, ".test.ts")} ${seconds.toFixed(0)} s`);
}
