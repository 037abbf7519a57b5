import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { connect as connectSocket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { loadNative } from "./addon.ts";
import { openNativeMover } from "./transfer.ts";

const native = loadNative();
/** CHECKSUM_SEED of lib/kv. */
const SEED = 0x564b5453n;

/** What the other process has: a region of these bytes. */
interface Owned {
  readonly processId: number;
  readonly processStart: bigint;
  readonly memoryFile: number;
  readonly address: bigint;
  readonly port: number;
  readonly token: Uint8Array;
  readonly region: number;
}

const SIZE = 4 << 20;

/** A process that owns a region of SIZE bytes, byte i = (i * 7 + (i >> 12)) & 255, and fills it with another one when told. */
const OWNER = `
  import { loadNative } from "${new URL("./addon.ts", import.meta.url)}";
  import { openNativeMover } from "${new URL("./transfer.ts", import.meta.url)}";
  const mover = openNativeMover(loadNative().addon);
  const region = mover.openRegion(${SIZE});
  for (let i = 0; i < ${SIZE}; i++) region.bytes[i] = i * 7 + (i >> 12);
  const { port, token } = await mover.listen({ host: "127.0.0.1", port: 0 });
  const { memoryFile, address, id } = region;
  process.send({ ...mover.identity, memoryFile, address, port, token, region: id });
  process.on("message", (byte) => { region.bytes.fill(byte); process.send("filled"); });
`;

const EXPECTED = Uint8Array.from({ length: SIZE }, (_, i) => i * 7 + (i >> 12));

function blockOf(bytes: Uint8Array, place: number, blockBytes: number): Uint8Array {
  return bytes.subarray(place * blockBytes, (place + 1) * blockBytes);
}

/** All threads of a process are stopped. */
function isStopped(processId: number): boolean {
  const threads = readdirSync(`/proc/${processId}/task`);
  return threads.every((id) => readFileSync(`/proc/${processId}/task/${id}/stat`, "latin1").includes(") T "));
}

describe.skipIf(native.addon === undefined)(`the mover of the addon (${native.unavailable ?? "built"})`, () => {
  const addon = native.addon!;
  let owner: ChildProcess;
  let owned: Owned;
  let mover: ReturnType<typeof openNativeMover>;

  async function start(): Promise<[ChildProcess, Owned]> {
    const url = `data:text/javascript,${encodeURIComponent(OWNER)}`;
    const child = fork("-", { execArgv: ["--import", url], serialization: "advanced", stdio: ["ignore", 2, 2, "ipc"] });
    const [message] = await once(child, "message");
    return [child, message as Owned];
  }

  beforeAll(async () => {
    [owner, owned] = await start();
  });
  afterAll(() => owner?.kill("SIGKILL"));
  afterEach(() => mover?.close());

  const ways = {
    "shared memory": (of: Owned) => mover.openShared({ ...of, sizeBytes: SIZE }),
    "process memory": (of: Owned) => mover.openProcess({ ...of, sizeBytes: SIZE }),
    socket: (of: Owned) => mover.connect({ ...of, host: "localhost", sizeBytes: SIZE, deadlineMs: 5000 }),
  };
  type Peer = Awaited<ReturnType<(typeof ways)["socket"]>>;

  function jobOf(from: Peer, to: object, blockBytes: number, places: readonly number[]) {
    const fromOffsets = BigUint64Array.from(places, (place) => BigInt(place * blockBytes));
    const toOffsets = BigUint64Array.from(places, (_, at) => BigInt(at * blockBytes));
    const checksums = BigUint64Array.from(places, (place) => addon.xxh3(blockOf(EXPECTED, place, blockBytes), SEED));
    return { from, to, fromOffsets, toOffsets, blockBytes, checksums, deadlineMs: 5000 };
  }

  it.each(Object.entries(ways))("reads blocks of another process by %s", async (_, open) => {
    mover = openNativeMover(addon);
    const region = mover.openRegion(SIZE);
    const peer = await open(owned);
    const chance = new SeededChance(1n);
    for (const blockBytes of [1, 100, 4096, 70_000]) {
      const places = Array.from({ length: 20 }, () => pick(chance, Math.floor(SIZE / blockBytes)));
      const result = await mover.copy(jobOf(peer, region, blockBytes, places)).done;
      expect(result).toMatchObject({ status: "done", copied: 20, reason: "", passes: 1 });
      for (const [at, place] of places.entries()) {
        expect(Buffer.compare(blockOf(region.bytes, at, blockBytes), blockOf(EXPECTED, place, blockBytes))).toBe(0);
      }
    }
    peer.close();
    const job = jobOf(peer, region, 100, [1]);
    expect(() => mover.copy(job)).toThrow("There is no memory of others");
  });

  it.each(Object.entries(ways))("tells a block that is not what it should be by %s", async (_, open) => {
    mover = openNativeMover(addon);
    const region = mover.openRegion(SIZE);
    const job = jobOf(await open(owned), region, 50_000, [3, 4, 5, 6]);
    job.checksums[2]! ^= 1n;
    expect(await mover.copy(job).done).toMatchObject({ status: "corrupt", copied: 2 });
    expect(await mover.copy({ ...job, checksums: undefined }).done).toMatchObject({ status: "done", copied: 4 });
  });

  it("copies between regions of its own, and refuses to close one meanwhile", async () => {
    mover = openNativeMover(addon);
    const [from, to] = [mover.openRegion(SIZE), mover.openRegion(SIZE)];
    from.bytes.fill(9);
    const ticket = mover.copy({ ...jobOf(from as never, to, 1 << 16, [1, 2, 3]), checksums: undefined });
    expect(() => to.close()).toThrow("under way");
    expect(await ticket.done).toMatchObject({ status: "done", copied: 3 });
    expect(to.bytes.subarray(0, 3 << 16).every((byte) => byte === 9)).toBe(true);
    to.close();
    // Nobody's memory any more, and no fault.
    to.bytes.fill(1);
    expect(() => to.close()).toThrow("no region");
  });

  it("gives up what is cancelled, late, or one too many", async () => {
    mover = openNativeMover(addon, { jobs: 2 });
    const region = mover.openRegion(SIZE);
    const peer = await ways.socket(owned);
    const job = jobOf(peer, region, 1 << 16, [1, 2, 3]);
    const [first, second, third] = [mover.copy(job), mover.copy({ ...job, deadlineMs: 0 }), mover.copy(job)];
    expect(await third.done).toMatchObject({ status: "failed", reason: "There are 2 copies under way already." });
    third.cancel();
    expect(await second.done).toMatchObject({ status: "deadline" });
    expect(await first.done).toMatchObject({ status: "done" });
    const cancelled = mover.copy({ ...job, from: mover.openRegion(SIZE) });
    cancelled.cancel();
    cancelled.cancel();
    expect(["cancelled", "done", "corrupt"]).toContain((await cancelled.done).status);
    expect(await mover.copy(job).done).toMatchObject({ status: "done" });
  });

  it("says why a way does not work", async () => {
    mover = openNativeMover(addon);
    const other = { ...owned, processStart: owned.processStart + 1n };
    expect(() => ways["shared memory"](other)).toThrow("There is no process");
    expect(() => ways["process memory"](other)).toThrow("There is no process");
    expect(() => ways["shared memory"]({ ...owned, memoryFile: 0 })).toThrow("no file open");
    expect(() => ways["process memory"]({ ...owned, address: 0n })).toThrow("cannot be read");
    await expect(ways.socket({ ...owned, token: new Uint8Array(16) })).rejects.toThrow("does not know the token");
    await expect(ways.socket({ ...owned, region: 99 })).rejects.toThrow("no such region");
    await expect(ways.socket({ ...owned, port: 1 })).rejects.toThrow("cannot be reached");
    const size = { ...owned, host: "127.0.0.1", sizeBytes: SIZE * 2, deadlineMs: 5000 };
    await expect(mover.connect(size)).rejects.toThrow("another size");
    expect(() => mover.openRegion(2 ** 46)).toThrow("reached its limit");
  });

  it("takes so many readers at its socket, and drops who does not say who it is", async () => {
    mover = openNativeMover(addon, { readers: 1, helloMs: 50 });
    const { port } = await mover.listen({ host: "127.0.0.1", port: 0 });
    const silent = connectSocket(port, "127.0.0.1");
    await once(silent, "connect");
    const second = connectSocket(port, "127.0.0.1");
    const [told] = await once(second, "data");
    expect(told.readUInt32LE(4)).toBe(4);
    await once(silent.resume(), "close");
  });

  it("fails copies from a process that dies, except where its memory is mapped", async () => {
    mover = openNativeMover(addon);
    const [child, of] = await start();
    const region = mover.openRegion(SIZE);
    const [shared, memory, socket] = [ways["shared memory"](of), ways["process memory"](of), await ways.socket(of)];
    child.kill("SIGKILL");
    await once(child, "exit");
    const results = await Promise.all(
      [shared, memory, socket].map((peer) => mover.copy(jobOf(peer, region, 4096, [1])).done),
    );
    expect(results.map(({ status }) => status)).toEqual(["done", "failed", "failed"]);
  });

  it("reads on when a process that was stopped goes on, and tells of the deadline meanwhile", async () => {
    mover = openNativeMover(addon);
    const region = mover.openRegion(SIZE);
    const socket = await ways.socket(owned);
    owner.kill("SIGSTOP");
    await vi.waitFor(() => expect(isStopped(owned.processId)).toBe(true), { timeout: 10_000, interval: 2 });
    const late = mover.copy({ ...jobOf(socket, region, 4096, [1, 2]), deadlineMs: 20 });
    expect(await late.done).toMatchObject({ status: "deadline", copied: 0 });
    owner.kill("SIGCONT");
    expect(await mover.copy(jobOf(socket, region, 4096, [3])).done).toMatchObject({ status: "done" });
  });

  it.each(["process.exit(7)", "process.exitCode = 7"])("lets a process end with everything open: %s", async (end) => {
    const program = `
      import { loadNative } from "${new URL("./addon.ts", import.meta.url)}";
      import { openNativeMover } from "${new URL("./transfer.ts", import.meta.url)}";
      const mover = openNativeMover(loadNative().addon);
      const [from, to] = [mover.openRegion(1 << 24), mover.openRegion(1 << 24)];
      const { port, token } = await mover.listen({ host: "127.0.0.1", port: 0 });
      const at = { host: "127.0.0.1", port, token, region: from.id, sizeBytes: 1 << 24, deadlineMs: 5000 };
      const peer = await mover.connect(at);
      const offsets = new BigUint64Array(16);
      const job = { to, fromOffsets: offsets, toOffsets: offsets, blockBytes: 1 << 20, checksums: undefined, deadlineMs: 5000 };
      for (let i = 0; i < 20; i++) { mover.copy({ ...job, from }); mover.copy({ ...job, from: peer }); }
      ${end};
    `;
    const url = `data:text/javascript,${encodeURIComponent(program)}`;
    const child = fork("-", { execArgv: ["--import", url], stdio: ["ignore", 2, 2, "ipc"] });
    child.disconnect();
    expect(await once(child, "exit")).toEqual([7, null]);
  });

  it("settles what is under way when it is closed", async () => {
    mover = openNativeMover(addon);
    const region = mover.openRegion(SIZE);
    const peers = [await ways.socket(owned), ways["shared memory"](owned)];
    const all = peers.flatMap((peer) =>
      Array.from({ length: 20 }, () => mover.copy(jobOf(peer, region, 1 << 16, [1, 2]))),
    );
    mover.close();
    for (const { done } of all) expect(["done", "cancelled", "failed"]).toContain((await done).status);
    expect(() => mover.openRegion(100)).toThrow("closed");
    mover.close();
  });
});
