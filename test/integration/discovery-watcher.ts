import type { Discovery, DiscoveryWatch } from "#lib/discovery/discovery";
import { type OpenDiscoveryDeps, openDiscovery } from "#lib/discovery/open";
import { systemClock } from "#lib/host/system-clock";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { rigDeps } from "../conformance/discovery-rig.ts";

/** A reader in this process that notes what it is told. */
export interface Watcher {
  readonly discovery: Discovery;
  readonly watch: DiscoveryWatch;
  /** Keys that it was told to be gone. */
  readonly removed: readonly string[];
  /** Keys now, sorted, joined by a space. */
  readonly keys: string;
  incarnation(key: string): bigint | undefined;
}

/** What tests open discovery with. */
export const TEST_DEPS: OpenDiscoveryDeps = { ...rigDeps(systemClock), credentials: loopbackCredentials };

/** Follows everything at a URL. `settleMs`: how long it keeps what an outage took, as long as elsewhere in tests unless given. */
export async function openWatcher(url: string, settleMs?: number): Promise<Watcher> {
  const patience = settleMs === undefined ? TEST_DEPS.patience : { ...TEST_DEPS.patience, settleMs };
  const discovery = await openDiscovery(url, { ...TEST_DEPS, patience });
  const watch = await discovery.watch("");
  const removed: string[] = [];
  watch.subscribe((change) => removed.push(...change.removed));
  return {
    discovery,
    watch,
    removed,
    get keys() {
      return [...watch.records.keys()].sort().join(" ");
    },
    incarnation(key) {
      const value = watch.records.get(key)?.value;
      return value?.case === "instance" ? value.value.incarnation : undefined;
    },
  };
}
