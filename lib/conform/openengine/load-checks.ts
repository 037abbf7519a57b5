import type { Check } from "../check.ts";
import { claimed, expect, seen } from "../failure.ts";
import type { EngineBench } from "./engine-bench.ts";

const OVER = "the longest answer that may be asked for was over too soon";

/** How busy an engine says that it is. */
export const LOAD_CHECKS: readonly Check<EngineBench>[] = [
  {
    name: "counts a request that runs, and not when it is over",
    sentence: "Requests in the running batch.",
    of: "LoadInfo.running_requests",
    async run(bench) {
      claimed((await bench.busy()) !== undefined, "it does not report running_requests");
      const call = await bench.caller.start(bench.long()).begun();
      const isCounted = await bench.caller.poll(
        async () => (await bench.busy())! > 0 || call.status !== undefined,
        3_000,
      );
      seen(call.status === undefined, OVER);
      expect(isCounted, "running_requests and queued_requests stay 0 beside a request that runs");
      call.leave();
      await bench.expectFreed(call.requestId, "the caller of its only request went away and");
    },
  },
  {
    name: "tells of ranks only when it is asked to",
    sentence: "Each rank, when asked for.",
    of: "LoadInfo.ranks",
    async run({ caller }) {
      expect((await caller.control.getLoad({})).ranks.length === 0, "ranks came unasked");
      const { ranks, totalKvBlocks } = await caller.control.getLoad({ includePerRank: true });
      claimed(ranks.length > 0, "it reports no ranks");
      const names = ranks.map(({ dataParallelRank }) => dataParallelRank);
      expect(new Set(names).size === names.length, "two ranks have the same number");
      const blocks = ranks.reduce((sum, rank) => sum + (rank.totalKvBlocks ?? 0n), 0n);
      const isSum = totalKvBlocks === undefined || blocks === 0n || blocks === totalKvBlocks;
      expect(isSum, `the ranks have ${blocks} blocks and the engine ${totalKvBlocks}`);
    },
  },
  {
    name: "dates its load",
    sentence: "When, nanoseconds since 1970.",
    of: "LoadInfo.timestamp_unix_nanos",
    async run({ caller }) {
      const { timestampUnixNanos: nanos } = await caller.control.getLoad({});
      claimed(nanos !== undefined, "it does not report timestamp_unix_nanos");
      // Between 2017 and 2128: seconds, milliseconds and microseconds are below it.
      const isNanos = nanos > 1_500_000_000_000_000_000n && nanos < 5_000_000_000_000_000_000n;
      expect(isNanos, `timestamp_unix_nanos is ${nanos}`);
    },
  },
  {
    name: "uses no more blocks than there are",
    sentence: "KV blocks in use.",
    of: "LoadInfo.used_kv_blocks",
    async run(bench) {
      await bench.caller.whole(bench.fresh());
      const { usedKvBlocks: used, totalKvBlocks: total } = await bench.caller.control.getLoad({});
      claimed(used !== undefined && total !== undefined, "it does not report both");
      expect(used <= total, `${used} of ${total} blocks are in use`);
    },
  },
];
