// What the ways between two workers' agents need for the same blocks, 1 MiB each, in turn, in one run: from the reader's
// `fetch` to its end, with the blocks in memory of both sides and no engine.
//   node test/bench/cases/transfer-rungs.ts [NAME_PART]
import { fromBinary } from "@bufbuild/protobuf";
import { KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import { loadNative } from "#lib/native/addon";
import type { TransferAgent } from "#lib/transfer/agent";
import { BlockPool } from "../block-pool.ts";
import { median, Program, runCases, timed, volume } from "../harness.ts";
import { openParty, promptOf } from "../transfer-party.ts";

const BLOCKS = volume(64, 4);
const PASSES = volume(15, 2);
const RUNGS = ["tcp", "grpc", "shared-memory"] as const;

/** Milliseconds for all blocks. */
async function pass(reader: TransferAgent, keeper: Program, rung: string): Promise<number> {
  const kept = await keeper.ask<string>({});
  const session = fromBinary(KvSessionSchema, Buffer.from(kept, "base64"));
  const [ms, { report }] = await timed(
    () => performance.now(),
    () => reader.fetch({ session }, promptOf(BLOCKS * 64, 1), { signal: new AbortController().signal }),
  );
  if (report.rung !== rung || report.blocks !== BLOCKS) throw new Error(`${rung}: ${JSON.stringify(report.reason)}`);
  return ms;
}

async function compare(): Promise<object> {
  const { addon, unavailable } = loadNative();
  if (addon === undefined) return { skipped: unavailable };
  const keeper = new Program("transfer-keeper.ts", BLOCKS);
  try {
    await keeper.heard();
    const took = { tcp: [] as number[], grpc: [] as number[], "shared-memory": [] as number[] };
    const store = new BlockPool(addon, BLOCKS, false);
    const open = (rung: (typeof RUNGS)[number], at: number) =>
      openParty(addon, { ...store, store }, { number: 2n + BigInt(at), rung });
    const readers = await Promise.all(RUNGS.map(open));
    for (let at = 0; at < PASSES + 2; at++) {
      for (const [index, rung] of RUNGS.entries()) {
        const ms = await pass(readers[index]!, keeper, rung);
        if (at >= 2) took[rung].push(ms);
      }
    }
    const ratios = took.grpc.map((ms, at) => ms / took.tcp[at]!);
    const gbps = (rung: (typeof RUNGS)[number]) => (BLOCKS * 1.048576) / median(took[rung]);
    return {
      ratio: median(ratios),
      ...{ grpcGbps: gbps("grpc"), tcpGbps: gbps("tcp"), sharedGbps: gbps("shared-memory") },
    };
  } finally {
    keeper.end();
  }
}

await runCases({ "transfer/grpc": compare });
process.exit(0);
