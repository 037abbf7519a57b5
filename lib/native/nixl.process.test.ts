import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { buildNixlSim, fetchNixl, NIXL_MISSING } from "../../test/support/nixl.ts";
import { loadNative, nativeErrorCode } from "./addon.ts";
import { type NixlPeer, nixlPlaces, probeNixl } from "./nixl.ts";
import { openNativeMover } from "./transfer.ts";

const native = loadNative();
/** CHECKSUM_SEED of lib/kv. */
const SEED = 0x564b5453n;
const SIZE = 4 << 20;
const BLOCK = 96 << 10;
/** As another machine would be read, not by the system's own way between processes. */
const NETWORK = { UCX_TLS: "tcp,self" };

/** A process that lends a region of SIZE bytes, byte i = (i * 7 + (i >> 12)) & 255, and tells what notices come. */
const ownerOf = (library: string, name: string) => `
  import { loadNative } from "${new URL("./addon.ts", import.meta.url)}";
  import { openNativeMover } from "${new URL("./transfer.ts", import.meta.url)}";
  const mover = openNativeMover(loadNative().addon);
  const region = mover.openRegion(${SIZE});
  for (let i = 0; i < ${SIZE}; i++) region.bytes[i] = i * 7 + (i >> 12);
  const onNotice = (from, content) => process.send({ from, content });
  const nixl = await mover.openNixl({ library: "${library}", name: "${name}", onNotice });
  await nixl.register(region);
  process.on("message", () => {}); // it lives as long as whoever has started it
  process.send({ metadata: nixl.metadata, address: region.address, sizeBytes: ${SIZE} });
`;

const EXPECTED = Uint8Array.from({ length: SIZE }, (_, i) => i * 7 + (i >> 12));
const blockOf = (bytes: Uint8Array, place: number) => bytes.subarray(place * BLOCK, (place + 1) * BLOCK);

function placesOf(blocks: readonly number[]): BigUint64Array {
  return BigUint64Array.from(blocks, (each) => BigInt(each * BLOCK));
}

/** All threads of a process are stopped. */
function isStopped(processId: number): boolean {
  const threads = readdirSync(`/proc/${processId}/task`);
  return threads.every((id) => readFileSync(`/proc/${processId}/task/${id}/stat`, "latin1").includes(") T "));
}

/** The look-alike, and the library itself where it can be had. */
const LIBRARIES = [
  { title: "its look-alike", missing: "", isReal: false, library: buildNixlSim },
  { title: "itself", missing: NIXL_MISSING, isReal: true, library: () => nixlPlaces(fetchNixl())[0]! },
];

const why = (missing: string) => (missing === "" ? "" : ` (${missing})`);

