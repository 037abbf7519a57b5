import { expect, test } from "vitest";
import { fetchOptions, promptOf, TransferRig, type WorkerSaid } from "../../test/support/transfer-rig.ts";
import { hashesOf } from "./session-message.ts";

/** Workers as on two machines: NIXL is the best way of both. */
function apart(rig: TransferRig, said: WorkerSaid = {}) {
  const mover = rig.machine.add();
  const nixl = mover.nixl();
  Object.assign(mover.identity, { host: 1000n + BigInt(mover.identity.processId) });
  return { nixl, worker: rig.add({ mover, nixl, ...said }) };
}

async function openPair(owners: WorkerSaid = {}, readers: WorkerSaid = {}) {
  const rig = new TransferRig();
  const { nixl, worker } = apart(rig, owners);
  const [owner, reader] = [await worker, await apart(rig, readers).worker];
  const fetch = async (start: number) => {
    const prompt = promptOf(42, start);
    owner.store.compute(prompt);
    const session = owner.agent.keep({ ...prompt, firstTokens: Uint32Array.of(7) });
    const { report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
    expect(reader.store.isRight(hashesOf(prompt, 4)) || report.reason !== "").toBe(true);
    return report;
  };
  return { rig, nixl, owner, reader, fetch };
}

test("blocks come by NIXL from another machine, and a worker tells that it can", async () => {
  const { rig, nixl, reader, fetch } = await openPair();
  expect(await fetch(1)).toMatchObject({ rung: "nixl", blocks: 10, reason: "" });
  expect(rig.machine.jobs).toEqual(["nixl", "nixl"]);
  expect(await reader.metric("stator_transfer_blocks_total", "nixl")).toBe(10);
  expect(await reader.metric("stator_transfer_rungs", "nixl")).toBe(1);
  await rig.close();
  expect([nixl.isClosed, rig.machine.opened, rig.warnings]).toEqual([true, 0, []]);
});

test.each([
  ["memory cannot be opened", (rig: TransferRig) => void rig.machine.broken.add("nixl")],
  [
    "reads fail",
    (rig: TransferRig) => {
      rig.machine.onCopy = (_, way) =>
        way === "nixl" ? { status: "failed", copied: 0, reason: "no route", durationUs: 1, passes: 0 } : undefined;
    },
  ],
])("the next way's turn comes where %s", async (_, spoil) => {
  const { rig, reader, fetch } = await openPair();
  spoil(rig);
  expect(await fetch(1)).toMatchObject({ rung: "tcp", blocks: 10, reason: "" });
  expect(await reader.metric("stator_transfer_demotions_total", "nixl")).toBe(1);
  expect(rig.warnings).toEqual(["a way to a worker's blocks does not work"]);
  await rig.close();
});

test("without NIXL on both sides it is no way, also where it is the only one that may be", async () => {
  const { rig, reader, fetch } = await openPair({ nixl: undefined, rungs: ["tcp", "grpc"] });
  expect(await fetch(1)).toMatchObject({ rung: "tcp", reason: "" });
  expect(await reader.metric("stator_transfer_demotions_total")).toBe(0);
  await rig.close();
  const forced = await openPair({}, { nixl: undefined, rungs: ["tcp", "grpc"], limits: { rung: "nixl" } });
  expect(await forced.fetch(1)).toMatchObject({ blocks: 0, reason: "UNAVAILABLE" });
  expect(await forced.reader.metric("stator_transfer_rungs", "nixl")).toBe(0);
  await forced.rig.close();
});

test("memory that NIXL refuses is read in another way, and one that it does not answer for is not waited for", async () => {
  for (const isLate of [false, true]) {
    const rig = new TransferRig();
    const mover = rig.machine.add();
    Object.assign(mover.identity, { host: 1n });
    const nixl = mover.nixl();
    const never = Promise.withResolvers<void>();
    nixl.beforeRegister = () => (isLate ? never.promise : Promise.reject(new Error("no memory could be pinned")));
    const owner = await rig.add({ mover, nixl, limits: { stallMs: 100 } });
    const reader = await apart(rig).worker;
    const prompt = promptOf(42);
    owner.store.compute(prompt);
    const session = owner.agent.keep({ ...prompt, firstTokens: Uint32Array.of(7) });
    const fetching = reader.agent.fetch({ session }, prompt, fetchOptions());
    if (isLate) {
      await expect.poll(() => rig.clock.nextMs).toBe(50);
      rig.clock.advance(50);
    }
    expect((await fetching).report).toMatchObject({ rung: "tcp", blocks: 10, reason: "" });
    expect(rig.warnings).toEqual(isLate ? [] : ["no memory that others could read by NIXL"]);
    await rig.close();
  }
});

test("a flipped byte that came by NIXL is found", async () => {
  const { rig, reader, fetch } = await openPair();
  rig.machine.onCopy = ({ from, fromOffsets }) => {
    if (fromOffsets.length > 3) (from as unknown as { bytes: Uint8Array }).bytes[Number(fromOffsets[2])]! ^= 1;
    return undefined;
  };
  expect(await fetch(1)).toMatchObject({ rung: "nixl", blocks: 2, reason: "CORRUPT" });
  expect(await reader.metric("stator_transfer_failures_total", "CORRUPT")).toBe(1);
  await rig.close();
});
