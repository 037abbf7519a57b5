import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DiscoveryService, InstanceState, ListResponseSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { StatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { DirectTransport } from "#lib/rpc/direct";
import { createService } from "#lib/rpc/service";
import { announceServices } from "./announce.ts";
import type { Discovery, DiscoveryWatch } from "./discovery.ts";
import { createMemoryDiscovery } from "./memory.ts";
import { createServicePool, type ServicePool } from "./service-pool.ts";
import { StoreHost } from "./store-host.ts";

const deps = { clock: systemClock, chance: systemChance, log: silentLog, metrics: noMetrics };

/** A service that answers every list with its own number, and holds watches open until it is told. */
function server(number: bigint, open: Set<() => void>) {
  return new DirectTransport(
    [
      createService(DiscoveryService, {
        list: () => create(ListResponseSchema, { revision: number }),
        keepAlive() {
          throw new StatorError("UNAVAILABLE", { what: "It", detail: "test" });
        },
        async *watch(_, { signal }) {
          yield { revision: number };
          await new Promise<void>((resolve) => {
            open.add(resolve);
            signal.addEventListener("abort", () => resolve());
          });
        },
      }),
    ],
    deps,
  );
}

describe("a service pool", () => {
  let host: StoreHost;
  let discovery: Discovery;
  let watch: DiscoveryWatch;
  let pool: ServicePool<typeof DiscoveryService>;
  const dialled: string[] = [];
  const closed: string[] = [];
  const open = new Set<() => void>();

  beforeEach(async () => {
    host = new StoreHost(deps);
    discovery = createMemoryDiscovery(host, deps);
    watch = await discovery.watch("instances");
    pool = createServicePool(DiscoveryService, {
      watch,
      clock: systemClock,
      dial(address) {
        dialled.push(address);
        const transport = server(BigInt(address), open);
        const close = transport.close.bind(transport);
        return Object.assign(transport, {
          close() {
            closed.push(address);
            return close();
          },
        });
      },
    });
  });
  afterEach(async () => {
    pool.close();
    await discovery.close();
    host.close();
    dialled.length = closed.length = 0;
  });
  const announce = (address: string, instanceId: bigint) =>
    announceServices(discovery, { ...deps, services: [DiscoveryService], address, instanceId, ttlMs: 10_000 });
  const members = (count: number) => until(() => pool.instances.length === count);
  const until = async (holds: () => boolean) => {
    for (let at = 0; at < 500 && !holds(); at++) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(holds()).toBe(true);
  };
  const ask = async () => (await pool.client.list({})).revision;

  it("has nobody to ask at first, and says so", async () => {
    await expect(ask()).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    expect(() => pool.pick(1n)).toThrow("was not found");
  });

  it("asks those who answer the service in turn, over one way each", async () => {
    await Promise.all([announce("1", 1n), announce("2", 2n), announce("3", 3n)]);
    await announceServices(discovery, { ...deps, services: [], address: "9", ttlMs: 10_000 });
    await members(3);
    const answers = [await ask(), await ask(), await ask(), await ask(), await ask(), await ask()];
    expect(answers).toEqual([1n, 2n, 3n, 1n, 2n, 3n]);
    expect(dialled).toEqual(["1", "2", "3"]);
    expect((await pool.pick(2n).client.list({})).revision).toBe(2n);
  });

  it("follows who comes, drains and leaves, and lets open calls end", async () => {
    const [first, second] = [await announce("1", 1n), await announce("2", 2n)];
    await members(2);
    const stream = pool.pick(1n).client.watch({});
    expect((await stream.next()).value?.revision).toBe(1n);
    await first.setState(InstanceState.DRAINING, "Shutting down.");
    await members(1);
    expect([await ask(), await ask()]).toEqual([2n, 2n]);
    expect(closed).toEqual([]);
    for (const end of open) end();
    expect((await stream.next()).done).toBe(true);
    await until(() => closed.includes("1"));
    await second.close();
    await members(0);
    await first.setState(InstanceState.READY);
    await members(1);
    expect(await ask()).toBe(1n);
    expect(dialled).toEqual(["1", "2", "1"]);
  });

  it("passes over one that could not be reached while others answer", async () => {
    await Promise.all([announce("1", 1n), announce("2", 2n)]);
    await members(2);
    await expect(pool.client.keepAlive({})).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    expect([await ask(), await ask(), await ask()]).toEqual([2n, 2n, 2n]);
    pool.suspend(2n);
    const answers = new Set([await ask(), await ask()]);
    expect(answers.size, "with all suspended everyone is asked").toBe(2);
  });
});
