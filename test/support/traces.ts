import { writeFileSync } from "node:fs";
import { SeededChance } from "#lib/base/chance";
import type { TraceRow } from "#lib/simulation/replay/trace-row";

/** Tokens of a block of these traces. */
export const TRACE_BLOCK_TOKENS = 512;

/** So many requests that come `everyMs` apart, each with one of a few beginnings and an end of its own. */
export function drawTrace(count: number, { everyMs = 40, seed = 1n } = {}): readonly TraceRow[] {
  const chance = new SeededChance(seed);
  return Array.from({ length: count }, (_, index) => {
    const shared = Math.floor(chance.next() * 8);
    const blocks = 2 + Math.floor(chance.next() * 6);
    const names = Array.from({ length: blocks }, (_each, at) => (at < 2 ? shared * 2 + at : 1_000 + index * 8 + at));
    return {
      index,
      atMs: index * everyMs,
      inputTokens: blocks * TRACE_BLOCK_TOKENS - Math.floor(chance.next() * 200),
      outputTokens: 1 + Math.floor(chance.next() * 40),
      names: BigUint64Array.from(names, BigInt),
      ...{ session: undefined, delayMs: undefined, priority: 0, isDelta: false },
    };
  });
}

/** Writes a trace as Mooncake rows. */
export function writeTrace(path: string, rows: readonly TraceRow[]): void {
  const lines = rows.map(({ atMs, inputTokens, outputTokens, names }) => {
    const row = {
      timestamp: atMs,
      input_length: inputTokens,
      output_length: outputTokens,
      hash_ids: [...names].map(Number),
    };
    return `${JSON.stringify(row)}\n`;
  });
  writeFileSync(path, lines.join(""));
}
