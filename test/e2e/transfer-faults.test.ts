import { execFileSync } from "node:child_process";
import { afterEach, describe, expect, it } from "vitest";
import { RequestKind } from "#gen/stator/worker/v1/link_pb";
import { writeU32 } from "#lib/base/bytes";
import { SeededChance } from "#lib/base/chance";
import { loadNative } from "#lib/native/addon";
import { Cluster, readMetric } from "../support/cluster.ts";
import { handOver, LegCaller } from "../support/leg-caller.ts";
import type { Program } from "../support/program.ts";
import { IS_LONG } from "../support/seeds.ts";

const LEASE_MS = 2_000;
const STALL_MS = 1_000;
const PROMPT_TOKENS = 32_000;
const BLOCKS = PROMPT_TOKENS / 16;

const cluster = new Cluster();
const callers: LegCaller[] = [];
const chance = new SeededChance(14n);

afterEach(async () => {
  for (const caller of callers.splice(0)) caller.close();
  await cluster.close();
});

/** A worker process and a caller of it. */
interface Served {
  readonly program: Program;
  readonly caller: LegCaller;
  read(name: string): Promise<number>;
}

/** Memory for sixteen blocks: a long prompt takes many turns. */
function worker(role: string, ...args: readonly string[]): Promise<Served> {
  return workerOf(undefined, role, args);
}

/** The same, as a user. */
async function workerOf(uid: number | undefined, role: string, args: readonly string[]): Promise<Served> {
  const { address, program } = await cluster.workerOf(uid, [
    ...["--role", role, "--mock-speed", "0", "--metrics-port", "0", "--transfer-region-bytes", "4096"],
    ...["--transfer-lease-ms", String(LEASE_MS), "--transfer-stall-ms", String(STALL_MS), ...args],
  ]);
  const [, port = ""] = /"metrics port open".*"port":(\d+)/.exec(program.stderr) ?? [];
  const caller = new LegCaller(address);
  callers.push(caller);
  await caller.ready;
  const read = async (name: string) => readMetric(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(), name);
  return { program, caller, read };
}

const ask = (tokens = PROMPT_TOKENS) => ({
  model: "stator-mock",
  promptTokenIds: writeU32(Array.from({ length: tokens }, () => 10 + Math.floor(chance.next() * 400))),
  stopping: { maxTokens: 12, ignoreEos: true },
});

/** Begins an answer at the one, and its second leg at the other; resolves when blocks have begun to come. */
async function begun(prefill: Served, decode: Served, request: ReturnType<typeof ask>) {
  const first = await prefill.caller.run({ ...request, kind: RequestKind.PREFILL });
  const given = await prefill.read("stator_transfer_given_blocks_total");
  const generatedTokenIds = writeU32(first.tokens);
  const second = decode.caller.start({ ...request, generatedTokenIds, session: first.session! });
  while ((await prefill.read("stator_transfer_given_blocks_total")) === given);
  return { first, second };
}

const KEPT = ["stator_worker_open_requests", "stator_worker_used_blocks", "stator_transfer_sessions"];

/** Nothing is in use or kept, once leases are over. */
async function expectIdle(...workers: readonly Served[]): Promise<void> {
  const kept = () => Promise.all(workers.flatMap(({ read }) => KEPT.map((name) => read(name))));
  await expect.poll(kept, { timeout: 10 * LEASE_MS, interval: 100 }).toEqual(workers.flatMap(() => KEPT.map(() => 0)));
}

const missing = loadNative().unavailable;
const RUNGS = ["shared-memory", "process-memory", "tcp", "grpc"];
const OWNER_FAULTS = IS_LONG
  ? RUNGS.flatMap((rung) => [["SIGKILL", rung] as const, ["SIGSTOP", rung] as const])
  : ([
      ["SIGKILL", "shared-memory"],
      ["SIGSTOP", "tcp"],
    ] as const);

