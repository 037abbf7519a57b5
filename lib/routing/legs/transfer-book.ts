import { BoundedCache } from "#lib/base/collections";
import { type TransferPrior, type TransferSeen, TransferTimes } from "#lib/perf/transfer-times";
import type { KvFormat } from "../fleet.ts";

/** Pairs of workers whose transfers are known; of more, those that were not used for long are forgotten. */
const MOST_PAIRS = 4_096;
/** Bytes of a token where nobody says. */
const USUAL_TOKEN_BYTES = 131_072;

/** How long blocks take between workers: learned for each pair, and for a pair that was not seen from all others. */
export class TransferBook {
  readonly #prior: TransferPrior;
  readonly #all: TransferTimes;
  readonly #pairs: BoundedCache<string, TransferTimes>;

  constructor(prior: TransferPrior, most = MOST_PAIRS) {
    this.#prior = prior;
    this.#all = new TransferTimes(prior);
    this.#pairs = new BoundedCache(most);
  }

  /** Pairs that are known. */
  get pairs(): number {
    return this.#pairs.size;
  }

  /** Predicted milliseconds for so many tokens of one worker's blocks to another; nothing takes none. */
  ms(pair: { readonly from: bigint; readonly to: bigint }, tokens: number, kv: KvFormat | undefined): number {
    if (tokens <= 0) return 0;
    const bytes = tokens * (kv?.tokenBytes ?? USUAL_TOKEN_BYTES);
    return (this.#pairs.get(keyOf(pair)) ?? this.#all).ms(bytes);
  }

  /** Learns from a transfer; its time as a multiple of the predicted one. undefined where it tells nothing. */
  observe(pair: { readonly from: bigint; readonly to: bigint }, seen: TransferSeen): number | undefined {
    const key = keyOf(pair);
    let times = this.#pairs.get(key);
    const predictedMs = (times ?? this.#all).ms(seen.bytes);
    if (!this.#all.observe(seen)) return undefined;
    if (!times) {
      times = new TransferTimes(this.#prior);
      this.#pairs.set(key, times, 1);
    }
    times.observe(seen);
    return seen.ms / predictedMs;
  }
}

function keyOf({ from, to }: { readonly from: bigint; readonly to: bigint }): string {
  return `${from} ${to}`;
}
