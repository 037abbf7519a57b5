import { mkdir, rename, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { equalBytes, printId } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import type { LeaseGrant, StoreCalls, StoreNews } from "./calls.ts";
import { decodeRecord, type StoredRecord } from "./codec.ts";
import type { DiscoveryDeps } from "./deps.ts";
import type { Discovery } from "./discovery.ts";
import { DirectoryEye } from "./file-eye.ts";
import { fileOf, printFile, TEMPORARY } from "./file-format.ts";
import { endOf, type FileNews, FileReader, readRecord } from "./file-reader.ts";
import { isUnder } from "./keys.ts";
import { superviseStore } from "./supervise.ts";

interface FileLease {
  readonly ttlMs: number;
  readonly files: Map<string, OwnFile>;
}

interface OwnFile {
  readonly record: StoredRecord;
  /** The end that was written last, in Unix milliseconds. */
  readonly endUnixMs: number;
}

/**
 * Discovery over a directory: one JSON file per record, replaced by renaming. A file's modification time is when its
 * lease ends. For the processes of one machine, or of several with equal clocks. Makes the directory; throws BAD_CONFIG
 * when it cannot.
 */
export async function openFileDiscovery(directory: string, deps: DiscoveryDeps): Promise<Discovery> {
  return superviseStore(await createFileCalls(directory, deps), deps);
}

/** The directory as a store; throws as above. */
export async function createFileCalls(directory: string, deps: DiscoveryDeps): Promise<StoreCalls> {
  const root = resolve(directory);
  try {
    await makeFolder(root);
  } catch (cause) {
    const detail = `The discovery directory ${root} cannot be made (${codeOf(cause)}). Give another with --discovery file:///FOLDER.`;
    throw new StatorError("BAD_CONFIG", { detail }, { cause });
  }
  return new FileCalls(root, deps);
}

class FileCalls implements StoreCalls {
  readonly store = "file";
  readonly place: string;
  readonly #root: string;
  readonly #deps: DiscoveryDeps;
  readonly #leases = new Map<bigint, FileLease>();
  /** Nobody else's: in two containers processes have the same number, and one process may join twice. */
  readonly #writer: string;
  #written = 0;

  constructor(root: string, deps: DiscoveryDeps) {
    this.#root = root;
    this.#deps = deps;
    this.#writer = printId(deps.chance.id());
    this.place = `The discovery directory ${root}`;
  }

  reach(): Promise<void> {
    return this.#reach();
  }

  async grant(ttlMs: number): Promise<LeaseGrant> {
    const leaseId = this.#deps.chance.id();
    this.#leases.set(leaseId, { ttlMs, files: new Map() });
    // A directory has no life of its own: files that are gone were taken from us.
    return { leaseId, ttlMs, incarnation: 1n };
  }

  async keepAlive(leaseId: bigint): Promise<void> {
    const lease = this.#lease(leaseId);
    await this.#reach();
    const nowMs = this.#deps.clock.unixMs();
    const found = await Promise.all([...lease.files].map(async ([file, own]) => ({ own, now: await this.#end(file) })));
    if (found.some(({ own, now }) => now === undefined || own.endUnixMs <= nowMs)) {
      this.#leases.delete(leaseId);
      throw new StatorError("NOT_FOUND", { what: "The lease" });
    }
    for (const { own, now } of found) {
      if (now === own.endUnixMs) await this.#prolong(lease, own.record);
      else await this.#mend(lease, own.record);
    }
  }

  async revoke(leaseId: bigint): Promise<void> {
    const lease = this.#leases.get(leaseId);
    if (!lease) return;
    this.#leases.delete(leaseId);
    await this.#unlink(lease, [...lease.files.keys()]);
  }

  async put(leaseId: bigint, records: readonly StoredRecord[]): Promise<void> {
    const lease = this.#lease(leaseId);
    await this.#reach();
    // One after the other: a thousand files at once would take every thread of the process.
    for (const record of records) await this.#write(lease, record);
  }

  async remove(leaseId: bigint, keys: readonly string[]): Promise<void> {
    await this.#reach();
    await this.#unlink(this.#lease(leaseId), keys.map(fileOf));
  }

  async *watch(prefix: string, _resume: undefined | object, signal: AbortSignal): AsyncGenerator<StoreNews> {
    const eye = new DirectoryEye(this.#root, this.#deps, signal);
    const reader = new FileReader(this.#root, this.#deps.clock, (file) => this.#onForeign(file));
    try {
      await this.#reached(reader.readAll());
      const upserts = reader.records.filter(({ key }) => isUnder(key, prefix));
      yield { snapshot: true, upserts, removed: [], resume: NO_RESUME };
      while (!signal.aborted) {
        await eye.rest(reader.nextEndUnixMs);
        if (signal.aborted) return;
        const files = eye.take();
        const news = await this.#reached(files === "all" ? reader.readAll() : reader.readSome(files));
        const change = under(news, prefix);
        if (change) yield { snapshot: false, ...change, resume: NO_RESUME };
        else if (eye.beat()) {
          await this.#reach();
          yield { snapshot: false, upserts: [], removed: [], resume: NO_RESUME };
        }
      }
    } finally {
      eye.close();
    }
  }

  async close(): Promise<void> {}

  #lease(leaseId: bigint): FileLease {
    const lease = this.#leases.get(leaseId);
    if (!lease) throw new StatorError("NOT_FOUND", { what: "The lease" });
    return lease;
  }

  #onForeign(file: string): void {
    this.#deps.metrics.add("stator_discovery_unreadable_total", 1, { store: this.store });
    this.#deps.log.debug("foreign file left out", { store: this.place, file });
  }

  #end(file: string): Promise<number | undefined> {
    return endOf(join(this.#root, file));
  }

  async #write(lease: FileLease, record: StoredRecord): Promise<void> {
    const file = fileOf(record.key);
    const temporary = join(this.#root, `${TEMPORARY}${this.#writer}-${this.#written++}`);
    const endUnixMs = this.#nextEnd(lease, file);
    try {
      await writeFile(temporary, printFile(record));
      await utimes(temporary, endUnixMs / 1000, endUnixMs / 1000);
      await rename(temporary, join(this.#root, file));
    } catch (cause) {
      await unlink(temporary).catch(() => {});
      throw this.#unreachable(cause);
    }
    lease.files.set(file, { record, endUnixMs });
  }

  async #prolong(lease: FileLease, record: StoredRecord): Promise<void> {
    const file = fileOf(record.key);
    const endUnixMs = this.#nextEnd(lease, file);
    try {
      await utimes(join(this.#root, file), endUnixMs / 1000, endUnixMs / 1000);
    } catch (cause) {
      throw this.#unreachable(cause);
    }
    lease.files.set(file, { record, endUnixMs });
  }

  /** Somebody else touched the file: another owner keeps it, damage is written over. */
  async #mend(lease: FileLease, record: StoredRecord): Promise<void> {
    const file = fileOf(record.key);
    const found = await readRecord(join(this.#root, file), record.key);
    if (found && equalBytes(found.bytes, record.bytes)) await this.#prolong(lease, record);
    else if (found && decodeRecord(found.key, found.bytes)) lease.files.delete(file);
    else await this.#write(lease, record);
  }

  /** Always another end than before: readers tell by it that a file may have changed. */
  #nextEnd(lease: FileLease, file: string): number {
    const end = Math.round(this.#deps.clock.unixMs() + lease.ttlMs);
    return end === lease.files.get(file)?.endUnixMs ? end + 1 : end;
  }

  async #unlink(lease: FileLease, files: readonly string[]): Promise<void> {
    for (const file of files) {
      const own = lease.files.get(file);
      lease.files.delete(file);
      if (own && (await this.#end(file)) === own.endUnixMs) await unlink(join(this.#root, file)).catch(() => {});
    }
  }

  /** A directory that is not there is a lost store, not one without records. */
  async #reach(): Promise<void> {
    await this.#reached(stat(this.#root));
  }

  async #reached<Result>(look: Promise<Result>): Promise<Result> {
    try {
      return await look;
    } catch (cause) {
      throw this.#unreachable(cause);
    }
  }

  #unreachable(cause: unknown): StatorError {
    const detail = codeOf(cause) === "ENOENT" ? "it does not exist any more" : `the system says ${codeOf(cause)}`;
    return new StatorError("UNAVAILABLE", { what: this.place, detail }, { cause });
  }
}

/** One step at a time: where nothing can be made, as below /proc, the recursive form of Node never ends. */
async function makeFolder(path: string): Promise<void> {
  if (await isFolder(path)) return;
  if (dirname(path) !== path) await makeFolder(dirname(path));
  try {
    await mkdir(path);
  } catch (error) {
    // Another process may have made it just now.
    if (!(await isFolder(path))) throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

const NO_RESUME = { revision: 0n, incarnation: 1n };

function under({ upserts, removed }: FileNews, prefix: string): FileNews | undefined {
  const change = {
    upserts: upserts.filter(({ key }) => isUnder(key, prefix)),
    removed: removed.filter((key) => isUnder(key, prefix)),
  };
  return change.upserts.length + change.removed.length > 0 ? change : undefined;
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && "code" in cause ? String(cause.code) : "an error";
}
