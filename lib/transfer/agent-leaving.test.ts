import { expect, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import { fetchOptions, promptOf, TransferRig } from "../../test/support/transfer-rig.ts";

const FIRST = Uint32Array.of(9001);

test("the memory of a worker that nothing is wanted of is let go, and opened again when something is", async () => {
  const rig = new TransferRig();
  const owner = await rig.add();
  const reader = await rig.add({ limits: { idleMs: 1_000 } });
  const fetch = async (start: number) => {
    const prompt = promptOf(20, start);
    owner.store.compute(prompt);
    const session = owner.agent.keep({ ...prompt, firstTokens: FIRST });
    return (await reader.agent.fetch({ session }, prompt, fetchOptions())).report;
  };
  await fetch(1);
  expect(rig.machine.opened).toBe(1);
  rig.clock.advance(600);
  await fetch(1_000);
  rig.clock.advance(999);
  expect(rig.machine.opened).toBe(1);
  rig.clock.advance(1);
  await expect.poll(() => rig.machine.opened).toBe(0);
  expect(await fetch(2_000)).toMatchObject({ blocks: 5, rung: "shared-memory", reason: "" });
  expect(rig.machine.opened).toBe(1);
  await rig.close();
  expect(rig.machine.opened).toBe(0);
});

test("memory that is being read is not let go, however long it takes", async () => {
  const rig = new TransferRig();
  const owner = await rig.add({ limits: { leaseMs: 100_000 } });
  const reader = await rig.add({ limits: { idleMs: 1_000, stallMs: 100_000, deadlineMs: 100_000 } });
  const prompt = promptOf(20);
  owner.store.compute(prompt);
  const session = owner.agent.keep({ ...prompt, firstTokens: FIRST });
  const copied = Promise.withResolvers<undefined>();
  let isCopying = false;
  rig.machine.onCopy = () => {
    isCopying = true;
    return copied.promise;
  };
  const fetching = reader.agent.fetch({ session }, prompt, fetchOptions());
  await expect.poll(() => isCopying).toBe(true);
  rig.clock.advance(2_000);
  expect(rig.machine.opened).toBe(1);
  copied.resolve(undefined);
  expect((await fetching).report).toMatchObject({ blocks: 5, reason: "" });
  rig.clock.advance(2_000);
  await expect.poll(() => rig.machine.opened).toBe(0);
  await rig.close();
});

test("who waits until nothing is kept is told when the last of it was fetched, let go, or is over", async () => {
  const rig = new TransferRig();
  const [owner, reader] = [await rig.add({ limits: { leaseMs: 1_000 } }), await rig.add()];
  await owner.agent.emptied();
  const keep = (start: number) => {
    const prompt = promptOf(20, start);
    owner.store.compute(prompt);
    return { prompt, session: owner.agent.keep({ ...prompt, firstTokens: FIRST }) };
  };
  const [fetched, released] = [keep(1), keep(1_000)];
  keep(2_000);
  let isEmpty = false;
  const emptied = owner.agent.emptied().then(() => {
    isEmpty = true;
  });
  await reader.agent.fetch({ session: fetched.session }, fetched.prompt, fetchOptions());
  owner.agent.release([released.session.sessionId]);
  await expect.poll(() => owner.agent.load.openSessions).toBe(1);
  expect(isEmpty).toBe(false);
  rig.clock.advance(1_000);
  await emptied;
  expect(owner.agent.load.openSessions).toBe(0);
  await rig.close();
});

test("a worker that comes back as another incarnation keeps nothing of the one before, and keeps again", async () => {
  const rig = new TransferRig();
  const [owner, reader] = [await rig.add({ limits: { leaseMs: 1_000 } }), await rig.add()];
  const keep = (start: number) => {
    const prompt = promptOf(20, start);
    owner.store.compute(prompt);
    return { prompt, session: owner.agent.keep({ ...prompt, firstTokens: FIRST }) };
  };
  const before = keep(1);
  owner.agent.announce(7n, promptOf(8, 500));
  const waiting = reader.agent.fetch(
    {
      room: {
        $typeName: "stator.worker.v1.Room",
        number: 9n,
        host: "127.0.0.1",
        port: portOf(owner.address),
        incarnation: 0n,
      },
    },
    promptOf(8, 700),
    fetchOptions(),
  );
  await expect.poll(() => owner.metric("stator_transfer_waiting")).toBe(1);
  owner.incarnation = 500n;
  owner.agent.renewed(new StatorError("STREAM_LOST", { detail: "the worker has another role" }));
  await expect(waiting).rejects.toMatchObject({ reason: "STREAM_LOST" });
  expect([owner.agent.load, owner.store.pinned]).toMatchObject([{ openSessions: 0, pinnedBlocks: 0 }, 0]);
  const late = await reader.agent.fetch({ session: before.session }, before.prompt, fetchOptions());
  expect(late.report).toMatchObject({ blocks: 0, reason: "STREAM_LOST" });
  const after = keep(1_000);
  expect(after.session.incarnation).toBe(500n);
  expect((await reader.agent.fetch({ session: after.session }, after.prompt, fetchOptions())).report).toMatchObject({
    blocks: 5,
    reason: "",
  });
  // The leases of what is kept from now on run as they did.
  keep(2_000);
  rig.clock.advance(1_000);
  expect(owner.agent.load).toMatchObject({ openSessions: 0, pinnedBlocks: 0 });
  await rig.close();
});

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}
