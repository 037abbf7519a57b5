import type { KvLayout } from "#lib/kv/layout";
import type { TimePrior } from "#lib/perf/time-model";

/** What prefixes must agree on to be compared. */
export interface KvScope {
  /** Tokens of a block. */
  readonly blockTokens: number;
  /** The name of how blocks are hashed. */
  readonly hashScheme: string;
}

/** How blocks are handed over; what of it must agree is `misfit`'s to say. */
export interface KvFormat {
  /** Bytes of a token's rows in all layers; at least 1. */
  readonly tokenBytes: number;
  /** How a block lies; undefined where its order is not known here. */
  readonly layout: KvLayout | undefined;
  /** The name of how blocks are hashed; empty where nobody says. */
  readonly hashScheme: string;
}

/** What part of requests a worker does. Those for answers can be given whole requests as well. */
export type FleetRole = "aggregated" | "prefill" | "decode";

/** As much of a worker as a place on it may depend on. Another incarnation is another worker. */
export interface FleetWorker {
  /** Its instance. */
  readonly worker: bigint;
  /** Of its start. */
  readonly incarnation: bigint;
  /** Data-parallel ranks, at least 1. */
  readonly ranks: number;
  /** Word for its weights: prefixes are compared within equal words. */
  readonly weights: string;
  /** undefined: what it holds is not known by prefix, and `why` says why not where that is a lack. */
  readonly scope: KvScope | undefined;
  /** Why it is not routed by prefixes, one sentence; empty when it is. */
  readonly why: string;
  /** What is reused of a prefix is a multiple of so many tokens, at least 1. */
  readonly reuseTokens: number;
  /** How its blocks lie in memory; absent where its engine does not say: then they fit those of others that do not. */
  readonly kv?: KvFormat;
  /** What part of requests it does; absent: all of it. */
  readonly role?: FleetRole;
  /** Set where requests have no prompt, as those of tensors: there is no prefix that could be known. */
  readonly noPrompts?: true;
  /** KV blocks of one rank; undefined where nobody knows. */
  readonly totalBlocks: number | undefined;
  /** Requests that run side by side; undefined where nobody knows. */
  readonly maxRunningRequests: number | undefined;
  /** Words that its operator gave it, such as zone=a; requests may require or prefer them. */
  readonly taints: ReadonlySet<string>;
  /** How fast it says that it is; undefined when it does not. */
  readonly prior: TimePrior | undefined;
}

/** The workers that are there, by id; in a stable order. */
export type Fleet = ReadonlyMap<bigint, FleetWorker>;
