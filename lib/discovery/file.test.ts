import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { InstanceRecordSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { silentLog } from "#lib/host/log";
import { createMetrics, type Metrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { AFTER_STALL } from "../../test/support/stalls.ts";
import { encodeRecord } from "./codec.ts";
import type { Discovery, DiscoveryRecord } from "./discovery.ts";
import { openFileDiscovery } from "./file.ts";
import { fileOf, keyOf, parseFile, printFile } from "./file-format.ts";
import { DISCOVERY_INSTRUMENTS } from "./metrics.ts";

const record = (key: string, incarnation = 1n): DiscoveryRecord => ({
  key,
  value: { case: "instance", value: create(InstanceRecordSchema, { instanceId: 2n ** 63n, incarnation }) },
});

describe("the form of a file", () => {
  it("has one name per key, and the other way round", () => {
    expect(fileOf("models/a_2fb/00ff")).toBe("models+a_2fb+00ff.json");
    expect(keyOf("models+a_2fb+00ff.json")).toBe("models/a_2fb/00ff");
    for (const foreign of ["a.txt", "A.json", ".json", "..json", "a++b.json", "README.md"]) {
      expect(keyOf(foreign), foreign).toBeUndefined();
    }
  });

  it("reads what it prints, and nothing from a torn text", () => {
    const stored = encodeRecord(record("a/b"));
    const text = printFile(stored);
    expect(parseFile("a/b", text)).toEqual(stored);
    for (let length = 0; length < text.length - 2; length++) {
      expect(parseFile("a/b", text.slice(0, length)).bytes).toHaveLength(0);
    }
    expect(parseFile("a/b", text.replace('"key"', '"later": {"x": 1}, "key"'))).toEqual(stored);
  });
});

describe("discovery over files", { retry: AFTER_STALL }, () => {
  let directory: string;
  let metrics: Metrics;
  const open: Discovery[] = [];
  const join_ = async () => {
    const deps = { clock: systemClock, chance: systemChance, log: silentLog, metrics };
    const discovery = await openFileDiscovery(directory, deps);
    open.push(discovery);
    return discovery;
  };
  const until = async (holds: () => boolean | Promise<boolean>) => {
    for (let at = 0; at < 500 && !(await holds()); at++) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await holds()).toBe(true);
  };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "stator-files-"));
    metrics = createMetrics([DISCOVERY_INSTRUMENTS], { processMetrics: false });
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((discovery) => discovery.close()));
    await rm(directory, { recursive: true });
  });

  it("keeps apart what those of one process write at the same time, or of two with the same number", async () => {
    const writers = await Promise.all(Array.from({ length: 8 }, join_));
    const keys = writers.map((_, at) => Array.from({ length: 8 }, (__, place) => `w${at}/${place}`));
    await Promise.all(
      writers.map((one, at) =>
        one.register(
          keys[at]!.map((key) => record(key)),
          { ttlMs: 60_000 },
        ),
      ),
    );
    const watch = await writers[0]!.watch("");
    expect([...watch.records.keys()].sort()).toEqual(keys.flat().sort());
  });

  it("writes over damage, and readers keep the value meanwhile", async () => {
    const [owner, reader] = [await join_(), await join_()];
    const registration = await owner.register([record("a")], { ttlMs: 1_500 });
    let lapses = 0;
    registration.onLapse(() => lapses++);
    const watch = await reader.watch("");
    const removed: string[] = [];
    watch.subscribe((change) => removed.push(...change.removed));
    const path = join(directory, "a.json");
    await writeFile(path, "{ torn");
    await until(async () => (await readFile(path, "utf8")) !== "{ torn");
    expect(watch.records.size).toBe(1);
    expect(removed).toEqual([]);
    expect(lapses).toBe(0);
  });

  it("leaves foreign files alone and counts them", async () => {
    await writeFile(join(directory, "notes.txt"), "hello");
    const [owner, reader] = [await join_(), await join_()];
    await owner.register([record("a")], { ttlMs: 2_000 });
    const watch = await reader.watch("");
    expect([...watch.records.keys()]).toEqual(["a"]);
    expect(await metrics.print()).toMatch(/stator_discovery_unreadable_total\{store="file"\} 1/);
    expect(await readFile(join(directory, "notes.txt"), "utf8")).toBe("hello");
  });

  it("clears away what belongs to nobody any more", async () => {
    const longAgoSeconds = Date.now() / 1000 - 3_600;
    for (const file of ["dead.json", ".writing-1-1"]) {
      await writeFile(join(directory, file), printFile(encodeRecord(record("dead"))));
      await utimes(join(directory, file), longAgoSeconds, longAgoSeconds);
    }
    const watch = await (await join_()).watch("");
    expect(watch.records.size).toBe(0);
    await until(async () => (await readdir(directory)).length === 0);
  });

  it("says in the file's time when its lease ends, and leaves nothing behind", async () => {
    const owner = await join_();
    const registration = await owner.register([record("a"), record("b/c")], { ttlMs: 60_000 });
    expect((await readdir(directory)).sort()).toEqual(["a.json", "b+c.json"]);
    const { mtimeMs } = await stat(join(directory, "a.json"));
    expect(mtimeMs - Date.now()).toBeGreaterThan(50_000);
    expect(mtimeMs - Date.now()).toBeLessThan(60_001);
    await registration.close();
    expect(await readdir(directory)).toEqual([]);
  });

  it("says in one sentence why a directory cannot be used", async () => {
    await writeFile(join(directory, "file"), "");
    directory = join(directory, "file", "below");
    await expect(join_()).rejects.toMatchObject({ reason: "BAD_CONFIG" });
    directory = join(directory, "..", "..");
  });
});
