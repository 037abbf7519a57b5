import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { systemClock } from "#lib/host/system-clock";
import type { Check } from "./check.ts";
import { claimed, expect as hold, seen } from "./failure.ts";
import { printBadge, printFound, printJson, printJunit } from "./report.ts";
import { type Run, runChecks } from "./run-checks.ts";

const check = (name: string, run: () => Promise<void> | void): Check<undefined> => ({
  ...{ name, sentence: "It says so.", of: "Contract.field" },
  run: async () => run(),
});

const KEPT = check("keeps it", () => {});
const BROKEN = check("breaks <it>", () => hold(false, 'it said "no"\u001b[2J & went'));
const HANGS = check("hangs", () => new Promise(() => {}));

function run(checks: readonly Check<undefined>[], more: Partial<Run<undefined>> = {}) {
  const open = () => ({ bench: undefined, close() {} });
  return runChecks({ checks, open, gone: async () => undefined, clock: systemClock, ...more });
}

describe("a run of checks", () => {
  it("tells what was kept, broken, not claimed and not seen", async () => {
    const others = [
      check("has it", () => claimed(false, "it has none")),
      check("is slow", () => seen(false, "too fast")),
    ];
    const founds = await run([KEPT, BROKEN, ...others]);
    expect(founds.map(({ outcome }) => outcome)).toEqual(["passed", "failed", "unclaimed", "unseen"]);
  });

  it("names the check in which a process hangs, and goes on", async () => {
    const founds = await run([HANGS, KEPT], { bounds: { checkMs: 30 } });
    expect(founds).toMatchObject([
      { name: "hangs", outcome: "failed", reason: "it hangs: the check was not over after 30 ms" },
      { outcome: "passed" },
    ]);
  });

  it("is over in its time, whatever hangs", async () => {
    const clock = new FakeClock();
    let isOver = false;
    const asked = run([HANGS, HANGS, KEPT], { clock, bounds: { checkMs: 40, totalMs: 60 } }).finally(() => {
      isOver = true;
    });
    while (!isOver) {
      await setImmediate();
      clock.advance(10);
    }
    const founds = await asked;
    expect(founds.map(({ outcome }) => outcome)).toEqual(["failed", "failed", "failed"]);
    expect(founds[2]?.reason).toBe("not asked: the 60 ms of the run were over");
  });

  it("asks nothing more of a process that died, and says in which check", async () => {
    let asked = 0;
    const founds = await run([KEPT, BROKEN, check("is not asked", () => void asked++)], {
      gone: async () => "refused",
    });
    expect(founds[2]).toMatchObject({
      outcome: "failed",
      reason: 'not asked: the process is gone since the check "breaks <it>" (refused)',
    });
    expect(asked).toBe(0);
  });

  it("does not wait for an end that never comes", async () => {
    const founds = await run([KEPT], { open: () => ({ bench: undefined, close: () => new Promise(() => {}) }) });
    expect(founds).toMatchObject([{ outcome: "passed" }]);
  });
});

describe("a report", () => {
  it("is one line for each check, and a last one that sums up", async () => {
    const founds = await run([KEPT, BROKEN]);
    const report = { contract: "c.v1", target: "here:1", founds };
    expect(founds.map(printFound)).toEqual([
      'passed       keeps it  [Contract.field: "It says so."]',
      'FAILED       breaks <it>: it said "no" [2J & went  [Contract.field: "It says so."]',
    ]);
    expect(printBadge(report)).toBe(
      "[ c.v1 | DOES NOT CONFORM ] here:1: 1 passed, 1 failed, 0 not claimed, 0 not seen",
    );
    expect(JSON.parse(printJson([report]))).toMatchObject([{ contract: "c.v1", passed: 1, failed: 1 }]);
    const xml = printJunit([report]);
    expect(xml).toContain('<testsuite name="c.v1 at here:1" tests="2" failures="1" skipped="0"');
    expect(xml).toContain('name="breaks &lt;it&gt;"');
    expect(xml).toContain('<failure message="it said &quot;no&quot; [2J &amp; went">');
  });
});
