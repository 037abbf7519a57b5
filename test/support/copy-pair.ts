import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CHECKSUM_SEED } from "#lib/kv/checksum";
import { loadNative } from "#lib/native/addon";
import { openNativeMover } from "#lib/native/transfer";

// Two processes, the reader and the owner that it starts: the reader brings a region over by each way and tells how many bytes
// copy-counter.cpp saw move for each byte of it, within memory and through the kernel, with both processes counted.
const SIZE = 16 << 20;
const BLOCK = 1 << 18;

const addon = loadNative().addon!;
const mover = openNativeMover(addon);
const region = mover.openRegion(SIZE);
const words = new Uint32Array(region.bytes.buffer);

if (process.argv[2] === "owner") {
  for (let at = 0; at < words.length; at++) words[at] = Math.imul(at, 0x9e3779b1);
  const checksums = BigUint64Array.from({ length: SIZE / BLOCK }, (_, at) =>
    addon.xxh3(region.bytes.subarray(at * BLOCK, (at + 1) * BLOCK), CHECKSUM_SEED),
  );
  const { id, memoryFile, address } = region;
  const socket = await mover.listen({ host: "127.0.0.1", port: 0 });
  const { port, token } = socket;
  process.send!({ ...mover.identity, memoryFile, address, port, token, region: id, checksums });
  process.on("disconnect", () => process.exit());
} else {
  const owner = fork(fileURLToPath(import.meta.url), ["owner"], { serialization: "advanced" });
  process.send!(await countAll(owner));
  owner.disconnect();
  process.exit();
}

/** Bytes moved for each byte of a block, by both processes. */
export interface Copies {
  /** Within their memory. */
  readonly memory: number;
  /** By the kernel, into it and out of it. */
  readonly kernel: number;
}

interface Owned {
  readonly processId: number;
  readonly processStart: bigint;
  readonly memoryFile: number;
  readonly address: bigint;
  readonly port: number;
  readonly token: Uint8Array;
  readonly region: number;
  readonly checksums: BigUint64Array;
}

async function countAll(owner: ChildProcess): Promise<object> {
  const [message] = await once(owner, "message");
  const owned = { ...(message as Owned), sizeBytes: SIZE };
  const ways = {
    shared: mover.openShared(owned),
    process: mover.openProcess(owned),
    socket: await mover.connect({ ...owned, host: "127.0.0.1", deadlineMs: 10_000 }),
  };
  const offsets = BigUint64Array.from(owned.checksums, (_, at) => BigInt(at * BLOCK));
  const counted: Record<string, Copies> = {};
  for (const [way, from] of Object.entries(ways)) {
    const job = { from, to: region, fromOffsets: offsets, toOffsets: offsets, blockBytes: BLOCK, deadlineMs: 60_000 };
    const before = counts();
    const { status, reason } = await mover.copy({ ...job, checksums: owned.checksums }).done;
    if (status !== "done") throw new Error(reason);
    const after = counts();
    counted[way] = { memory: (after.memory - before.memory) / SIZE, kernel: (after.kernel - before.kernel) / SIZE };
  }
  return counted;
}

function counts(): Copies {
  const [memory = 0n, kernel = 0n] = new BigUint64Array(
    new Uint8Array(readFileSync(process.env.STATOR_COPY_COUNTER!)).buffer,
  );
  return { memory: Number(memory), kernel: Number(kernel) };
}
