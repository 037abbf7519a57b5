import type { FleetWorker } from "./fleet.ts";
import type { Shelf } from "./ranks.ts";
import type { Candidates } from "./rules/candidates.ts";

/** How a worker reuses a prompt. */
export interface ReuseGrain {
  /** Tokens of the prompt. */
  readonly promptTokens: number;
  /** What is reused is a multiple of so many tokens. */
  readonly reuseTokens: number;
}

/** Tokens of the chunks in which a worker computes prompts: one that keeps less of them than whole blocks does; 0 for one that cuts them anywhere. */
export function chunkTokensOf({ reuseTokens, scope }: Pick<FleetWorker, "reuseTokens" | "scope">): number {
  return scope && reuseTokens > scope.blockTokens ? reuseTokens : 0;
}

/** As much of `tokens` cached ones as is reused: whole grains, and never the whole prompt, of which one token is computed. */
export function reusable(tokens: number, { promptTokens, reuseTokens }: ReuseGrain): number {
  const most = Math.max(0, Math.min(tokens, promptTokens - 1));
  return most - (most % reuseTokens);
}

/** Writes what a slot has of a prompt into a candidate, tier after tier: each adds what follows on the ones before. */
export function readOverlap(
  { overlaps, scope: { blockTokens } }: Shelf,
  slot: number,
  grain: ReuseGrain,
  into: { readonly candidates: Candidates; readonly at: number },
): void {
  const { candidates, at } = into;
  let blocks = overlaps.device[slot]!;
  const device = reusable(blocks * blockTokens, grain);
  blocks += overlaps.host[slot]!;
  const host = reusable(blocks * blockTokens, grain);
  blocks += overlaps.disk[slot]!;
  const disk = reusable(blocks * blockTokens, grain);
  blocks += overlaps.external[slot]!;
  candidates.deviceTokens[at] = device;
  candidates.hostTokens[at] = host - device;
  candidates.diskTokens[at] = disk - host;
  candidates.externalTokens[at] = reusable(blocks * blockTokens, grain) - disk;
}
