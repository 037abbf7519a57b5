import { expect, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import { fetchOptions, LAYOUT, promptOf, TransferRig, type WorkerSaid } from "../../test/support/transfer-rig.ts";
import { hashesOf } from "./session-message.ts";

const FIRST = Uint32Array.of(9001);

async function openPair(owners: WorkerSaid = {}, readers: WorkerSaid = {}) {
  const rig = new TransferRig();
  const [owner, reader] = [await rig.add(owners), await rig.add(readers)];
  const prompt = promptOf(42);
  owner.store.compute(prompt);
  const session = owner.agent.keep({ ...prompt, firstTokens: FIRST });
  return { rig, owner, reader, prompt, session, hashes: hashesOf(prompt, LAYOUT.blockTokens) };
}

test.each([
  ["other weights", { modelDigest: new Uint8Array(32) }, "CONTRACT_MISMATCH"],
  ["other rows", { layout: { ...LAYOUT, keyRowBytes: 32 } }, "CONTRACT_MISMATCH"],
  ["a size that does not divide", { layout: { ...LAYOUT, blockTokens: 6 } }, "CONTRACT_MISMATCH"],
  ["no room", { totalBlocks: 9 }, "LIMIT"],
] satisfies [string, WorkerSaid, string][])("who has %s computes all itself, and lets go", async (_, said, reason) => {
  const { rig, owner, reader, prompt, session } = await openPair({}, said);
  const { firstTokens, report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
  expect(firstTokens).toEqual(FIRST);
  expect(report).toMatchObject({ blocks: 0, reason });
  expect(owner.store.counts.read).toBe(0);
  await expect.poll(() => owner.agent.load.openSessions).toBe(0);
  await rig.close();
});

test.each([
  ["model_digest", { modelDigest: new Uint8Array(32) }],
  ["hash_scheme", { hashScheme: "md5" }],
  ["layout.layers", { layout: { ...LAYOUT, layers: 3 } }],
  ["layout.keyRowBytes", { layout: { ...LAYOUT, keyRowBytes: 32 } }],
  ["layout.valueRowBytes", { layout: { ...LAYOUT, valueRowBytes: 32 } }],
  ["layout.elementType", { layout: { ...LAYOUT, elementType: "q8_0" } }],
  ["layout.engineFormat", { layout: { ...LAYOUT, engineFormat: "fake-2" } }],
  ["layout.blockTokens", { layout: { ...LAYOUT, blockTokens: 6 } }],
] satisfies [string, WorkerSaid][])("what does not fit in %s is told by that name, once", async (field, said) => {
  const { rig, owner, reader, prompt, session } = await openPair({}, said);
  for (let times = 0; times < 2; times++) {
    const { report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
    expect(report).toMatchObject({ blocks: 0, rung: "", reason: "CONTRACT_MISMATCH" });
  }
  expect(rig.warnings).toEqual([expect.stringContaining(`blocks of a worker do not fit those here: ${field} `)]);
  expect(owner.store.counts.read).toBe(0);
  await rig.close();
});

test("a session of another prompt, salt, scheme, incarnation or engine is not believed", async () => {
  const { rig, owner, reader, prompt, session } = await openPair();
  const fetchOf = async (changed: Partial<typeof session>, of = prompt) =>
    (await reader.agent.fetch({ session: { ...session, ...changed } }, of, fetchOptions())).report.reason;
  expect(await fetchOf({}, promptOf(42, 2))).toBe("CONTRACT_MISMATCH");
  expect(await fetchOf({}, promptOf(42, 1, "salt"))).toBe("CONTRACT_MISMATCH");
  expect(await fetchOf({}, { ...prompt, adapter: "pirate" })).toBe("CONTRACT_MISMATCH");
  expect(await fetchOf({}, promptOf(30))).toBe("CONTRACT_MISMATCH");
  expect(await fetchOf({ hashScheme: "md5" })).toBe("CONTRACT_MISMATCH");
  expect(await fetchOf({ incarnation: 5n })).toBe("STREAM_LOST");
  expect(await fetchOf({ transfer: "nixl" })).toBe("UNSUPPORTED_FEATURE");
  expect(await fetchOf({ endpoints: [] })).toBe("INVALID_ARGUMENT");
  expect(await fetchOf({ layout: undefined })).toBe("INVALID_ARGUMENT");
  expect(await fetchOf({ sequenceHashes: new Uint8Array(9) })).toBe("INVALID_ARGUMENT");
  expect(await fetchOf({ sessionId: "nobody" })).toBe("NOT_FOUND");
  expect(owner.store.counts.read).toBe(0);
  expect(reader.store.reserved).toBe(0);
  await rig.close();
});

test("a session that nobody fetches is free when its lease is over", async () => {
  const { rig, owner, reader, prompt, session } = await openPair({ limits: { leaseMs: 400 } });
  expect(session.leaseMs).toBe(400);
  rig.clock.advance(399);
  const later = owner.agent.keep({ ...promptOf(8), firstTokens: FIRST });
  expect(owner.agent.load).toMatchObject({ openSessions: 2, pinnedBlocks: 10 });
  rig.clock.advance(1);
  expect(owner.agent.load).toMatchObject({ openSessions: 1, pinnedBlocks: 2 });
  expect(owner.store.pinned).toBe(2);
  const { report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
  expect(report).toMatchObject({ reason: "NOT_FOUND", blocks: 0 });
  owner.agent.release([later.sessionId, "nobody"]);
  expect(owner.store.pinned).toBe(0);
  expect(await owner.metric("stator_transfer_sessions_total", "expired")).toBe(1);
  await rig.close();
});

test("sessions and the blocks that they keep are bounded, and a bound is told before it is passed", async () => {
  const rig = new TransferRig();
  const owner = await rig.add({ totalBlocks: 40, limits: { maxPinnedShare: 0.3, maxSessions: 3 } });
  const keep = (start: number, tokens: number) => {
    const prompt = promptOf(tokens, start);
    owner.store.compute(prompt);
    return owner.agent.keep({ ...prompt, firstTokens: FIRST });
  };
  expect(keep(1, 32).sequenceHashes.byteLength).toBe(64);
  expect(owner.agent.load.isFull).toBe(false);
  expect(keep(1000, 20)).toMatchObject({ sessionId: "", sequenceHashes: { byteLength: 0 } });
  expect(owner.agent.load).toMatchObject({ openSessions: 1, pinnedBlocks: 8 });
  // What is kept already costs nothing more.
  keep(1, 40);
  expect(owner.agent.load).toMatchObject({ openSessions: 2, pinnedBlocks: 10 });
  const third = keep(2000, 8);
  expect(owner.agent.load).toMatchObject({ openSessions: 3, pinnedBlocks: 12 });
  expect(owner.agent.load.isFull).toBe(true);
  expect(keep(1, 8).sessionId).toBe("");
  owner.agent.release([third.sessionId]);
  expect(owner.agent.load.isFull).toBe(false);
  await rig.close();
});

test("a reader that stops mid-way keeps neither blocks nor memory beyond its lease", async () => {
  const { rig, owner, reader, prompt, session } = await openPair({ limits: { regionBytes: 4096 } });
  const held = Promise.withResolvers<undefined>();
  rig.machine.onCopy = () => held.promise;
  const fetching = reader.agent.fetch({ session }, prompt, fetchOptions());
  await expect.poll(() => owner.store.counts.read).toBe(4);
  // The reader's own heart beats; the owner hears it until the copy may take no longer.
  rig.clock.advance(30_000);
  const { report } = await settleCopy(held, fetching);
  expect(report.reason).not.toBe("");
  await expect.poll(() => owner.agent.load).toMatchObject({ openSessions: 0, pinnedBlocks: 0 });
  expect(owner.store.pinned).toBe(0);
  await rig.close();
});

async function settleCopy<Result>(held: PromiseWithResolvers<undefined>, fetching: Promise<Result>): Promise<Result> {
  held.resolve(undefined);
  return fetching;
}

test("who gives a fetch up leaves nothing behind, and its session to the lease", async () => {
  const { rig, owner, reader, prompt, session } = await openPair();
  const controller = new AbortController();
  const held = Promise.withResolvers<undefined>();
  const began = Promise.withResolvers<void>();
  rig.machine.onCopy = () => {
    began.resolve();
    return held.promise;
  };
  const fetching = reader.agent.fetch({ session }, prompt, { signal: controller.signal });
  const settled = expect(fetching).rejects.toMatchObject({ reason: "CANCELLED" });
  await began.promise;
  controller.abort(new StatorError("CANCELLED"));
  held.resolve(undefined);
  await settled;
  expect(reader.store.reserved).toBe(0);
  expect(owner.agent.load.openSessions).toBe(1);
  rig.machine.onCopy = () => undefined;
  const again = await reader.agent.fetch({ session }, prompt, fetchOptions());
  // What was copied when it was given up is not copied again.
  expect(again.report).toMatchObject({ heldBlocks: 8, blocks: 2, reason: "" });
  await rig.close();
});

test("what is not here by its time is computed, and an owner that says nothing is not waited for", async () => {
  const { rig, owner, reader, prompt, session } = await openPair({}, { limits: { stallMs: 3000 } });
  const held = Promise.withResolvers<void>();
  owner.store.beforeRead = () => held.promise;
  const stalled = reader.agent.fetch({ session }, prompt, fetchOptions());
  expect((await passing(rig, stalled)).report).toMatchObject({ reason: "WORKER_STALLED", blocks: 0 });
  const other = promptOf(40, 500);
  owner.store.compute(other);
  const kept = owner.agent.keep({ ...other, firstTokens: FIRST });
  const late = reader.agent.fetch({ session: kept }, other, { ...fetchOptions(), deadlineMs: 2000 });
  expect((await passing(rig, late)).report).toMatchObject({ reason: "DEADLINE", blocks: 0 });
  held.resolve();
  await expect.poll(() => owner.store.pinned).toBe(0);
  await rig.close();
});

/** Lets time pass until a promise is settled. */
async function passing<Result>(rig: TransferRig, promise: Promise<Result>): Promise<Result> {
  let isSettled = false;
  const settled = promise.finally(() => {
    isSettled = true;
  });
  const pass = () => {
    if (!isSettled) rig.clock.advance(1000);
    return isSettled;
  };
  await expect.poll(pass, { interval: 5 }).toBe(true);
  return settled;
}

test("many fetches share little memory in turns, and beyond the bound they are computed", async () => {
  const rig = new TransferRig();
  const limits = { regionBytes: 4096, maxFetches: 6 };
  const [owner, reader] = [await rig.add({ limits }), await rig.add({ limits })];
  const prompts = Array.from({ length: 7 }, (_, at) => promptOf(80, at * 1000));
  const fetched = await Promise.all(
    prompts.map((prompt) => {
      owner.store.compute(prompt);
      const session = owner.agent.keep({ ...prompt, firstTokens: FIRST });
      return reader.agent.fetch({ session }, prompt, fetchOptions());
    }),
  );
  expect(fetched.map(({ report }) => report.reason)).toEqual(["", "", "", "", "", "", "LIMIT"]);
  for (const prompt of prompts.slice(0, 6)) expect(reader.store.isRight(hashesOf(prompt, 4))).toBe(true);
  await expect.poll(() => owner.agent.load.openSessions).toBe(0);
  await rig.close();
});

test("a worker that has come back since keeps nothing of before", async () => {
  const { rig, owner, reader, prompt, session } = await openPair();
  owner.incarnation = 999n;
  const { report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
  expect(report.reason).toBe("STREAM_LOST");
  await rig.close();
});
