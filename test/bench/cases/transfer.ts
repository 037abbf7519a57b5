// What the addon's mover needs to bring 1 MiB blocks over from another process, by each way, beside the least that it can cost:
// transfer-floor.cpp, compiled here. In turn, in one run; from the order on the event loop to its promise.
//   node test/bench/cases/transfer.ts [NAME_PART]
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { loadNative } from "#lib/native/addon";
import { openNativeMover } from "#lib/native/transfer";
import { cacheFolder } from "../cache.ts";
import { median, Program, runCases, timed, volume } from "../harness.ts";

const BLOCK = 1 << 20;
const POOL = volume(256, 16) * BLOCK;
/** Blocks of one job, as a session's window has them. */
const JOB_BLOCKS = 16;
const PASSES = volume(15, 2);

type Mover = ReturnType<typeof openNativeMover>;
type Peer = ReturnType<Mover["openShared"]>;
type FloorPass = "copy" | "hash" | "socket";

function compileFloor(): { readonly program: string } | { readonly reason: string } {
  const native = path.join(import.meta.dirname, "..", "..", "..", "native");
  const sources = [path.join(import.meta.dirname, "..", "transfer-floor.cpp"), path.join(native, "core", "xxh3.cpp")];
  const hash = createHash("sha256");
  for (const source of sources) hash.update(readFileSync(source));
  const program = path.join(cacheFolder(), `transfer-floor-${hash.digest("hex").slice(0, 12)}`);
  if (existsSync(program)) return { program };
  const half = `${program}.${process.pid}`;
  const flags = ["-O3", "-DNDEBUG", "-std=c++20", "-I", native, ...sources, "-o", half];
  const { status, error, stderr } = spawnSync("g++", flags, { encoding: "utf8" });
  if (status !== 0) return { reason: `the floor cannot be compiled: ${error?.message ?? stderr}` };
  renameSync(half, program);
  return { program };
}

/** The floor as a process that makes one pass at a time. */
class Floor {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(program: string) {
    this.#child = spawn(program, [String(BLOCK), String(POOL)], { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  async heard(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("the floor ended early");
    return value;
  }

  /** Milliseconds for the pool. */
  async pass(kind: FloorPass): Promise<number> {
    this.#child.stdin!.write(`${kind}\n`);
    return Number((await this.heard()).split(" ")[0]) * 1000;
  }

  end(): void {
    this.#child.stdin!.end();
  }
}

interface Owner {
  readonly processId: number;
  readonly processStart: string;
  readonly memoryFile: number;
  readonly address: string;
  readonly port: number;
  readonly token: readonly number[];
  readonly region: number;
  readonly checksums: readonly string[];
}

const ways = {
  shared: (mover: Mover, { processId, processStart, memoryFile }: Owner) =>
    mover.openShared({ processId, memoryFile, processStart: BigInt(processStart), sizeBytes: POOL }),
  process: (mover: Mover, { processId, processStart, address }: Owner) =>
    mover.openProcess({ processId, processStart: BigInt(processStart), address: BigInt(address), sizeBytes: POOL }),
  socket: (mover: Mover, { port, token, region }: Owner) =>
    mover.connect({
      host: "127.0.0.1",
      port,
      region,
      token: Uint8Array.from(token),
      sizeBytes: POOL,
      deadlineMs: 5000,
    }),
};

/** Brings the whole pool over, two jobs at a time, so that the thread always has one. */
async function bring(mover: Mover, peer: Peer, to: object, checksums: BigUint64Array | undefined): Promise<void> {
  const jobs = Array.from({ length: POOL / BLOCK / JOB_BLOCKS }, (_, job) => {
    const offsets = BigUint64Array.from({ length: JOB_BLOCKS }, (_, at) => BigInt((job * JOB_BLOCKS + at) * BLOCK));
    const own = checksums?.subarray(job * JOB_BLOCKS, (job + 1) * JOB_BLOCKS);
    return { from: peer, to, fromOffsets: offsets, toOffsets: offsets, blockBytes: BLOCK, checksums: own };
  });
  const results: Promise<{ status: string; reason: string }>[] = [];
  for (const [at, job] of jobs.entries()) {
    if (at >= 2) await results[at - 2];
    results.push(mover.copy({ ...job, deadlineMs: 60_000 }).done);
  }
  for (const { status, reason } of await Promise.all(results)) if (status !== "done") throw new Error(reason);
}

/** Medians of the floor's time ÷ ours, plain and checked, each pair in turn. */
async function compare(way: keyof typeof ways, plain: FloorPass, checked: FloorPass): Promise<object> {
  const { addon, unavailable } = loadNative();
  if (addon === undefined) return { skipped: unavailable };
  const compiled = compileFloor();
  if ("reason" in compiled) return { skipped: compiled.reason };
  const floor = new Floor(compiled.program);
  const program = new Program("transfer-owner.ts", BLOCK, POOL);
  const mover = openNativeMover(addon);
  try {
    const owner = await program.heard<Owner>();
    await floor.heard();
    const region = mover.openRegion(POOL);
    region.bytes.fill(1);
    const peer = await ways[way](mover, owner);
    const checksums = BigUint64Array.from(owner.checksums, BigInt);
    const ratios = { plain: [] as number[], checked: [] as number[] };
    const took: number[] = [];
    for (let pass = 0; pass < PASSES + 2; pass++) {
      for (const kind of ["plain", "checked"] as const) {
        const floorMs = await floor.pass(kind === "plain" ? plain : checked);
        const [ms] = await timed(
          () => performance.now(),
          () => bring(mover, peer, region, kind === "plain" ? undefined : checksums),
        );
        if (pass < 2) continue;
        ratios[kind].push(floorMs / ms);
        if (kind === "checked") took.push(ms);
      }
    }
    return {
      plainShare: median(ratios.plain),
      checkedShare: median(ratios.checked),
      checkedGbps: POOL / median(took) / 1e6,
    };
  } finally {
    mover.close();
    floor.end();
    program.end();
  }
}

await runCases({
  "transfer/shared/1-mib": () => compare("shared", "copy", "hash"),
  "transfer/process/1-mib": () => compare("process", "copy", "hash"),
  "transfer/socket/1-mib": () => compare("socket", "socket", "socket"),
});
process.exit(0);
