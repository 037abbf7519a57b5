import { xxh3 } from "#lib/tokens/xxh3";
import type { Candidates } from "./candidates.ts";
import { pickLeast } from "./pick.ts";
import type { Rule, RuleAsk, RuleRow } from "./rule.ts";

const WORDS = 2 ** 64;

/** One session, one worker. */
export const session: RuleRow = {
  unit: "draws",
  needs: ["session"],
  formula:
    "the least hash of session, worker and rank: when workers come or go, only the sessions move that have to; without a session the fewest open requests",
  use: "Where clients name sessions and nothing else is known of prompts. Busy sessions are not spread.",
  origin:
    "vLLM router, `consistent_hash`; here by the least of one hash per worker in place of a ring of 160 points each",
  constants: "none",
  create: () => new SessionRule(),
};

class SessionRule implements Rule {
  readonly isDrawn = false;
  readonly #bytes = new Uint8Array(24);
  readonly #view = new DataView(this.#bytes.buffer);

  score({ session: named }: RuleAsk, of: Candidates, costs: Float64Array): void {
    for (let at = 0; at < of.count; at++) {
      costs[at] = named === undefined ? of.openRequests[at]! + 1 : this.#draw(named, of, at);
    }
  }

  terms(ask: RuleAsk, of: Candidates, at: number) {
    const { session: named } = ask;
    if (named === undefined) return [{ name: "requests, this one too", value: of.openRequests[at]! + 1, counts: true }];
    return [{ name: "hash, as a share", value: this.#draw(named, of, at), counts: true }];
  }

  pick(_: RuleAsk, costs: Float64Array, chance: Parameters<Rule["pick"]>[2], count: number): number {
    return pickLeast(costs, count, chance);
  }

  /** In [0, 1). */
  #draw(named: bigint, of: Candidates, at: number): number {
    this.#view.setBigUint64(0, named, true);
    this.#view.setBigUint64(8, of.workers[at]!, true);
    this.#view.setBigUint64(16, BigInt(of.rank[at]!), true);
    return Number(xxh3(this.#bytes, 0n)) / WORDS;
  }
}
