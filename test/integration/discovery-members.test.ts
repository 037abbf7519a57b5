import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { until } from "../conformance/discovery-rig.ts";
import { AFTER_STALL } from "../support/stalls.ts";
import { etcdMissing, openEtcd } from "./discovery-etcd-server.ts";
import { startProgram } from "./discovery-processes.ts";
import { openWatcher } from "./discovery-watcher.ts";

interface Place {
  readonly url: string;
  close(): Promise<void>;
}

const missing = etcdMissing();
const PLACES: { name: string; skip?: string; open(): Promise<Place> }[] = [
  {
    name: "a hub",
    async open() {
      const hub = await startProgram("hub", ["0"]);
      return { url: `hub://127.0.0.1:${hub.said[0]}`, close: () => hub.kill() };
    },
  },
  {
    name: "a directory",
    async open() {
      const folder = await mkdtemp(join(tmpdir(), "stator-members-"));
      return { url: `file://${folder}`, close: () => rm(folder, { recursive: true, force: true }) };
    },
  },
  {
    name: "etcd",
    skip: missing,
    async open() {
      const etcd = await openEtcd();
      return { url: `etcd://${etcd.host}/tests`, close: () => etcd.close() };
    },
  },
];

describe.each(PLACES)("processes that meet at $name", { retry: AFTER_STALL }, ({ open, skip }) => {
  it.skipIf(skip)(
    `are dropped when killed, and return as others when they stood still${skip ? ` (${skip})` : ""}`,
    async () => {
      const place = await open();
      const [killed, frozen, steady] = await Promise.all(
        ["killed", "frozen", "steady"].map((key) => startProgram("member", [place.url, key, "2000"])),
      );
      const watcher = await openWatcher(place.url);
      try {
        expect(watcher.keys).toBe("frozen killed steady");
        await killed!.kill();
        frozen!.signal("SIGSTOP");
        await until("only one", () => watcher.keys === "steady");
        frozen!.signal("SIGCONT");
        await until("back", () => watcher.keys === "frozen steady" && watcher.incarnation("frozen") === 2n);
        expect(steady!.said).toEqual(["1"]);
        expect(frozen!.said).toEqual(["1", "2"]);
        expect([...watcher.removed].sort()).toEqual(["frozen", "killed"]);
      } finally {
        await Promise.all([killed, frozen, steady].map(async (process) => process?.kill()));
        await watcher.discovery.close();
        await place.close();
      }
    },
  );
});
