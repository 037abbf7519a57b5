import { beforeEach, describe, expect, it } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { FakeClock } from "#lib/base/clock";
import { ProcessClock } from "#lib/base/process-clock";
import { CHECKSUM_SEED } from "#lib/kv/checksum";
import { xxh3 } from "#lib/tokens/xxh3";
import type { CopyResult, PeerMemory } from "#lib/transfer/mover";
import { Memories, type MemoryHost } from "./memory.ts";
import { Network } from "./network.ts";

const BLOCK = 8;

describe("memory of a world", () => {
  let world: FakeClock;
  let network: Network;
  let memories: Memories;
  let owner: ReturnType<typeof start>;
  let reader: ReturnType<typeof start>;

  function start(name: string, machine = 1n) {
    const process: MemoryHost = { name, clock: new ProcessClock(world), chance: new SeededChance(1n) };
    const mover = memories.open(process, machine);
    return { process, mover, region: mover.openRegion(4 * BLOCK) };
  }

  beforeEach(async () => {
    world = new FakeClock();
    network = new Network(new SeededChance(1n));
    memories = new Memories(network);
    owner = start("owner");
    reader = start("reader");
    owner.region.bytes.fill(7, BLOCK, 2 * BLOCK);
    await owner.mover.listen();
  });

  const about = () => ({ ...owner.mover.identity, sizeBytes: 4 * BLOCK });
  const shared = () => reader.mover.openShared({ ...about(), memoryFile: owner.region.memoryFile! });
  const asked = () => reader.mover.openProcess({ ...about(), address: owner.region.address });
  async function socket(): Promise<PeerMemory> {
    const place = {
      host: "owner",
      port: owner.mover.identity.processId,
      token: new Uint8Array(16),
      region: owner.region.id,
    };
    const opened = reader.mover.connect({ ...place, sizeBytes: 4 * BLOCK, deadlineMs: 100 });
    opened.catch(() => {});
    world.advance(200);
    return opened;
  }

  /** Reads the second block of the owner, which is all sevens unless it changes meanwhile. */
  async function read(from: PeerMemory, meanwhile = () => {}): Promise<CopyResult> {
    const checksums = BigUint64Array.of(xxh3(new Uint8Array(BLOCK).fill(7), CHECKSUM_SEED));
    const offsets = { fromOffsets: BigUint64Array.of(BigInt(BLOCK)), toOffsets: BigUint64Array.of(0n) };
    const job = { from, to: reader.region, ...offsets, blockBytes: BLOCK, checksums, deadlineMs: 100 };
    const { done } = reader.mover.copy(job);
    expect(() => reader.region.close()).toThrow();
    meanwhile();
    world.advance(200);
    return done;
  }

  it("is read by each way, as it is at the moment of the copy", async () => {
    for (const memory of [shared(), asked(), await socket()]) {
      expect(await read(memory)).toMatchObject({ status: "done", copied: 1 });
      expect(reader.region.bytes[0]).toBe(7);
      reader.region.bytes.fill(0);
    }
    const changed = await read(shared(), () => owner.region.bytes.fill(8));
    expect(changed).toMatchObject({ status: "corrupt", copied: 0 });
  });

  it("of a process that has ended is there where it is mapped alone", async () => {
    const [mapped, opened, heard] = [shared(), asked(), await socket()];
    owner.process.clock.end();
    expect([await read(mapped), await read(opened), await read(heard)]).toMatchObject([
      { status: "done" },
      { status: "failed" },
      { status: "failed" },
    ]);
    expect(shared).toThrow("no such process");
  });

  it("does not come over a socket while its process stands still or the network is silent", async () => {
    const [mapped, heard] = [shared(), await socket()];
    owner.process.clock.stop();
    expect([await read(mapped), await read(heard)]).toMatchObject([{ status: "done" }, { status: "deadline" }]);
    owner.process.clock.resume();
    network.silence(owner.process, reader.process);
    expect(await read(heard)).toMatchObject({ status: "deadline", copied: 0 });
    await expect(socket()).rejects.toMatchObject({ reason: "DEADLINE" });
  });

  it("is not shared where that is forbidden, nor with another machine", () => {
    reader.mover.forbid(true);
    expect(shared).toThrow("forbids");
    expect(asked).toThrow("forbids");
    reader = start("stranger", 2n);
    expect(shared).toThrow("no such process");
  });

  it("is garbage once it was given back", () => {
    owner.region.close();
    expect(new Set(owner.region.bytes)).toEqual(new Set([0xdb]));
    expect([owner.mover.openRegions, reader.mover.openRegions]).toEqual([0, 1]);
    expect(shared).toThrow("no such region");
  });
});
