import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { silentLog } from "#lib/host/log";
import { createMetrics, noMetrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { DISCOVERY_INSTRUMENTS } from "./metrics.ts";
import { type OpenDiscoveryDeps, openDiscovery, parseDiscoveryUrl } from "./open.ts";
import { StoreHost } from "./store-host.ts";

const deps: OpenDiscoveryDeps = {
  clock: systemClock,
  chance: systemChance,
  log: silentLog,
  metrics: noMetrics,
  credentials: loopbackCredentials,
  patience: { timeLimitMs: 700 },
};

describe("the URL of discovery", () => {
  it("names a place", () => {
    expect(parseDiscoveryUrl("memory:")).toEqual({ kind: "memory" });
    expect(parseDiscoveryUrl("hub://127.0.0.1:8005")).toEqual({ kind: "hub", target: "127.0.0.1:8005" });
    expect(parseDiscoveryUrl("hub://[::1]:8005/")).toEqual({ kind: "hub", target: "[::1]:8005" });
    expect(parseDiscoveryUrl("file:///var/lib/a%20b")).toEqual({ kind: "file", directory: "/var/lib/a b" });
    expect(parseDiscoveryUrl("etcd://a:1,b")).toEqual({
      kind: "etcd",
      hosts: ["a:1", "b:2379"],
      root: "/stator",
      user: undefined,
    });
    expect(parseDiscoveryUrl("etcd://me:p%40ss@[::1]:2379/prod/eu/")).toEqual({
      kind: "etcd",
      hosts: ["[::1]:2379"],
      root: "/prod/eu",
      user: { name: "me", password: "p@ss" },
    });
  });

  it("is refused with what it could be, and never with a password", () => {
    for (const bad of [
      ...[
        "",
        "hub",
        "hub://",
        "hub://host",
        "hub://host:0",
        "hub://host:99999",
        "hub://a:1/b",
        "memory:x",
        "http://a:1",
      ],
      ...[
        "file://host/dir",
        "file:relative/../..",
        "file:///",
        "etcd://",
        "etcd://a:1,,b:2",
        "etcd://a:1/p q",
        "etcd:a:1",
      ],
      ...["etcd://secret@a:1", "etcd://me:secret%@a:1", "etcd://me:secret@a:1/*"],
    ]) {
      expect(() => parseDiscoveryUrl(bad), bad).toThrow(/cannot be used for --discovery: .*\. Use hub:\/\/HOST:PORT/);
      expect(() => parseDiscoveryUrl(bad), bad).not.toThrow(/secret/);
    }
  });
});

describe("opening discovery", () => {
  it("shares a store of this process", async () => {
    const memory = new StoreHost(deps);
    const [one, two] = [
      await openDiscovery("memory:", { ...deps, memory }),
      await openDiscovery("memory:", { ...deps, memory }),
    ];
    await one.register([], { ttlMs: 5_000 });
    expect((await two.watch("")).synced).toBe(true);
    await Promise.all([one.close(), two.close()]);
    memory.close();
    const alone = await openDiscovery("memory:", deps);
    await alone.close();
    await alone.close();
  });

  it("counts as a hub nowhere: a store of one process is not served", async () => {
    const metrics = createMetrics([DISCOVERY_INSTRUMENTS], { processMetrics: false });
    const discovery = await openDiscovery("memory:", { ...deps, metrics });
    await discovery.register([], { ttlMs: 5_000 });
    await discovery.watch("");
    const text = await metrics.print();
    expect(text).toContain('stator_discovery_synced{store="memory"} 1');
    expect(text).not.toContain("stator_discovery_hub");
    await discovery.close();
  });

  it("makes a folder", async () => {
    const base = await mkdtemp(join(tmpdir(), "stator-open-"));
    const discovery = await openDiscovery(`file://${base}/a/b`, deps);
    expect((await discovery.watch("")).records.size).toBe(0);
    await discovery.close();
    await rm(base, { recursive: true });
  });

  it("says in a sentence, in time, what to do about a store that is not there", async () => {
    for (const [url, hint] of [
      ["hub://127.0.0.1:1", "The discovery hub at 127.0.0.1:1 cannot be reached: "],
      ["etcd://127.0.0.1:1", "etcd at 127.0.0.1:1 cannot be reached: nobody listens there. Start it, or"],
    ] as const) {
      const startMs = performance.now();
      const error = await openDiscovery(url, deps).catch((caught: unknown) => caught);
      expect(error).toMatchObject({ reason: "UNAVAILABLE" });
      expect(String(error)).toContain(hint);
      expect(String(error)).toContain("give another place with --discovery");
      expect(performance.now() - startMs).toBeLessThan(10_000);
    }
  });

  it("does not talk in plaintext to another machine by itself", async () => {
    await expect(openDiscovery("etcd://192.0.2.1:2379", deps)).rejects.toMatchObject({ reason: "BAD_CONFIG" });
    await expect(openDiscovery("hub://192.0.2.1:2379", deps)).rejects.toMatchObject({ reason: "BAD_CONFIG" });
  });
});
