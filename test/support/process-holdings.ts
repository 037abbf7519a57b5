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

/** Sockets of clients that keep theirs for a while. */
const MORE_SOCKETS = 48;

/** What processes that have lived all the time have more of than before, in words. */
export function grown(before: ReadonlyMap<number, Holdings>, after: ReadonlyMap<number, Holdings>): string[] {
  const found: string[] = [];
  for (const [pid, now] of after) {
    const then = before.get(pid);
    if (!then) continue;
    const tell = (what: string, count: number, most: number): void => {
      if (count > most) found.push(`${pid} has ${count} of ${what}, and had ${most}`);
    };
    for (const [kind, count] of now.descriptors) {
      const had = then.descriptors.get(kind) ?? 0;
      tell(kind, count, kind === "socket" ? had + MORE_SOCKETS : had);
    }
    tell("shared mappings", now.sharedMappings, then.sharedMappings);
  }
  return found;
}
