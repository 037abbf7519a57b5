import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** What a process holds of the operating system. */
export interface Holdings {
  /** Open descriptors, by what they are: socket, pipe, memfd, anon_inode, or the path of a file. */
  readonly descriptors: ReadonlyMap<string, number>;
  /** Mappings of memory that other processes can have too. */
  readonly sharedMappings: number;
  /** Of its memory, what is in such mappings, in bytes. */
  readonly sharedBytes: number;
}

/** What a process of this machine holds now. */
export function holdingsOf(pid: number): Holdings {
  const descriptors = new Map<string, number>();
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    const kind = kindOf(`/proc/${pid}/fd/${name}`);
    if (kind !== undefined) descriptors.set(kind, (descriptors.get(kind) ?? 0) + 1);
  }
  const maps = readFileSync(`/proc/${pid}/maps`, "utf8").split("\n");
  const [, shared = "0"] = /^RssShmem:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return {
    descriptors,
    sharedMappings: maps.filter((line) => line.includes("/memfd:") || line.includes("/dev/shm/")).length,
    sharedBytes: Number(shared) * 1024,
  };
}

/** undefined for one that was closed meanwhile. */
function kindOf(path: string): string | undefined {
  try {
    const [kind = ""] = readlinkSync(path).split(":[");
    return kind.startsWith("/memfd:") ? "memfd" : kind;
  } catch {
    return undefined;
  }
}

/** All descriptors of a process. */
export function countDescriptors({ descriptors }: Holdings): number {
  return [...descriptors.values()].reduce((sum, count) => sum + count, 0);
}
