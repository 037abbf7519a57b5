import { readdir, readFile, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { equalBytes } from "#lib/base/bytes";
import type { Clock } from "#lib/base/clock";
import type { StoredRecord } from "./codec.ts";
import { keyOf, parseFile, TEMPORARY } from "./file-format.ts";

/** A file whose lease ended so long ago belongs to nobody: whoever sees it removes it. */
const FORGOTTEN_MS = 600_000;

interface Known {
  readonly record: StoredRecord;
  /** The file's modification time in Unix milliseconds. */
  readonly modifiedUnixMs: number;
  /** When its lease ends: the latest modification time it had. Only a stranger's hand sets an earlier one. */
  readonly endsUnixMs: number;
}

/** What one look at the directory found. */
export interface FileNews {
  /** Records that are new or changed. */
  readonly upserts: StoredRecord[];
  /** Keys whose file is gone or whose lease has ended. */
  readonly removed: string[];
}

/** Reads a directory of records and remembers what it saw. One per watch. */
export class FileReader {
  readonly #root: string;
  readonly #clock: Clock;
  readonly #onForeign: (file: string) => void;
  readonly #known = new Map<string, Known>();
  readonly #foreign = new Set<string>();

  constructor(root: string, clock: Clock, onForeign: (file: string) => void) {
    this.#root = root;
    this.#clock = clock;
    this.#onForeign = onForeign;
  }

  /** Everything that is alive, from the last look. */
  get records(): StoredRecord[] {
    return [...this.#known.values()].map(({ record }) => record);
  }

  /** When the next lease ends, in Unix milliseconds; infinite without records. */
  get nextEndUnixMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { endsUnixMs } of this.#known.values()) if (endsUnixMs < next) next = endsUnixMs;
    return next;
  }

  /** Looks at every file. Throws when the directory cannot be read. */
  async readAll(): Promise<FileNews> {
    const files = await readdir(this.#root);
    const news: FileNews = { upserts: [], removed: [] };
    const present = new Set(files);
    for (const file of this.#known.keys()) if (!present.has(file)) this.#drop(file, news);
    await this.#read(files, news);
    return news;
  }

  /** Looks at these files, and at those whose lease seems to be over. */
  async readSome(files: Iterable<string>): Promise<FileNews> {
    const nowMs = this.#clock.unixMs();
    const due = [...this.#known].filter(([, { endsUnixMs }]) => endsUnixMs <= nowMs).map(([file]) => file);
    const news: FileNews = { upserts: [], removed: [] };
    await this.#read(new Set([...files, ...due]), news);
    return news;
  }

  async #read(files: Iterable<string>, news: FileNews): Promise<void> {
    const waiting = [...files];
    const next = async () => {
      for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) await this.#readOne(file, news);
    };
    await Promise.all(Array.from({ length: 8 }, next));
  }

  async #readOne(file: string, news: FileNews): Promise<void> {
    const key = keyOf(file);
    if (key === undefined) return this.#noteForeign(file);
    const path = join(this.#root, file);
    const modifiedUnixMs = await endOf(path);
    const before = this.#known.get(file);
    const nowMs = this.#clock.unixMs();
    const endsUnixMs = Math.max(modifiedUnixMs ?? 0, before?.endsUnixMs ?? 0);
    if (modifiedUnixMs === undefined || endsUnixMs <= nowMs) {
      this.#drop(file, news);
      if (endsUnixMs < nowMs - FORGOTTEN_MS) await unlink(path).catch(() => {});
      return;
    }
    // Writing anew and keeping alive both set another time, so that an equal one means the same content.
    if (before?.modifiedUnixMs === modifiedUnixMs) return;
    const record = await readRecord(path, key);
    if (!record) return; // Gone or replaced since; the next look tells.
    this.#known.set(file, { record, modifiedUnixMs, endsUnixMs });
    if (!before || !equalBytes(before.record.bytes, record.bytes)) news.upserts.push(record);
  }

  #drop(file: string, news: FileNews): void {
    const known = this.#known.get(file);
    if (!known) return;
    this.#known.delete(file);
    news.removed.push(known.record.key);
  }

  async #noteForeign(file: string): Promise<void> {
    if (file.startsWith(TEMPORARY)) {
      const path = join(this.#root, file);
      const writtenMs = await endOf(path);
      if (writtenMs !== undefined && writtenMs < this.#clock.unixMs() - FORGOTTEN_MS)
        await unlink(path).catch(() => {});
    } else if (!this.#foreign.has(file) && this.#foreign.size < 1_000) {
      this.#foreign.add(file);
      this.#onForeign(file);
    }
  }
}

/** Modification time of a file in whole milliseconds; undefined when it is not there. */
export async function endOf(path: string): Promise<number | undefined> {
  try {
    const { mtimeMs } = await stat(path);
    return Math.round(mtimeMs);
  } catch {
    return undefined;
  }
}

/** The record in a file, without bytes when it cannot be understood; undefined when the file cannot be read. */
export async function readRecord(path: string, key: string): Promise<StoredRecord | undefined> {
  try {
    return parseFile(key, await readFile(path, "utf8"));
  } catch {
    return undefined;
  }
}
