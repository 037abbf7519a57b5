import { readFileSync } from "node:fs";

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly testResults: readonly { readonly assertionResults: readonly TestResult[] }[];
}

interface TestResult {
  readonly status: string;
  readonly fullName: string;
}

/** One line with the counts of a vitest JSON report, before it one line per skipped test, so that no skip goes unseen. */
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
  return [...lines, skipped.length === 0 ? counts : `${counts}, ${skipped.length} skipped`].join("\n");
}
