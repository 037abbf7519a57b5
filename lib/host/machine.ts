import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism, freemem } from "node:os";
import path from "node:path";

/** What this process may use of the machine it runs on. */
export interface Machine {
  /** Cores that compute, each counted once however many threads it runs; at most what affinity and quota allow. */
  readonly cores: number;
  /** Memory that could be taken without swapping, within the limit of the container. */
  readonly availableBytes: number;
}

/** Where the kernel tells; another place in tests. */
export interface MachinePlaces {
  /** Folder of /proc. */
  readonly proc: string;
  /** Folder of /sys, with the limits of the container. */
  readonly sys: string;
  /** Processors that this process may run on. */
  readonly parallelism: number;
}

const PLACES: MachinePlaces = { proc: "/proc", sys: "/sys", parallelism: availableParallelism() };

/** Reads the machine now. What the kernel does not tell is taken from Node. */
export function readMachine(places: MachinePlaces = PLACES): Machine {
  const cores = Math.max(1, Math.min(physicalCores(places.sys) ?? places.parallelism, places.parallelism));
  const free = memAvailable(places.proc) ?? freemem();
  return { cores, availableBytes: Math.max(0, Math.min(free, containerBytes(places) ?? free)) };
}

function read(...parts: string[]): string | undefined {
  try {
    return readFileSync(path.join(...parts), "utf8");
  } catch {
    return undefined;
  }
}

/** Groups of processors that share a core, each counted once. */
function physicalCores(sys: string): number | undefined {
  const folder = path.join(sys, "devices/system/cpu");
  let names: string[];
  try {
    names = readdirSync(folder).filter((name) => /^cpu\d+$/.test(name));
  } catch {
    return undefined;
  }
  const siblings = names.map((name) => read(folder, name, "topology/thread_siblings_list"));
  const groups = new Set(siblings.filter((group) => group !== undefined));
  return groups.size > 0 ? groups.size : undefined;
}

function memAvailable(proc: string): number | undefined {
  const kilobytes = /^MemAvailable:\s+(\d+) kB/m.exec(read(proc, "meminfo") ?? "")?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}

/** What the control groups of this process leave; undefined where none limits it. Page cache does not count as used. */
function containerBytes({ proc, sys }: MachinePlaces): number | undefined {
  let least: number | undefined;
  for (const line of (read(proc, "self/cgroup") ?? "").split("\n")) {
    const [, controllers, group] = /^\d+:([^:]*):(.+)$/.exec(line) ?? [];
    if (group === undefined || (controllers !== "" && !controllers!.split(",").includes("memory"))) continue;
    const left = controllers === "" ? leftOfV2(sys, group) : leftOfV1(sys, group);
    if (left !== undefined) least = Math.min(least ?? left, left);
  }
  return least;
}

/** A limit of any group above counts too. Inside a container the path may be that of the host: then the root is ours. */
function groupsAbove(root: string, group: string): string[] {
  const groups = [root];
  for (const part of group.split("/").filter((name) => name !== "" && name !== "..")) {
    groups.push(path.join(groups.at(-1)!, part));
  }
  return groups;
}

function leftOfV2(sys: string, group: string): number | undefined {
  const names = { limit: "memory.max", usage: "memory.current", cache: /^inactive_file (\d+)/m };
  return leastLeft(groupsAbove(path.join(sys, "fs/cgroup"), group), names);
}

function leftOfV1(sys: string, group: string): number | undefined {
  const names = {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cache: /^total_inactive_file (\d+)/m,
  };
  return leastLeft(groupsAbove(path.join(sys, "fs/cgroup/memory"), group), names);
}

function leastLeft(
  groups: readonly string[],
  names: { readonly limit: string; readonly usage: string; readonly cache: RegExp },
): number | undefined {
  let least: number | undefined;
  for (const group of groups) {
    const limit = Number(read(group, names.limit) ?? Number.NaN);
    const usage = Number(read(group, names.usage) ?? Number.NaN);
    // "max", and the huge number that stands for it in the first version, are no limits.
    if (!(limit < Number.MAX_SAFE_INTEGER) || Number.isNaN(usage)) continue;
    const cache = Number(names.cache.exec(read(group, "memory.stat") ?? "")?.[1] ?? 0);
    const left = limit - usage + cache;
    least = Math.min(least ?? left, left);
  }
  return least;
}
