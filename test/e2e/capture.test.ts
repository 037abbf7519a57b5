import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { FrontendService } from "#gen/stator/frontend/v1/frontend_pb";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { aboutPath, type CaptureAbout } from "#services/cli/capture/about";
import type { CapturedRow } from "#services/cli/capture/row";
import { readHealth } from "#services/cli/chat-client";
import { replayDecisions } from "#services/cli/commands/replay-decisions";
import { holdConversations } from "../support/conversations.ts";
import { type Program, readBoard, startProgram } from "../support/program.ts";
import { IS_LONG } from "../support/seeds.ts";

const LOAD = { conversations: 12, turns: 5, atOnce: 6, seed: 7n } as const;
const REQUESTS = LOAD.conversations * LOAD.turns;
let folder: string;
let files = 0;
const open: Program[] = [];
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "stator-capture-"));
});
afterEach(async () => {
  for (const program of open.splice(0).toReversed()) await program.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

function start(...args: string[]): Program {
  const program = startProgram(args);
  open.push(program);
  return program;
}

async function up(...args: string[]) {
  const cluster = start("up", "--engine", "mock", "--workers", "3", "--mock-speed", "4", "--http-port", "0", ...args);
  await cluster.until(/Try it:/, 120_000);
  const board = readBoard(cluster);
  return { board, address: board.get("frontend")!.address };
}

/** A capture that has begun. */
async function capture(address: string, ...args: string[]) {
  const file = path.join(folder, `${++files}.jsonl`);
  const program = start("capture", "--http-port", address.split(":").at(-1)!, "--out", file, ...args);
  await program.until(/Capturing/);
  const read = () => {
    const text = readFileSync(file, "utf8");
    const rows = text.split("\n").filter(Boolean);
    const about = readFileSync(aboutPath(file), "utf8");
    return { text, rows: rows.map((row) => JSON.parse(row) as CapturedRow), about: JSON.parse(about) as CaptureAbout };
  };
  return { file, program, read };
}

async function ask(address: string, content: string, session: string): Promise<void> {
  const response = await fetch(`http://${address}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-stator-session": session },
    body: JSON.stringify({ model: "stator-mock", messages: [{ role: "user", content }], max_tokens: 3, n: 2 }),
  });
  expect(response.status).toBe(200);
  await response.text();
}

/** Tokens of all requests that the frontend has answered. */
async function ledgerOf(address: string) {
  const { operators = "" } = await readHealth(`http://${address}`);
  const channel = new Channel(operators, loopbackCredentials, systemClock);
  try {
    const { requests } = await createClient(FrontendService, channel).listRequests({ limit: 1_000 });
    return requests.map(({ promptTokens, cachedTokens, completionTokens }) => ({
      ...{ promptTokens, cachedTokens, completionTokens },
    }));
  } finally {
    channel.close();
  }
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);

describe("what a frontend routes is captured", { timeout: 240_000 }, () => {
  const rules: [rule: string, args: readonly string[], held: number][] = [
    ["ttft", ["--router-rule", "ttft"], 1],
    ["power-of-two", ["--router-mode", "power-of-two"], 1],
    ["session", ["--router-rule", "session", "--router-session-affinity", "off"], 0],
  ];
  it.each(IS_LONG ? rules : rules.slice(0, 1))(
    "row by row as the ledger has it, and each decision is the same again (%s)",
    async (rule, args, held) => {
      const { address } = await up(...args);
      const { file, program, read } = await capture(address, "--decisions");
      await holdConversations({ ...LOAD, address, model: "stator-mock" });
      for (const session of ["ssn-one", "ssn-two", "ssn-one"]) await ask(address, "wombats dig", session);
      program.signal("SIGINT");
      expect(await program.ended).toMatchObject({ code: 0 });
      const { text, rows, about } = read();
      const ledger = await ledgerOf(address);
      // Two choices of one prompt are two rows, and it counts once in the ledger.
      const twice = rows.slice(-6).filter((_, at) => at % 2 === 0);
      expect([rows.length, ledger.length]).toEqual([REQUESTS + 6, REQUESTS + 3]);
      expect(about).toMatchObject({ rows: rows.length, open: 0, lost: 0, ended: "asked", block_size: 16, rule });
      const inputs = sum(rows.map((row) => row.input_length)) - sum(twice.map((row) => row.input_length));
      expect(inputs).toBe(sum(ledger.map(({ promptTokens }) => promptTokens)));
      expect(sum(rows.map((row) => row.output_length))).toBe(
        sum(ledger.map(({ completionTokens }) => completionTokens)),
      );
      const seen =
        sum(rows.map(({ stator }) => stator.seen_tokens ?? 0)) - sum(twice.map((row) => row.stator.seen_tokens ?? 0));
      expect(seen).toBe(sum(ledger.map(({ cachedTokens }) => cachedTokens)));
      for (const { hash_ids, input_length, stator } of rows) {
        expect(hash_ids).toHaveLength(Math.ceil(input_length / about.block_size));
        expect(stator).toMatchObject({ rule, rank: 0, seen_ms: expect.any(Number) });
      }
      expect(rows.map((row) => row.timestamp)).toEqual(rows.map((row) => row.timestamp).toSorted((a, b) => a - b));
      // Turns of a conversation share what was said before.
      expect(new Set(rows.flatMap((row) => row.hash_ids)).size).toBeLessThan(
        sum(rows.map((row) => row.hash_ids.length)) / 2,
      );
      expect(rows.slice(-6).map((row) => row.session_id)).toEqual(["1", "1", "2", "2", "1", "1"]);
      expect(text).not.toMatch(/wombat|duck|frog|ssn/);
      const again = await replayDecisions({ path: file, rule: undefined });
      expect(again).toMatchObject({ rows: rows.length, decisions: REQUESTS + 3, same: REQUESTS + 3, changed: [] });
      expect(again.held).toBe(held);
      const other = await replayDecisions({ path: file, rule: rule === "ttft" ? "random" : "ttft" });
      expect(other.same).toBeLessThan(other.decisions);
      expect(sum(Object.values(other.terms))).toBe(other.decisions - other.same);
      expect(other.changed[0]).toMatchObject({ line: expect.any(Number), term: expect.stringMatching(/./) });
    },
  );

  it("also where a worker dies: a request that moves is one row, with all of its answer", async () => {
    const { board, address } = await up();
    const { file, program, read } = await capture(address, "--decisions");
    let killed = false;
    const onTurn = (answered: number): void => {
      if (killed || answered < REQUESTS / 2) return;
      killed = process.kill(board.get("worker-1")!.pid, "SIGKILL");
    };
    await holdConversations({ ...LOAD, address, model: "stator-mock", onTurn });
    program.signal("SIGINT");
    expect(await program.ended).toMatchObject({ code: 0 });
    const [{ rows, about }, ledger] = [read(), await ledgerOf(address)];
    expect([killed, rows.length, ledger.length, about.lost]).toEqual([true, REQUESTS, REQUESTS, 0]);
    expect(sum(rows.map((row) => row.input_length))).toBe(sum(ledger.map(({ promptTokens }) => promptTokens)));
    expect(sum(rows.map((row) => row.output_length))).toBe(sum(ledger.map(({ completionTokens }) => completionTokens)));
    expect(await replayDecisions({ path: file, rule: undefined })).toMatchObject({ same: REQUESTS, changed: [] });
  });

  it("up to a size, and until its frontend is gone: what was written stays", async () => {
    const { board, address } = await up();
    const small = await capture(address, "--max-bytes", "1500", "--salted", "pepper");
    const long = await capture(address);
    for (let at = 0; at < 10; at++) await ask(address, `wombats dig ${at}`, "one");
    expect(await small.program.ended).toMatchObject({ code: 0 });
    const { rows, about, text } = small.read();
    expect([about.ended, about.names, about.bytes <= 1_500, rows.length > 1]).toEqual(["size", "salted", true, true]);
    expect(rows[0]!.hash_ids[0]).toMatch(/^[0-9a-f]{16}$/);
    expect(text).not.toContain("pepper");
    const written = () => readFileSync(long.file, "utf8").split("\n").length - 1;
    await expect.poll(written, { timeout: 10_000 }).toBe(20);
    process.kill(board.get("frontend")!.pid, "SIGKILL");
    expect(await long.program.ended).toMatchObject({ code: 1 });
    expect(long.program.stderr).toMatch(/^stator capture: /m);
    expect(long.read()).toMatchObject({ about: { rows: 20, ended: "the frontend was lost" } });
    expect(long.read().rows).toHaveLength(20);
  });

  it("not where there is no frontend: then nothing is left behind", async () => {
    const file = path.join(folder, "none.jsonl");
    const program = start("capture", "127.0.0.1:1", "--out", file);
    expect(await program.ended).toMatchObject({ code: 1 });
    expect([existsSync(file), existsSync(aboutPath(file)), program.stdout]).toEqual([false, false, ""]);
  });
});