describe.skipIf(missing !== undefined)(`in the middle of a transfer (${missing ?? "built"})`, () => {
  it.each(OWNER_FAULTS)("%s of the worker that gives blocks by %s: the rest is computed", async (signal, rung) => {
    const forced = ["--transfer-rung", rung];
    const [prefill, decode, whole] = await Promise.all([
      worker("prefill"),
      worker("decode", ...forced),
      worker("aggregated"),
    ]);
    const request = ask();
    const { first, second } = await begun(prefill, decode, request);
    prefill.program.signal(signal);
    const { transfer, tokens } = await second.done;
    expect(transfer).toMatchObject({
      rung,
      reason: expect.stringMatching(/^(STREAM_LOST|UNAVAILABLE|WORKER_STALLED)$/),
    });
    expect(transfer!.blocks).toBeLessThan(BLOCKS);
    expect([...first.tokens, ...tokens]).toEqual((await whole.caller.run(request)).tokens);
    prefill.program.signal("SIGCONT");
    await expectIdle(decode, ...(signal === "SIGKILL" ? [] : [prefill]));
  });

  it("SIGSTOP and SIGKILL of the worker that takes blocks: memory and blocks are there for others", async () => {
    const [prefill, decode, other] = await Promise.all([worker("prefill"), worker("decode"), worker("decode")]);
    const request = ask();
    const { first, second } = await begun(prefill, decode, request);
    decode.program.signal("SIGSTOP");
    // It reads nothing: what it holds is given to others when its lease is over.
    const late = await handOver(prefill.caller, other.caller, ask());
    expect(late.second?.transfer).toMatchObject({ blocks: BLOCKS, reason: "" });
    await expectIdle(prefill, other);
    decode.program.signal("SIGCONT");
    const { tokens, transfer } = await second.done;
    expect(transfer?.reason).not.toBe("");
    expect([...first.tokens, ...tokens]).toEqual((await other.caller.run(request)).tokens);
    await begun(prefill, decode, ask());
    decode.program.signal("SIGKILL");
    const last = await handOver(prefill.caller, other.caller, ask());
    expect(last.second?.transfer).toMatchObject({ blocks: BLOCKS, reason: "" });
    await expectIdle(prefill, other);
  });
});

describe.skipIf(missing !== undefined)(`ways that a machine forbids (${missing ?? "built"})`, () => {
  const NOBODY = 65_534;
  const isRoot = process.getuid?.() === 0;

  it.skipIf(!isRoot)(
    `another user's memory is not read: the next way is taken${isRoot ? "" : " (needs root)"}`,
    async () => {
      const forced = ["--transfer-rung", "process-memory"];
      const [prefill, decode, stuck, whole] = await Promise.all([
        worker("prefill"),
        workerOf(NOBODY, "decode", []),
        workerOf(NOBODY, "decode", forced),
        worker("aggregated"),
      ]);
      const request = ask(1_600);
      const wanted = await whole.caller.run(request);
      const next = await handOver(prefill.caller, decode.caller, request);
      expect(next.second?.transfer).toMatchObject({ rung: "tcp", blocks: 100, reason: "" });
      expect(decode.program.stderr).toContain("a way to a worker's blocks does not work");
      expect(await decode.read("stator_transfer_demotions_total")).toBe(2);
      const none = await handOver(prefill.caller, stuck.caller, request);
      expect(none.second?.transfer).toMatchObject({ blocks: 0, reason: "UNAVAILABLE" });
      for (const { tokens } of [next, none]) expect(tokens).toEqual(wanted.tokens);
      await expectIdle(prefill, decode, stuck);
    },
  );

  it("a file may not be as long as a region: memory is read without one", async () => {
    const owner = limited(() => worker("prefill"));
    const [prefill, decode, whole] = await Promise.all([owner, worker("decode"), worker("aggregated")]);
    const request = ask(1_600);
    const { tokens, second } = await handOver(prefill.caller, decode.caller, request);
    expect(second?.transfer).toMatchObject({ rung: "process-memory", blocks: 100, reason: "" });
    expect(tokens).toEqual((await whole.caller.run(request)).tokens);
    await expectIdle(prefill, decode);
  });
});

/** Starts something whose files may not be longer than 1 KiB. */
function limited<Result>(start: () => Result): Result {
  const set = (limit: string) => execFileSync("prlimit", ["--pid", String(process.pid), `--fsize=${limit}:`]);
  set("1024");
  try {
    return start();
  } finally {
    set("unlimited");
  }
}
