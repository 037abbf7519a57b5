import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";

const FOLDER = "/dev/shm";

/** A memory object of a test, as a client of another process would make it. */
export interface TestObject {
  /** Such as /stator-4711-input. */
  readonly key: string;
  /** The whole of it, now. */
  read(): Buffer;
  /** Changes all of it. */
  write(bytes: Uint8Array): void;
  /** Makes it so long. */
  cut(lengthBytes: number): void;
  /** Takes its name away; whoever has it open keeps it. */
  unlink(): void;
}

/** Memory objects with names of this process alone. */
export class TestObjects {
  readonly #names = new Set<string>();
  #count = 0;

  /** Makes one, filled with these bytes or with so many zeros. */
  create(content: Uint8Array | number): TestObject {
    const file = this.path();
    const bytes = typeof content === "number" ? new Uint8Array(content) : content;
    writeFileSync(file, bytes, { mode: 0o600 });
    return {
      key: `/${path.basename(file)}`,
      read: () => readFileSync(file),
      write: (changed) => writeFileSync(file, changed),
      cut: (lengthBytes) => truncateSync(file, lengthBytes),
      unlink: () => rmSync(file),
    };
  }

  /** A path among them at which nothing is yet. */
  path(): string {
    const file = path.join(FOLDER, `stator-${process.pid}-${++this.#count}`);
    this.#names.add(file);
    return file;
  }

  /** Removes all of them. */
  remove(): void {
    for (const file of this.#names) rmSync(file, { force: true, recursive: true });
    this.#names.clear();
  }
}
