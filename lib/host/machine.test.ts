import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readMachine } from "./machine.ts";

const folder = mkdtempSync(path.join(tmpdir(), "stator-machine-"));
afterAll(() => rmSync(folder, { recursive: true }));

let machines = 0;

/** A machine whose kernel says this, by path. */
function machineOf(files: Readonly<Record<string, string>>, parallelism = 8) {
  const root = path.join(folder, String(++machines));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    writeFileSync(path.join(root, name), text);
  }
  return readMachine({ proc: path.join(root, "proc"), sys: path.join(root, "sys"), parallelism });
}

const cpu = (at: number, siblings: string) => [
  `sys/devices/system/cpu/cpu${at}/topology/thread_siblings_list`,
  siblings,
];
const MEMINFO = { "proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    4000 kB\n" };
const V2 = "sys/fs/cgroup";
const V1 = "sys/fs/cgroup/memory";

describe("a machine", () => {
  it("counts a core once, and no more than may be used", () => {
    const files = Object.fromEntries([cpu(0, "0,2\n"), cpu(1, "1,3\n"), cpu(2, "0,2\n"), cpu(3, "1,3\n")]);
    expect([machineOf(files, 4).cores, machineOf(files, 1).cores, machineOf({}, 4).cores]).toEqual([2, 1, 4]);
  });

  it("has what the kernel calls available, where no group limits it", () => {
    expect(machineOf(MEMINFO).availableBytes).toBe(4000 * 1024);
    const unlimited = { ...MEMINFO, "proc/self/cgroup": "0::/a\n", [`${V2}/a/memory.max`]: "max\n" };
    expect(machineOf(unlimited).availableBytes).toBe(4000 * 1024);
    expect(machineOf({}).availableBytes).toBeGreaterThan(0);
  });

  it("has what the tightest group above it leaves, page cache not counted", () => {
    const group = (name: string, max: string, current: string) => ({
      [`${V2}${name}/memory.max`]: max,
      [`${V2}${name}/memory.current`]: current,
    });
    const files = {
      ...MEMINFO,
      "proc/self/cgroup": "0::/pod/a\n",
      ...group("", "max", "9"),
      ...group("/pod", "3000000\n", "1000000\n"),
      ...group("/pod/a", "max\n", "500000\n"),
      [`${V2}/pod/memory.stat`]: "anon 5\ninactive_file 200000\n",
    };
    expect(machineOf(files).availableBytes).toBe(2_200_000);
    expect(machineOf({ ...files, ...group("/pod", "3000000", "3500000") }).availableBytes).toBe(0);
  });

  it("reads the first version of control groups too, and a container that sees its own group as the root", () => {
    const files = {
      ...MEMINFO,
      "proc/self/cgroup": "5:cpu:/x\n4:memory:/host/name\n0::/\n",
      [`${V1}/memory.limit_in_bytes`]: "1000000\n",
      [`${V1}/memory.usage_in_bytes`]: "400000\n",
    };
    expect(machineOf(files).availableBytes).toBe(600_000);
    expect(machineOf({ ...files, [`${V1}/memory.limit_in_bytes`]: "9223372036854771712\n" }).availableBytes).toBe(
      4000 * 1024,
    );
  });
});
