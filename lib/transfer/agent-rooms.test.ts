import { expect, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import { fetchOptions, LAYOUT, promptOf, TransferRig, type TransferWorker } from "../../test/support/transfer-rig.ts";
import { hashesOf, splitAddress } from "./session-message.ts";

const FIRST = Uint32Array.of(9001);
const ROOM = 42n;

async function openPair(limits = {}) {
  const rig = new TransferRig();
  const [owner, reader] = [await rig.add({ limits }), await rig.add({ limits })];
  const prompt = promptOf(42);
  return { rig, owner, reader, prompt, hashes: hashesOf(prompt, LAYOUT.blockTokens) };
}

function roomAt(owner: TransferWorker, incarnation = owner.incarnation) {
  const { host, port } = splitAddress(owner.address);
  return { $typeName: "stator.worker.v1.Room", number: ROOM, host, port, incarnation } as const;
}

test("in a room blocks come as they are computed, whoever is first, and first tokens at the end", async () => {
  for (const isReaderFirst of [true, false]) {
    const { rig, owner, reader, prompt, hashes } = await openPair();
    const fetchNow = () => reader.agent.fetch({ room: roomAt(owner) }, prompt, fetchOptions());
    const early = isReaderFirst ? fetchNow() : undefined;
    if (early) await expect.poll(() => owner.metric("stator_transfer_waiting")).toBe(1);
    owner.agent.announce(ROOM, prompt);
    expect(owner.agent.load.openSessions).toBe(1);
    const fetching = early ?? fetchNow();
    for (const count of [3, 7, 10]) {
      owner.store.compute(prompt, count);
      owner.agent.progressed();
      await expect.poll(() => reader.store.counts.written).toBe(count);
    }
    const session = owner.agent.keep({ ...prompt, firstTokens: FIRST, room: ROOM });
    expect(session.sequenceHashes.byteLength).toBe(80);
    const { firstTokens, report } = await fetching;
    expect(firstTokens).toEqual(FIRST);
    expect(report).toMatchObject({ blocks: 10, heldBlocks: 0, reason: "", rung: "shared-memory" });
    expect(reader.store.isRight(hashes)).toBe(true);
    await expect.poll(() => owner.agent.load).toMatchObject({ openSessions: 0, pinnedBlocks: 0 });
    await rig.close();
  }
});

test("who has all blocks of a room, or no place for them, still waits for its first tokens", async () => {
  const { rig, owner, reader, prompt } = await openPair();
  const small = await rig.add({ totalBlocks: 5 });
  reader.store.compute(prompt);
  const fetching = [reader, small].map(({ agent }) => agent.fetch({ room: roomAt(owner) }, prompt, fetchOptions()));
  owner.store.compute(prompt);
  await expect.poll(() => owner.metric("stator_transfer_waiting")).toBe(2);
  owner.agent.announce(ROOM, prompt);
  owner.agent.keep({ ...prompt, firstTokens: FIRST, room: ROOM });
  const fetched = await Promise.all(fetching);
  expect(fetched.map(({ firstTokens }) => firstTokens)).toEqual([FIRST, FIRST]);
  expect(fetched.map(({ report }) => report.reason)).toEqual(["", "LIMIT"]);
  await rig.close();
});

test("blocks of a room that are damaged cost the blocks, not the first tokens", async () => {
  const { rig, owner, reader, prompt } = await openPair();
  owner.store.compute(prompt);
  rig.machine.onCopy = () => ({ status: "corrupt", copied: 0, reason: "", durationUs: 1, passes: 1 });
  owner.agent.announce(ROOM, prompt);
  const fetching = reader.agent.fetch({ room: roomAt(owner) }, prompt, fetchOptions());
  await expect.poll(() => reader.store.reserved).toBe(0);
  owner.agent.keep({ ...prompt, firstTokens: FIRST, room: ROOM });
  const { firstTokens, report } = await fetching;
  expect(firstTokens).toEqual(FIRST);
  expect(report).toMatchObject({ blocks: 0, reason: "CORRUPT" });
  await rig.close();
});

test("blocks of another size meet in a room", async () => {
  const rig = new TransferRig();
  const [owner, reader] = [await rig.add({ layout: { ...LAYOUT, blockTokens: 8 } }), await rig.add()];
  const prompt = promptOf(44);
  reader.store.compute(prompt, 3);
  owner.store.compute(prompt);
  owner.agent.announce(ROOM, prompt);
  const fetching = reader.agent.fetch({ room: roomAt(owner) }, prompt, fetchOptions());
  owner.agent.keep({ ...prompt, firstTokens: FIRST, room: ROOM });
  expect((await fetching).report).toMatchObject({ blocks: 7, heldBlocks: 3, reason: "" });
  await rig.close();
});

test("a prefill that comes to nothing is told to who waits, before it has begun and after", async () => {
  const { rig, owner, reader, prompt } = await openPair();
  const error = new StatorError("ENGINE_FAILED", { detail: "it broke" });
  for (const isAnnounced of [false, true]) {
    if (isAnnounced) owner.agent.announce(ROOM, prompt);
    const fetching = reader.agent.fetch({ room: roomAt(owner) }, prompt, fetchOptions());
    if (!isAnnounced) await expect.poll(() => owner.metric("stator_transfer_waiting")).toBe(1);
    else await expect.poll(() => reader.store.reserved).toBe(10);
    owner.agent.fail(ROOM, error);
    await expect(fetching).rejects.toMatchObject({ reason: "STREAM_LOST" });
    expect(owner.agent.load).toMatchObject({ openSessions: 0, pinnedBlocks: 0 });
    expect(reader.store.reserved).toBe(0);
  }
  await rig.close();
});

test("who waits in a room where nobody comes is told so after its time, and so many may wait", async () => {
  const { rig, owner, reader, prompt } = await openPair({ roomMs: 1000, maxSessions: 2 });
  const fetches = [1, 2, 3].map((start) =>
    reader.agent.fetch({ room: roomAt(owner) }, promptOf(40, start * 1000), fetchOptions()),
  );
  const settled = Promise.allSettled(fetches);
  await expect.poll(() => owner.metric("stator_transfer_waiting")).toBe(2);
  rig.clock.advance(1000);
  for (const each of await settled)
    expect(each).toMatchObject({ status: "rejected", reason: { reason: "STREAM_LOST" } });
  expect(await owner.metric("stator_transfer_waiting")).toBe(0);
  owner.agent.announce(ROOM, prompt);
  owner.agent.announce(ROOM + 1n, prompt);
  expect(owner.agent.load.isFull).toBe(true);
  expect(() => owner.agent.announce(ROOM + 2n, prompt)).toThrow(/limit of 2/);
  expect(() => owner.agent.announce(ROOM, prompt)).toThrow(/exists/);
  await rig.close();
});

test("a room of another incarnation, and one whose worker ends, are lost", async () => {
  const { owner, reader, prompt } = await openPair();
  await expect(reader.agent.fetch({ room: roomAt(owner, 5n) }, prompt, fetchOptions())).rejects.toMatchObject({
    reason: "STREAM_LOST",
  });
  owner.agent.announce(ROOM, prompt);
  const fetching = reader.agent.fetch({ room: roomAt(owner) }, prompt, fetchOptions());
  const settled = expect(fetching).rejects.toMatchObject({ reason: "STREAM_LOST" });
  await expect.poll(() => reader.store.reserved).toBe(10);
  await owner.agent.close(new StatorError("DRAINING", { what: "The worker" }));
  await settled;
  expect(reader.store.reserved).toBe(0);
  await reader.agent.close(new StatorError("DRAINING", { what: "The worker" }));
});
