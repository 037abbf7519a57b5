import { afterEach, describe, expect, it } from "vitest";
import { pass, until } from "../conformance/discovery-rig.ts";
import { AFTER_STALL } from "../support/stalls.ts";
import { openNetwork } from "./discovery-network.ts";
import { startProgram, type TestProcess } from "./discovery-processes.ts";
import { openWatcher, type Watcher } from "./discovery-watcher.ts";

const TTL_MS = 3_000;
/** More than a member takes to come back: its channel tries again after 2.4 s at most, its lease a second later. */
const SETTLE_MS = 6_000;

describe("a hub in a process of its own", { retry: AFTER_STALL }, () => {
  const processes: TestProcess[] = [];
  const watchers: Watcher[] = [];
  afterEach(async () => {
    await Promise.all(processes.splice(0).map((process) => process.kill()));
    await Promise.all(watchers.splice(0).map(({ discovery }) => discovery.close()));
  });
  const start = async (...args: Parameters<typeof startProgram>) => {
    const process = await startProgram(...args);
    processes.push(process);
    return process;
  };
  const openHub = async () => {
    const hub = await start("hub", ["0"]);
    return { hub, port: hub.said[0]!, url: `hub://127.0.0.1:${hub.said[0]}` };
  };
  const follow = async (url: string, settleMs?: number) => {
    const watcher = await openWatcher(url, settleMs);
    watchers.push(watcher);
    return watcher;
  };
  const member = (url: string, key: string) => start("member", [url, key, String(TTL_MS)]);

  it("that is killed and starts again loses nobody, and nobody has to be another", async () => {
    const { hub, port, url } = await openHub();
    const [first, second] = [await member(url, "a"), await member(url, "b")];
    const watcher = await follow(url, SETTLE_MS);
    expect(watcher.keys).toBe("a b");
    await hub.kill();
    await until("noticed", () => !watcher.watch.synced);
    await pass(TTL_MS * 1.5);
    expect(watcher.keys, "the last view").toBe("a b");
    await start("hub", [port]);
    await until("back", () => watcher.watch.synced);
    await pass(SETTLE_MS + 500);
    expect(watcher.keys).toBe("a b");
    expect(watcher.removed).toEqual([]);
    expect([first.said, second.said], "no lapse: the hub forgot, the members did not").toEqual([["1"], ["1"]]);
    const late = await follow(url);
    expect(late.keys).toBe("a b");
  });

  it("that stands still is noticed, and gives everybody the time back when it goes on", async () => {
    const { hub, url } = await openHub();
    const first = await member(url, "a");
    const watcher = await follow(url);
    hub.signal("SIGSTOP");
    await until("noticed", () => !watcher.watch.synced);
    await pass(TTL_MS * 1.5);
    expect(watcher.keys).toBe("a");
    hub.signal("SIGCONT");
    await until("back", () => watcher.watch.synced);
    await pass(4_000);
    expect(watcher.keys).toBe("a");
    expect(watcher.removed).toEqual([]);
    expect(first.said).toEqual(["1"]);
  });

  it("drops a member that was killed while the hub was away", async () => {
    const { hub, port, url } = await openHub();
    const [first] = [await member(url, "a"), await member(url, "b")];
    const watcher = await follow(url);
    await hub.kill();
    await first.kill();
    await start("hub", [port]);
    await until("only the living", () => watcher.keys === "b");
    expect(watcher.removed).toEqual(["a"]);
  });

  it("is reached over a new connection when the old one died without a word", async () => {
    const { port, url } = await openHub();
    const network = await openNetwork(`127.0.0.1:${port}`);
    const [near, far] = [await follow(url), await follow(`hub://${network.host}`)];
    await member(`hub://${network.host}`, "a");
    await until("seen", () => near.keys === "a" && far.keys === "a");
    network.swallow();
    await until("noticed by the reader", () => !far.watch.synced);
    network.heal();
    await until("the reader is back", () => far.watch.synced);
    await pass(TTL_MS * 2);
    expect(near.keys, "the owner is back").toBe("a");
    expect(far.keys).toBe("a");
    await network.close();
  });
});
