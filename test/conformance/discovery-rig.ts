import { create } from "@bufbuild/protobuf";
import { InstanceRecordSchema } from "#gen/stator/discovery/v1/discovery_pb";
import type { Clock } from "#lib/base/clock";
import type { DiscoveryDeps } from "#lib/discovery/deps";
import type { Discovery, DiscoveryRecord } from "#lib/discovery/discovery";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemChance } from "#lib/host/system-clock";
import { stalls } from "../support/stalls.ts";

/** One process among those that use the store. */
export interface Participant {
  readonly discovery: Discovery;
  /** The process stands still, as after SIGSTOP: no timer of it fires. What it does when it is called still works. */
  freeze(): void;
  /** It goes on; what fell due fires now. */
  thaw(): void;
}

/** A store of its own for one test, with the faults that the test needs. */
export interface DiscoveryRig {
  join(): Promise<Participant>;
  /** Makes the store unreachable for everybody, and reachable again with what it knew. Undefined: it cannot be lost. */
  readonly outage: { begin(): Promise<void>; end(): Promise<void> } | undefined;
  /** Writes bytes past the interface where a record would be. */
  plant(key: string, bytes: Uint8Array): Promise<void>;
  /** Closes every participant and the store. */
  close(): Promise<void>;
}

/** Dependencies of a participant whose clock is this one; shorter waits than in production. */
export function rigDeps(clock: Clock): DiscoveryDeps {
  const patience = { timeLimitMs: 5_000, settleMs: 2_500, silenceMs: 3_000 };
  return { clock, chance: systemChance, log: silentLog, metrics: noMetrics, patience };
}

/** A record under any key; the incarnation tells versions apart. */
export function instance(key: string, incarnation = 1): DiscoveryRecord {
  const value = create(InstanceRecordSchema, {
    instanceId: 1n,
    incarnation: BigInt(incarnation),
    address: "127.0.0.1:1",
  });
  return { key, value: { case: "instance", value } };
}

/** Waits until something holds; fails with what it was instead. Time in which the machine stood still does not count. */
export async function until(what: string, holds: () => boolean, limitMs = 20_000): Promise<void> {
  const ranMs = () => performance.now() - stalls.stalledMs;
  const endMs = ranMs() + limitMs;
  while (!holds()) {
    if (ranMs() > endMs) throw new Error(`Not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Lets time pass in which something must not happen. */
export function pass(forMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, forMs));
}
