import { expect, it } from "vitest";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { FakeMachine } from "../../test/support/fake-machine.ts";
import type { BlockStaging } from "./block-store.ts";
import { TRANSFER_INSTRUMENTS } from "./instruments.ts";
import type { OwnRegion } from "./mover.ts";
import { PinnedStaging, type Pinner } from "./pinned-staging.ts";

/** An engine, and a driver that pins when it is told. */
class Rig {
  readonly machine = new FakeMachine();
  readonly metrics = createMetrics([TRANSFER_INSTRUMENTS], { processMetrics: false });
  /** What the engine was given, in order. */
  readonly used: (number | undefined)[] = [];
  readonly told: string[] = [];
  readonly pinning = Promise.withResolvers<void>();
  pinned: OwnRegion | undefined;
  engine: Promise<void> = Promise.resolve();
  readonly #pinner: Pinner = {
    pin: (region) => {
      this.pinned = region;
      return this.pinning.promise;
    },
  };

  open(
    choice: Parameters<typeof PinnedStaging.open>[0],
    device: BlockStaging["device"] | "none" = "cuda",
    addon = true,
  ) {
    const staging: BlockStaging = {
      ...{ device: device === "cuda" ? device : "other", sizeBytes: 64 },
      use: (memory) => {
        this.used.push(memory?.byteLength);
        return this.engine;
      },
    };
    const tell = (phrase: string, fields: object = {}) =>
      void this.told.push([phrase, ...Object.values(fields)].join(": "));
    const pinner = addon ? this.#pinner : undefined;
    const log = { ...silentLog, info: tell, warn: tell };
    const deps = { mover: this.machine.add(), pinner, log, metrics: this.metrics };
    return PinnedStaging.open(choice, device === "none" ? undefined : staging, deps);
  }

  async bytes(): Promise<number> {
    return Number(/^stator_transfer_page_locked_bytes (\d+)$/m.exec(await this.metrics.print())?.[1]);
  }
}

it("memory is pinned where CUDA computes, or where that is said, and is told", async () => {
  for (const [choice, device] of [
    ["auto", "cuda"],
    ["always", "other"],
  ] as const) {
    const rig = new Rig();
    const staging = rig.open(choice, device);
    expect([rig.machine.regions, rig.used, await rig.bytes()]).toEqual([1, [], 0]);
    rig.pinning.resolve();
    await expect.poll(() => rig.bytes()).toBe(64);
    expect([rig.used, rig.told]).toEqual([[64], ["blocks pass through pinned memory: 64"]]);
    await Promise.all([staging?.close(), staging?.close()]);
    expect([rig.machine.regions, rig.used, await rig.bytes()]).toEqual([0, [64, undefined], 0]);
  }
});

it.each([
  ["auto", "other", []],
  ["auto", "none", []],
  ["none", "cuda", []],
  ["always", "none", ["memory for blocks is not pinned: this engine has none that blocks pass through"]],
] as const)("%s with %s pins nothing", async (choice, device, told) => {
  const rig = new Rig();
  expect(rig.open(choice, device)).toBeUndefined();
  expect([rig.machine.regions, rig.told, await rig.bytes()]).toEqual([0, told, 0]);
});

it("what the driver refuses is told, and the engine keeps its own memory", async () => {
  const rig = new Rig();
  const staging = rig.open("auto");
  rig.pinning.reject(new Error("The CUDA driver has no device."));
  await expect.poll(() => rig.told).toEqual(["memory for blocks is not pinned: The CUDA driver has no device."]);
  expect([rig.machine.regions, rig.used, await rig.bytes()]).toEqual([0, [], 0]);
  await staging?.close();
  const plain = new Rig();
  plain.open("always", "other", false);
  expect(plain.told).toEqual(["memory for blocks is not pinned: there is no native addon"]);
});

it("closing waits for no driver, and for an engine that still uses the memory", async () => {
  const early = new Rig();
  await early.open("auto")?.close();
  expect(early.machine.regions).toBe(0);
  early.pinning.reject(new Error("The region was closed."));
  await Promise.resolve();
  expect([early.told, early.used]).toEqual([[], []]);

  const late = new Rig();
  const staging = late.open("auto");
  late.pinning.resolve();
  await expect.poll(() => late.used).toEqual([64]);
  const over = Promise.withResolvers<void>();
  late.engine = over.promise;
  const closing = staging?.close();
  await Promise.resolve();
  expect([late.used, late.machine.regions]).toEqual([[64, undefined], 1]);
  over.reject(new Error("The context was closed."));
  await closing;
  expect(late.machine.regions).toBe(0);
});
