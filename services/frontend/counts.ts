import type { StatorError } from "#lib/base/errors";
import type { Metrics } from "#lib/host/metrics";
import type { Usage } from "#lib/serving/answer";
import type { PromptTally } from "./tokenize/prompt-memory.ts";

/** How a request ended, for the counters. */
export type Outcome = "ok" | "caller_error" | "server_error" | "aborted" | "slow_client";

/** How a request ended whose caller was told everything, at last perhaps this error. */
export function outcomeOf(error: StatorError | undefined): Outcome {
  if (!error) return "ok";
  return error.row.blame === "caller" ? "caller_error" : "server_error";
}

/** What was counted for one route since the last scrape. */
interface RouteCounts {
  readonly outcomes: Partial<Record<Outcome, number>>;
  bytesIn: number;
  bytesOut: number;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
}

/** Tokens of prompts that were told, so that only those since are added. */
export class PromptCounts {
  readonly #prompts: Readonly<PromptTally>;
  #known = 0;
  #new = 0;

  /** Borrows what counts on. */
  constructor(prompts: Readonly<PromptTally>) {
    this.#prompts = prompts;
  }

  /** Moves what was counted into the instruments. */
  flush(metrics: Metrics): void {
    const { bytes, knownTokens, newTokens } = this.#prompts;
    metrics.set("stator_frontend_prompt_memory_bytes", bytes);
    metrics.add("stator_frontend_encoded_tokens_total", knownTokens - this.#known, { found: "known" });
    metrics.add("stator_frontend_encoded_tokens_total", newTokens - this.#new, { found: "new" });
    this.#known = knownTokens;
    this.#new = newTokens;
  }
}

/** Counts requests and tokens by route in plain numbers, and copies them into the instruments when those are read. */
export class Counts {
  readonly #routes: Record<string, RouteCounts> = {};

  /** A request is over. */
  request(route: string, outcome: Outcome): void {
    const { outcomes } = this.#of(route);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }

  /** Bytes of a request's body, and of its answer. */
  bytes(route: string, bytesIn: number, bytesOut: number): void {
    const counts = this.#of(route);
    counts.bytesIn += bytesIn;
    counts.bytesOut += bytesOut;
  }

  /** A request was answered in full. */
  usage(route: string, usage: Usage): void {
    const counts = this.#of(route);
    counts.promptTokens += usage.promptTokens;
    counts.cachedTokens += usage.cachedTokens;
    counts.completionTokens += usage.completionTokens;
  }

  /** Moves what was counted into the instruments. */
  flush(metrics: Metrics): void {
    for (const [route, counts] of Object.entries(this.#routes)) {
      for (const [outcome, count] of Object.entries(counts.outcomes)) {
        metrics.add("stator_frontend_requests_total", count, { route, outcome });
      }
      metrics.add("stator_frontend_bytes_total", counts.bytesIn, { route, direction: "in" });
      metrics.add("stator_frontend_bytes_total", counts.bytesOut, { route, direction: "out" });
      metrics.add("stator_frontend_prompt_tokens_total", counts.promptTokens, { route });
      metrics.add("stator_frontend_cached_tokens_total", counts.cachedTokens, { route });
      metrics.add("stator_frontend_completion_tokens_total", counts.completionTokens, { route });
      delete this.#routes[route];
    }
  }

  #of(route: string): RouteCounts {
    this.#routes[route] ??= {
      outcomes: {},
      ...{ bytesIn: 0, bytesOut: 0 },
      ...{ promptTokens: 0, cachedTokens: 0, completionTokens: 0 },
    };
    return this.#routes[route];
  }
}
