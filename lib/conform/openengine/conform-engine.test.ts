import { afterEach, describe, expect, it } from "vitest";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { openServer } from "#lib/rpc/server";
import type { Found } from "../check.ts";
import { type ConformEngineOptions, conformEngine } from "./conform-engine.ts";
import { ENGINE_FAULTS } from "./engine-faults.ts";
import { openPracticeEngine, type PracticeEngineOptions } from "./practice-engine.ts";

const closes: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closes.splice(0)) await close();
});

/** Runs checks against a practice engine on a port of its own. */
async function conform(
  like: Partial<PracticeEngineOptions>,
  options: Partial<ConformEngineOptions> = {},
): Promise<Found[]> {
  const engine = openPracticeEngine({ model: "m", clock: systemClock, stepMs: 1, ...like });
  const deps = { clock: systemClock, log: silentLog, metrics: noMetrics };
  const { services } = engine;
  const server = await openServer({ ...deps, host: "127.0.0.1", port: 0, credentials: loopbackCredentials, services });
  closes.push(() => {
    engine.close();
    return server.close();
  });
  return conformEngine({
    connect: () => new Channel(server.address, loopbackCredentials, systemClock),
    clock: systemClock,
    chance: systemChance,
    adapterPath: "/adapters/practice.gguf",
    tellToEnd: () => engine.drain(),
    mostKeptBytes: 2 * 1024 * 1024,
    ...options,
  });
}

const not = (founds: readonly Found[], outcome: Found["outcome"]) =>
  founds.flatMap((found) => (found.outcome === outcome ? [`${found.name}: ${found.reason}`] : []));

describe("the checks of openengine.v1", { timeout: 60_000 }, () => {
  it("find nothing wrong with an engine that keeps it, which loads at first", async () => {
    const founds = await conform({ loadMs: 300 });
    expect(not(founds, "failed")).toEqual([]);
    expect(founds.length).toBeGreaterThanOrEqual(60);
  });

  it("cut off an engine that floods, by a bound", async () => {
    const founds = await conform(
      {},
      { mostMessages: 10, only: (name) => name === "gives every token that was asked for" },
    );
    expect(founds).toMatchObject([{ outcome: "failed", reason: "it floods: more than 10 messages came in one call" }]);
  });

  it.each(ENGINE_FAULTS)("name an engine that $does", async ({ name, check }) => {
    const founds = await conform(
      { fault: name, loadMs: name === "ready-before-load" ? 500 : 0 },
      { only: (each) => each === check },
    );
    expect(founds).toMatchObject([{ name: check, outcome: "failed" }]);
  });
});