for (const { title, missing: lacking, isReal, library } of LIBRARIES) {
  const missing = native.unavailable ?? lacking;
  describe.skipIf(missing !== "")(`NIXL, ${title}, between two processes${why(missing)}`, () => {
    const addon = native.addon!;
    const owners: ChildProcess[] = [];
    let owner: ChildProcess;
    let peer: NixlPeer;
    let mover: ReturnType<typeof openNativeMover>;
    let nixl: Awaited<ReturnType<typeof mover.openNixl>>;
    let memory: Awaited<ReturnType<typeof nixl.openPeer>>;
    let to: ReturnType<typeof mover.openRegion>;
    const readerName = `reader-${process.pid}-${isReal}`;

    async function start(): Promise<[ChildProcess, NixlPeer]> {
      const script = ownerOf(library(), `owner-${process.pid}-${isReal}-${owners.length}`);
      const execArgv = ["--import", `data:text/javascript,${encodeURIComponent(script)}`];
      const env = { ...process.env, ...NETWORK };
      const child = fork("-", { execArgv, env, serialization: "advanced", stdio: ["ignore", 2, 2, "ipc"] });
      owners.push(child);
      const [told] = (await once(child, "message")) as [NixlPeer];
      return [child, told];
    }

    function read(blocks: readonly number[], more: { wrong?: number; deadlineMs?: number } = {}) {
      const checksums = BigUint64Array.from(blocks, (each, at) =>
        addon.xxh3(blockOf(EXPECTED, each), at === more.wrong ? 1n : SEED),
      );
      const job = { from: memory, to, fromOffsets: placesOf(blocks), toOffsets: placesOf(blocks.map((_, at) => at)) };
      return mover.copy({ ...job, blockBytes: BLOCK, checksums, deadlineMs: more.deadlineMs ?? 20_000 });
    }

    beforeAll(async () => {
      Object.assign(process.env, NETWORK);
      mover = openNativeMover(addon);
      to = mover.openRegion(SIZE);
      const settings = { library: library(), name: readerName, pieceBytes: 256 << 10 };
      [[owner, peer], nixl] = await Promise.all([start(), mover.openNixl(settings)]);
      memory = await nixl.openPeer(peer);
    });
    afterAll(() => {
      for (const each of owners) each.kill("SIGKILL");
      mover.close();
    });

    it("is found with what it can do", async () => {
      const found = await probeNixl(addon, library());
      expect(found).toMatchObject({ library: library(), plugins: expect.arrayContaining(["UCX"]) });
    });

    it("reads blocks, neighbours and others", async () => {
      const blocks = [9, 10, 11, 3, 30, 29, 0, 1, 2];
      to.bytes.fill(0);
      expect(await read(blocks).done).toMatchObject({ status: "done", copied: 9, reason: "", passes: 2 });
      for (const [at, each] of blocks.entries()) {
        expect(Buffer.compare(blockOf(to.bytes, at), blockOf(EXPECTED, each))).toBe(0);
      }
    });

    it("stops at a block that is not what its checksum says", async () => {
      expect(await read([4, 5, 6, 7], { wrong: 2 }).done).toMatchObject({ status: "corrupt", copied: 2 });
    });

    it("takes jobs back, and runs the others", async () => {
      const all = Array.from({ length: 40 }, (_, at) => at);
      const jobs = Array.from({ length: 12 }, () => read(all));
      for (const job of jobs.slice(1)) job.cancel();
      const results = await Promise.all(jobs.map((each) => each.done));
      expect(results[0]).toMatchObject({ status: "done", copied: 40 });
      expect(results.filter((each) => each.status === "cancelled").length).toBeGreaterThan(0);
      expect(results.every((each) => ["done", "cancelled"].includes(each.status))).toBe(true);
    });

    it("tells the owner a few words", async () => {
      const heard = once(owner, "message");
      await nixl.notify(memory, Uint8Array.of(1, 2, 3));
      expect((await heard)[0]).toEqual({ from: readerName, content: Uint8Array.of(1, 2, 3) });
      await expect(nixl.notify({}, Uint8Array.of(1))).rejects.toThrow("this agent has opened");
    });

    it("keeps its hands off a region while it is filled", async () => {
      const job = read([1, 2, 3]);
      expect(() => to.close()).toThrow("under way");
      await job.done;
    });

    // The look-alike reads stopped processes too: the test of the native layer has one that stalls.
    if (isReal) {
      it("gives a stopped peer up at the deadline, and reads on when it goes on", async () => {
        owner.kill("SIGSTOP");
        await vi.waitUntil(() => isStopped(owner.pid!), { timeout: 10_000 });
        expect(await read([1, 2, 3], { deadlineMs: 200 }).done).toMatchObject({ status: "deadline", copied: 0 });
        expect(await read([1]).done).toMatchObject({ status: "failed" });
        owner.kill("SIGCONT");
        await expect.poll(async () => (await read([1]).done).status, { timeout: 20_000 }).toBe("done");
      });
    }

    it("outlives its peer, and reads from the next one", async () => {
      const gone = once(owner, "exit");
      owner.kill("SIGKILL");
      await gone;
      const lost = await read([1, 2, 3]).done;
      expect(lost).toMatchObject({ status: "failed", copied: 0 });
      expect(lost.reason).toMatch(/could not read from owner-/);
      await expect(nixl.notify(memory, Uint8Array.of(1))).rejects.toSatisfy(
        (e) => nativeErrorCode(e) === "UNSUPPORTED",
      );
      memory.close();
      [owner, peer] = await start();
      memory = await nixl.openPeer(peer);
      expect(await read([5, 6]).done).toMatchObject({ status: "done", copied: 2 });
    });

    it("refuses metadata that are none", async () => {
      const refused = nixl.openPeer({ ...peer, metadata: Uint8Array.of(1, 2, 3) });
      await expect(refused).rejects.toSatisfy((error) => nativeErrorCode(error) === "INVALID_ARGUMENT");
    });

    it("closes with reads under way", async () => {
      const jobs = Array.from({ length: 6 }, () => read(Array.from({ length: 40 }, (_, at) => at)));
      await nixl.close();
      const results = await Promise.all(jobs.map((each) => each.done));
      expect(results.some((each) => each.status === "failed")).toBe(true);
      await expect(nixl.openPeer(peer)).rejects.toSatisfy((error) => nativeErrorCode(error) === "CLOSED");
    });
  });
}

describe.skipIf(native.addon === undefined)("a process that reads by NIXL", () => {
  it.each(["process.exit(7)", "process.exitCode = 7"])("ends with everything open: %s", async (end) => {
    const open = (name: string) => `mover.openNixl({ library: "${buildNixlSim()}", name: "${name}-${process.pid}" })`;
    const program = `
      import { loadNative } from "${new URL("./addon.ts", import.meta.url)}";
      import { openNativeMover } from "${new URL("./transfer.ts", import.meta.url)}";
      const mover = openNativeMover(loadNative().addon);
      const [from, to] = [mover.openRegion(1 << 24), mover.openRegion(1 << 24)];
      const [owner, reader] = await Promise.all([${open("from")}, ${open("to")}]);
      await owner.register(from);
      const peer = await reader.openPeer({ metadata: owner.metadata, address: from.address, sizeBytes: 1 << 24 });
      const offsets = new BigUint64Array(16);
      const job = { to, fromOffsets: offsets, toOffsets: offsets, blockBytes: 1 << 20, checksums: undefined, deadlineMs: 5000 };
      for (let i = 0; i < 20; i++) mover.copy({ ...job, from: peer });
      ${end};
    `;
    const url = `data:text/javascript,${encodeURIComponent(program)}`;
    const child = fork("-", { execArgv: ["--import", url], stdio: ["ignore", 2, 2, "ipc"] });
    const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
    expect({ code, signal }).toMatchObject({ signal: null, code: 7 });
  });
});

describe.skipIf(native.addon === undefined)("a machine without NIXL", () => {
  it("is told why", async () => {
    const nowhere = await probeNixl(native.addon!, "/nowhere");
    expect(nowhere).toEqual({ unavailable: "There is no libnixl_capi.so in /nowhere." });
    const foreign = await probeNixl(native.addon!, "/usr/lib/x86_64-linux-gnu/nothing.so");
    expect(foreign.unavailable).toMatch(/^Cannot open /);
  });
});
