import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Browser, browserMissing, openBrowser } from "../support/browser.ts";
import { startProgram } from "../support/program.ts";
import { openTerminal, terminalsMissing } from "../support/terminal.ts";
import { drawTrace, writeTrace } from "../support/traces.ts";

const folder = mkdtempSync(path.join(tmpdir(), "stator-replay-"));
const TRACE = path.join(folder, "trace.jsonl");
const LONG = path.join(folder, "long.jsonl");
const SMALL = ["--workers", "3", "--blocks", "200", "--block-tokens", "256"];

beforeAll(() => {
  writeTrace(TRACE, drawTrace(400));
  writeTrace(LONG, drawTrace(20_000));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function replay(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const program = startProgram(["replay", ...args]);
  const { code } = await program.ended;
  return { code, out: program.stdout, err: program.stderr };
}

describe("stator replay", () => {
  it("prints a row for each rule, and one for what an endless cache would have", async () => {
    const { code, out } = await replay(TRACE, ...SMALL, "--rule", "ttft,round-robin");
    expect(code).toBe(0);
    expect(out).toMatch(
      /^400 requests of trace\.jsonl at 1 times their speed on 3 workers of 200 blocks of 256 tokens/,
    );
    const rows = new Map(
      [...out.matchAll(/^(ttft|round-robin|one endless cache) +([\d.]+) %/gm)].map(([, name, hits]) => [
        name,
        Number(hits),
      ]),
    );
    expect([...rows.keys()]).toEqual(["ttft", "round-robin", "one endless cache"]);
    expect(rows.get("ttft")).toBeGreaterThan(rows.get("round-robin")!);
    expect(rows.get("one endless cache")).toBeGreaterThanOrEqual(rows.get("ttft")!);
  });

  it("prints the same bytes as JSON each time, by any number of threads, and its own times only when asked", async () => {
    const args = [TRACE, ...SMALL, "--rule", "ttft,random,power-of-two", "--json", "--explain", "7"];
    const [one, two, other, timed] = await Promise.all([
      replay(...args, "--threads", "1"),
      replay(...args, "--threads", "3"),
      replay(...args, "--seed", "2"),
      replay(...args, "--timings"),
    ]);
    expect(one).toMatchObject({ code: 0, err: "" });
    expect(two.out).toBe(one.out);
    expect(other.out).not.toBe(one.out);
    const { rules } = JSON.parse(one.out) as { rules: { requests: number; decisions: { row: number }[] }[] };
    expect(rules.map(({ requests }) => requests)).toEqual([400, 400, 400]);
    expect(rules[0]!.decisions).toMatchObject([
      { row: 7, rule: "ttft", explanation: { promptTokens: expect.anything() } },
    ]);
    expect(one.out).not.toMatch(/wallMs|cpuMs/);
    expect(timed.out).toMatch(/wallMs/);
  });

  it("explains a row, and what two rules treat most differently", async () => {
    const { code, out } = await replay(TRACE, ...SMALL, "--rule", "ttft,random", "--explain", "9", "--compare");
    expect(code).toBe(0);
    expect(out).toMatch(/^Row 9 with ttft: \d+ tokens\nttft, .* of 3\n/m);
    expect(out).toMatch(/^Row 9 with random: /m);
    expect(out).toContain("ttft and random treat these requests most differently:");
    expect(
      out.match(
        /^Row \d+, after .* ms with ttft, .* ms with random\n {2}ttft +worker \d: .*\n {2}random +worker \d: /gm,
      ),
    ).toHaveLength(5);
  });

  it("reads a trace that is gzipped, and lets requests come as ends of others let them", async () => {
    const packed = path.join(folder, "trace.gz");
    writeFileSync(packed, gzipSync(readFileSync(TRACE)));
    const [plain, closed, sessions] = await Promise.all([
      replay(TRACE, ...SMALL, "--json"),
      replay(packed, ...SMALL, "--concurrency", "4", "--json"),
      replay(packed, ...SMALL, "--sessions", "second-block"),
    ]);
    const found = [plain, closed].map(({ out }) => JSON.parse(out) as { load: object; rules: { requests: number }[] });
    expect(found.map(({ load }) => load)).toEqual([
      { kind: "open", sessions: "rows" },
      { kind: "closed", concurrency: 4, sessions: "rows" },
    ]);
    expect(found.map(({ rules }) => rules[0]!.requests)).toEqual([400, 400]);
    expect(found[1]!.rules).not.toEqual(found[0]!.rules);
    expect(sessions.out).toMatch(/^400 requests of trace\.gz at 1 times their speed and turn by turn on 3 workers/);
  });

  it("makes traffic up in place of a trace", async () => {
    const traffic = "groups=4,prompts-per-group=5,turns=3,delay-ms=10";
    const { code, out } = await replay("--synthetic", traffic, "--sessions", "rows", "--like-reference");
    expect(code).toBe(0);
    expect(out).toMatch(/^60 requests of made-up traffic at 1 times .* and engines like the reference's, seed 1/);
  });

  it("makes the decisions of a capture once more, and simulates nothing", async () => {
    const decision = {
      ...{ block_tokens: 16, turn: 0, answer_tokens: 10, workers: ["01", "02"], times_of: [0, 0], chosen: 0 },
      columns: { timed: [1, 1], deviceTokens: [96, 0], openRequests: [2, 1] },
      times: [{ prefillTokenMs: 1, passTokens: 1_000 }],
    };
    const stator = { model: "m", worker: "01", rank: 0, rule: "ttft", decision };
    const capture = path.join(folder, "capture.jsonl");
    writeFileSync(
      capture,
      JSON.stringify({ timestamp: 5, input_length: 100, output_length: 1, hash_ids: [], priority: 0, stator }),
    );
    const [same, other] = await Promise.all([
      replay(capture, "--router-only"),
      replay(capture, "--router-only", "--rule", "least-request", "--json"),
    ]);
    expect(same).toMatchObject({ code: 0, out: expect.stringContaining("1 decisions: 1 are the same") });
    expect(other.code).toBe(0);
    expect(JSON.parse(other.out)).toMatchObject({ decisions: 1, same: 0 });
  });

  it("tunes a number over seeds", async () => {
    const { code, out } = await replay(
      TRACE,
      ...SMALL,
      "--rule",
      "dynamo",
      "--tune",
      "temperature=0,8",
      "--seeds",
      "2",
    );
    expect(code).toBe(0);
    expect(out).toMatch(
      /^dynamo, temperature +TTFT +OF SEEDS +BESIDE BEST\n0 .*\n8 .*\nOver 2 seeds one value differs by up to /m,
    );
    expect(out).toMatch(/ best$/m);
  });

  it("says why requests were refused, and who never got a worker", async () => {
    const [lost, none, refused] = await Promise.all([
      replay(TRACE, "--workers", "1", "--block-tokens", "256", "--blocks", "200", "--fail", "0@5s"),
      replay(TRACE, ...SMALL, "--rule", "direct,random"),
      replay(TRACE, ...SMALL, "--blocks", "6"),
    ]);
    expect(lost.out).toMatch(/ttft refused \d+, such as: No worker can take a request/);
    expect(none.out).toMatch(/^direct( +-){10} +400 /m);
    expect(none.out).toMatch(/^one endless cache +[\d.]+ %/m);
    expect(refused.out).toMatch(/ttft refused \d+, such as: /);
  });

  it("prints what is there so far on Ctrl-C, and says that it is not all", async () => {
    const program = startProgram(["replay", LONG, ...SMALL]);
    await program.until(/Times in ms/);
    program.signal("SIGINT");
    const { code } = await program.ended;
    expect(code).toBe(1);
    expect(program.stdout).toMatch(/^ttft, incomplete: \d+ of 20000 |Stopped before any request had ended/m);
  });

  it.each([
    [["--rule", "tfft"], /--rule: expected rules of ttft, dynamo, .*, such as ttft/],
    [["--explain", "400"], /--explain: the trace has rows 0 to 399/],
    [["out.json"], /Name one trace/],
    [["--html", "/nowhere/page.html"], /--html: \/nowhere\/page\.html cannot be written: ENOENT/],
    [["--trace-block-tokens", "256"], /Row 1 of the trace has a wrong hash_ids: \d+ tokens are \d+ blocks of 256/],
  ])("refuses %j in one sentence", async (args, said) => {
    const { code, err } = await replay(TRACE, ...SMALL, ...args);
    expect(code).toBe(2);
    expect(err).toMatch(said);
    expect(err.trim().split("\n")).toHaveLength(1);
  });

  it("says what is wrong with a trace, and where, in one sentence", async () => {
    const wrong = path.join(folder, "wrong.jsonl");
    writeFileSync(wrong, '{"timestamp": 1, "input_length": "1", "output_length": 1, "hash_ids": [1]}');
    // It says not when it comes: that is found on the way, by a thread.
    const late = path.join(folder, "late.jsonl");
    writeFileSync(late, '{"input_length": 1, "output_length": 1, "hash_ids": [1]}');
    const [missing, bad, timeless] = await Promise.all(
      [path.join(folder, "none"), wrong, late].map((each) => replay(each)),
    );
    expect(missing).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^stator replay: There is no file .*none\. .*\n$/),
    });
    expect(bad).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^stator replay: Row 1 of .* wrong input_length: .*\n$/),
    });
    expect(timeless).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^stator replay: Row 1 .* no timestamp, .*\n$/),
    });
  });
});

