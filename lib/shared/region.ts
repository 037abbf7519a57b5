import { close, fstat, read, write } from "node:fs";
import { promisify } from "node:util";
import { assert, StatorError } from "#lib/base/errors";

/** What a client says of a region when it registers it. */
export interface RegionDescription {
  /** By which requests name it. */
  readonly name: string;
  /** Of the memory object, with or without a leading slash, as the client wrote it. */
  readonly key: string;
  /** Where the region begins in the object, in bytes. */
  readonly offsetBytes: number;
  /** How long it is. */
  readonly lengthBytes: number;
}

const readAt = promisify(read);
const writeAt = promisify(write);
const statOf = promisify(fstat);

/**
 * Part of an open memory object. It is read and written by calls and never mapped: where an object was made smaller than
 * its region a call says so, while a mapping would end the process. Counted: the object is closed when its last user
 * leaves. Whoever makes it is the first.
 */
export class Region {
  readonly description: RegionDescription;
  readonly #descriptor: number;
  readonly #onClose: () => void;
  #users = 1;

  /** Takes the descriptor. `onClose` is called once, when the last user has left. */
  constructor(description: RegionDescription, descriptor: number, onClose: () => void) {
    this.description = description;
    this.#descriptor = descriptor;
    this.#onClose = onClose;
  }

  /** Of the object; valid as long as the caller is a user. */
  get descriptor(): number {
    return this.#descriptor;
  }

  /** Becomes one more user. */
  enter(): void {
    assert(this.#users > 0, "a region that is closed has no new user");
    this.#users++;
  }

  /** Is no user any more. */
  leave(): void {
    if (--this.#users > 0) return;
    // What the last close frees may be gigabytes: not on this thread. There is nothing to do about an error of it.
    close(this.#descriptor, () => {});
    this.#onClose();
  }

  /**
   * Copies bytes out, into memory of the caller's own; the offset counts from the beginning of the region and nothing may
   * be beyond its end. INVALID_ARGUMENT when the object has become shorter than its region.
   */
  read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    return this.#use(async (position) => {
      // Not filled with zeros first: it is returned only when every byte was read.
      const bytes = Buffer.allocUnsafeSlow(lengthBytes);
      for (let done = 0; done < lengthBytes; ) {
        const { bytesRead } = await readAt(this.#descriptor, bytes, done, lengthBytes - done, position + done);
        if (bytesRead === 0) throw this.#cut();
        done += bytesRead;
      }
      return bytes;
    }, offsetBytes);
  }

  /**
   * Copies bytes in; otherwise as `read`. Never makes the object longer, but in the moment in which somebody cuts it.
   * OVERLOADED when the machine has no room for a page that nobody has used yet.
   */
  write(offsetBytes: number, bytes: Uint8Array): Promise<void> {
    return this.#use(async (position) => {
      const { size } = await statOf(this.#descriptor);
      if (position + bytes.byteLength > size) throw this.#cut();
      for (let done = 0; done < bytes.byteLength; ) {
        const left = bytes.byteLength - done;
        const { bytesWritten } = await writeAt(this.#descriptor, bytes, done, left, position + done);
        done += bytesWritten;
      }
    }, offsetBytes);
  }

  async #use<Result>(call: (position: number) => Promise<Result>, offsetBytes: number): Promise<Result> {
    this.enter();
    try {
      return await call(this.description.offsetBytes + offsetBytes);
    } catch (caught) {
      throw isFull(caught) ? new StatorError("OVERLOADED", { what: "shared memory" }, { cause: caught }) : caught;
    } finally {
      this.leave();
    }
  }

  #cut(): StatorError {
    const { name, key } = this.description;
    const detail = `The memory object ${key} is shorter now than when the region ${name} of it was registered`;
    return new StatorError("INVALID_ARGUMENT", { detail });
  }
}

function isFull(caught: unknown): boolean {
  const { code } = caught as NodeJS.ErrnoException;
  return code === "ENOSPC" || code === "ENOMEM" || code === "EDQUOT";
}
