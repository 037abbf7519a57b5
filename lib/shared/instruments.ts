import type { Instruments, Metrics } from "#lib/host/metrics";
import type { SharedRegions } from "./shared-regions.ts";

/** What a process counts of the memory that it shares with clients. */
export const SHARED_INSTRUMENTS = {
  stator_shared_memory_regions: { kind: "gauge", help: "Regions of shared memory that are open" },
  stator_shared_memory_region_bytes: { kind: "gauge", help: "Their lengths together, bytes" },
  stator_shared_memory_copied_bytes: { kind: "gauge", help: "Inputs from regions that requests hold, bytes" },
  stator_shared_memory_moved_bytes_total: {
    kind: "counter",
    help: "Bytes of tensors that were read from regions, or written into them",
    labels: ["direction"],
  },
  stator_shared_memory_refused_total: {
    kind: "counter",
    help: "What a limit refused: regions, region_bytes, request_bytes or copied_bytes",
    labels: ["limit"],
  },
} as const satisfies Instruments;

/** Copies what regions have counted into these instruments at every scrape. Returns what ends it. */
export function scrapeRegions(metrics: Metrics, regions: SharedRegions): () => void {
  const seen = new Map<string, number>();
  const grown = (key: string, total: number): number => {
    const by = total - (seen.get(key) ?? 0);
    seen.set(key, total);
    return by;
  };
  return metrics.onScrape(() => {
    metrics.set("stator_shared_memory_regions", regions.open);
    metrics.set("stator_shared_memory_region_bytes", regions.openBytes);
    metrics.set("stator_shared_memory_copied_bytes", regions.copiedBytes);
    for (const [direction, total] of Object.entries(regions.movedBytes)) {
      metrics.add("stator_shared_memory_moved_bytes_total", grown(direction, total), { direction });
    }
    for (const [limit, total] of Object.entries(regions.refused)) {
      metrics.add("stator_shared_memory_refused_total", grown(limit, total), { limit });
    }
  });
}