describe.skipIf(terminalsMissing)(`a replay in a terminal${terminalsMissing ? ` (${terminalsMissing})` : ""}`, () => {
  it("shows how far it is and how long it takes, and leaves nothing of that behind", async () => {
    const terminal = openTerminal(["replay", LONG, ...SMALL], 120);
    await terminal.until(/replaying █*░* \d+ %, \d+ (s|min) left/);
    terminal.type("\x03");
    await terminal.until(/one endless cache/);
    expect(terminal.lines().join("\n")).not.toContain("replaying");
    terminal.close();
  });
});

describe.skipIf(browserMissing)(
  `the page of a replay in Chromium${browserMissing ? ` (${browserMissing})` : ""}`,
  () => {
    let browser: Browser;
    beforeAll(async () => {
      browser = await openBrowser();
    });
    afterAll(() => browser.close());

    it("draws each rule, opens a decision, asks nobody, and takes names as text", async () => {
      const trace = path.join(folder, "<b id=bold>$& 1.jsonl");
      const page = path.join(folder, "page.html");
      writeTrace(trace, drawTrace(200));
      const { code } = await replay(trace, ...SMALL, "--rule", "ttft,random", "--html", page, "--compare");
      expect(code).toBe(0);
      expect(readFileSync(page, "utf8")).not.toMatch(/<b id|(src|href)=|@import|url\(/);
      await browser.open(pathToFileURL(page).href);
      expect(await browser.evaluate(`document.getElementById("head").textContent`)).toContain("<b id=bold>$& 1.jsonl");
      expect(await browser.evaluate(`document.querySelectorAll("#ttft path[stroke]").length`)).toBe(2);
      expect(await browser.evaluate(`document.querySelectorAll("#load path[stroke]").length`)).toBe(6);
      expect(
        await browser.evaluate(`[...document.querySelectorAll("td:first-child")].map((each) => each.textContent)`),
      ).toEqual(["ttft", "random", "one endless cache"]);
      expect(await browser.evaluate(`document.querySelector("details[open] pre").textContent`)).toMatch(
        /^Row \d+ with ttft: /,
      );
      expect(await browser.evaluate(`document.documentElement.scrollWidth <= innerWidth`)).toBe(true);
      expect(browser.complaints).toEqual([]);
      expect(browser.requests.filter((url) => !url.startsWith("file:"))).toEqual([]);
    });
  },
);
