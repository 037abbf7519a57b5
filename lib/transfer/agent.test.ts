import { expect, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import { fetchOptions, LAYOUT, promptOf, TransferRig } from "../../test/support/transfer-rig.ts";
import { PLAIN_RUNGS, PlainMover } from "./plain-mover.ts";
import type { Rung } from "./rung.ts";
import { hashesOf } from "./session-message.ts";

const FIRST = Uint32Array.of(9001);
const WAYS = ["in-process", "shared-memory", "process-memory", "tcp", "grpc"] as const satisfies readonly Rung[];

/** An owner that keeps a prompt of ten blocks and two tokens, and a reader; both take one way alone. */
async function openPair(rung: Rung, checksum = true) {
  const rig = new TransferRig();
  const said = { isNeighbour: rung === "in-process", limits: { rung, checksum } };
  const [owner, reader] = [await rig.add(said), await rig.add(said)];
  const prompt = promptOf(42);
  owner.store.compute(prompt);
  const session = owner.agent.keep({ ...prompt, firstTokens: FIRST });
  return { rig, owner, reader, prompt, session, hashes: hashesOf(prompt, LAYOUT.blockTokens) };
}

test.each(WAYS)("blocks come by %s, those that are lacking alone, and the session is over then", async (rung) => {
  const { rig, owner, reader, prompt, session, hashes } = await openPair(rung);
  reader.store.compute(prompt, 3);
  expect(owner.agent.load).toMatchObject({ openSessions: 1, pinnedBlocks: 10 });
  const { firstTokens, report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
  expect(firstTokens).toEqual(FIRST);
  expect(report).toMatchObject({ blocks: 7, heldBlocks: 3, bytes: 7168n, rung, reason: "" });
  expect(reader.store.isRight(hashes)).toBe(true);
  expect(owner.store.counts.read).toBe(7);
  await expect.poll(() => owner.agent.load).toMatchObject({ openSessions: 0, pinnedBlocks: 0 });
  expect(owner.store.pinned + reader.store.reserved).toBe(0);
  expect(await owner.metric("stator_transfer_given_blocks_total", rung)).toBe(7);
  expect(await reader.metric("stator_transfer_bytes_total", rung)).toBe(7168);
  expect(await owner.metric("stator_transfer_sessions_total", "pulled")).toBe(1);
  await rig.close();
  expect(rig.machine.regions + rig.machine.opened).toBe(0);
});

test.each(WAYS)("a byte that changes on the way by %s is found, and what was good before it stays", async (rung) => {
  const { rig, owner, reader, prompt, session, hashes } = await openPair(rung);
  flipAfterReads(owner.store, 5);
  const { firstTokens, report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
  expect(firstTokens).toEqual(FIRST);
  expect(report).toMatchObject({ rung, reason: "CORRUPT", blocks: 4 });
  expect(reader.store.isRight(hashes.subarray(0, 4))).toBe(true);
  expect(await reader.metric("stator_transfer_failures_total", "CORRUPT")).toBe(1);
  await expect.poll(() => owner.agent.load.openSessions).toBe(0);
  await rig.close();
});

test.each(WAYS)("without checksums a byte that changes on the way by %s arrives", async (rung) => {
  const { rig, owner, reader, prompt, session, hashes } = await openPair(rung, false);
  flipAfterReads(owner.store, 5);
  const { report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
  expect(report).toMatchObject({ rung, reason: "", blocks: 10 });
  expect(reader.store.isRight(hashes.subarray(0, 4))).toBe(true);
  expect(reader.store.isRight(hashes.subarray(4, 5))).toBe(false);
  await rig.close();
});

/** Changes the block that is read as the so-and-so-manieth, after its checksum was made. */
function flipAfterReads(store: Awaited<ReturnType<typeof openPair>>["owner"]["store"], count: number): void {
  const read = store.read.bind(store);
  let seen = 0;
  store.read = async (run, from, into) => {
    const checksums = await read(run, from, into);
    for (const bytes of into) if (++seen === count) bytes[17] = bytes[17]! ^ 1;
    return checksums;
  };
}

test.each(["in-process", "shared-memory", "grpc"] as const)(
  "blocks of other sizes and another order are turned into own ones by %s",
  async (rung) => {
    for (const [fromTokens, toTokens] of [
      [4, 8],
      [8, 4],
      [4, 4],
    ] as const) {
      const rig = new TransferRig();
      const said = { isNeighbour: rung === "in-process", limits: { rung } };
      const owner = await rig.add({ ...said, layout: { ...LAYOUT, blockTokens: fromTokens, order: "kind-layer" } });
      const reader = await rig.add({ ...said, layout: { ...LAYOUT, blockTokens: toTokens } });
      const prompt = promptOf(44);
      owner.store.compute(prompt);
      reader.store.compute(prompt, 1);
      const session = owner.agent.keep({ ...prompt, firstTokens: FIRST });
      const { report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
      const whole = Math.floor((Math.floor(44 / fromTokens) * fromTokens) / toTokens);
      expect(report).toMatchObject({ blocks: whole - 1, heldBlocks: 1, reason: "" });
      expect(reader.store.count(hashesOf(prompt, toTokens))).toBe(whole);
      await expect.poll(() => owner.agent.load.openSessions).toBe(0);
      await rig.close();
      expect(rig.machine.regions).toBe(0);
    }
  },
);

test("of those who want the same blocks one brings them, and every session is over then", async () => {
  const { rig, owner, reader, prompt, session, hashes } = await openPair("shared-memory");
  const sessions = [session, ...[1, 2].map(() => owner.agent.keep({ ...prompt, firstTokens: FIRST }))];
  expect(owner.agent.load).toMatchObject({ openSessions: 3, pinnedBlocks: 10 });
  const fetched = await Promise.all(
    sessions.map((each) => reader.agent.fetch({ session: each }, prompt, fetchOptions())),
  );
  expect(fetched.map(({ report }) => report.blocks)).toEqual([10, 0, 0]);
  expect(fetched.map(({ report }) => report.heldBlocks)).toEqual([0, 10, 10]);
  expect(owner.store.counts.read).toBe(10);
  expect(reader.store.isRight(hashes)).toBe(true);
  await expect.poll(() => owner.agent.load).toMatchObject({ openSessions: 0, pinnedBlocks: 0 });
  await rig.close();
});

test("a way that fails is left for the next one from there on, loudly, until it is tried again", async () => {
  const rig = new TransferRig();
  const [owner, reader] = [
    await rig.add({ limits: { regionBytes: 8192 } }),
    await rig.add({ limits: { promoteMs: 2000 } }),
  ];
  const prompt = promptOf(80);
  owner.store.compute(prompt);
  let jobs = 0;
  rig.machine.onCopy = (_, way) => {
    if (way !== "shared" || ++jobs < 2) return undefined;
    return { status: "failed", copied: 0, reason: "it was cut", durationUs: 1, passes: 1 };
  };
  const first = owner.agent.keep({ ...prompt, firstTokens: FIRST });
  const { report } = await reader.agent.fetch({ session: first }, prompt, fetchOptions());
  expect(report).toMatchObject({ rung: "process-memory", blocks: 20, reason: "" });
  expect(owner.store.counts.read).toBeLessThanOrEqual(28);
  expect(reader.store.isRight(hashesOf(prompt, 4))).toBe(true);
  expect(await reader.metric("stator_transfer_demotions_total", "shared-memory")).toBe(1);
  expect(rig.warnings).toEqual(["a way to a worker's blocks does not work"]);
  rig.machine.onCopy = () => undefined;
  const rungOf = async (start: number): Promise<string | undefined> => {
    const other = promptOf(8, start);
    owner.store.compute(other);
    const session = owner.agent.keep({ ...other, firstTokens: FIRST });
    return (await reader.agent.fetch({ session }, other, fetchOptions())).report.rung;
  };
  expect(await rungOf(500)).toBe("process-memory");
  rig.clock.advance(2000);
  expect(await rungOf(600)).toBe("shared-memory");
  await rig.close();
});

test("what cannot be opened is not taken, down to messages, which is told as slow", async () => {
  const rig = new TransferRig();
  const [owner, reader] = [await rig.add(), await rig.add()];
  for (const way of ["shared", "process", "tcp"] as const) rig.machine.broken.add(way);
  const prompt = promptOf(8);
  owner.store.compute(prompt);
  const session = owner.agent.keep({ ...prompt, firstTokens: FIRST });
  const { report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
  expect(report).toMatchObject({ rung: "grpc", blocks: 2 });
  expect(rig.warnings.at(-1)).toBe("blocks of a worker come by a slow way");
  await rig.close();
});

test("a way that was asked for and does not work leaves the blocks to be computed", async () => {
  const { rig, reader, prompt, session } = await openPair("tcp");
  rig.machine.broken.add("tcp");
  const { firstTokens, report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
  expect(firstTokens).toEqual(FIRST);
  expect(report).toMatchObject({ rung: "", blocks: 0, reason: "UNAVAILABLE" });
  await rig.close();
});

test("without the addon blocks come in messages, and between neighbours", async () => {
  for (const isNeighbour of [false, true]) {
    const rig = new TransferRig();
    const open = () => rig.add({ mover: new PlainMover(), rungs: PLAIN_RUNGS, isNeighbour });
    const [owner, reader] = [await open(), await open()];
    const prompt = promptOf(40);
    owner.store.compute(prompt);
    const session = owner.agent.keep({ ...prompt, firstTokens: FIRST });
    const { report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
    expect(report).toMatchObject({ rung: isNeighbour ? "in-process" : "grpc", blocks: 10 });
    expect(reader.store.isRight(hashesOf(prompt, 4))).toBe(true);
    await rig.close();
  }
});

test("a mover that says of a way that it is not there is believed", async () => {
  const mover = new PlainMover();
  await expect(mover.listen()).rejects.toMatchObject({ reason: "UNSUPPORTED_FEATURE" });
  await expect(mover.connect()).rejects.toMatchObject({ reason: "UNSUPPORTED_FEATURE" });
  const rig = new TransferRig();
  const owner = await rig.add();
  const reader = await rig.add({ mover, limits: { rung: "tcp" } });
  const prompt = promptOf(40);
  owner.store.compute(prompt);
  const session = owner.agent.keep({ ...prompt, firstTokens: FIRST });
  const { report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
  expect(report).toMatchObject({ rung: "", blocks: 0, reason: "UNAVAILABLE" });
  expect(rig.warnings).toContain("no socket for blocks");
  await rig.close();
});

test("without memory that others can read a worker still lends and takes blocks in messages", async () => {
  const rig = new TransferRig();
  const full = rig.machine.add();
  full.openRegion = () => {
    throw new StatorError("LIMIT", { what: "/dev/shm", limit: 0 });
  };
  const workers = [await rig.add({ mover: full }), await rig.add()] as const;
  for (const [owner, reader] of [workers, [workers[1], workers[0]] as const]) {
    const prompt = promptOf(80, Number(owner.instanceId) * 1000);
    owner.store.compute(prompt);
    const session = owner.agent.keep({ ...prompt, firstTokens: FIRST });
    const { report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
    expect(report).toMatchObject({ rung: "grpc", blocks: 20, reason: "" });
  }
  expect(rig.warnings).toContain("no memory that other workers could read");
  await rig.close();
});
