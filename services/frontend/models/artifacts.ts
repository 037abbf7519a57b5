import { createHash } from "node:crypto";
import type { InstanceRecord } from "#gen/stator/discovery/v1/discovery_pb";
import { equalBytes, printHex } from "#lib/base/bytes";
import { BoundedCache } from "#lib/base/collections";
import { StatorError } from "#lib/base/errors";

/** Fetches the content of a digest from one of the instances that say they have it. Throws when none gives it. */
export type FetchArtifact = (digest: Uint8Array, holders: readonly InstanceRecord[]) => Promise<Uint8Array>;

/** Artifacts by digest: fetched once, verified, and kept up to a bound of bytes. */
export class Artifacts {
  readonly #fetch: FetchArtifact;
  readonly #kept: BoundedCache<string, Uint8Array>;
  readonly #coming = new Map<string, Promise<Uint8Array>>();

  constructor(fetch: FetchArtifact, capacityBytes: number) {
    this.#fetch = fetch;
    this.#kept = new BoundedCache(capacityBytes);
  }

  /** The content; read only. Throws CORRUPT when what came has another digest. */
  get(digest: Uint8Array, holders: readonly InstanceRecord[]): Promise<Uint8Array> {
    const key = printHex(digest);
    const kept = this.#kept.get(key);
    if (kept) return Promise.resolve(kept);
    let coming = this.#coming.get(key);
    if (!coming) {
      coming = this.#load(key, digest, holders).finally(() => this.#coming.delete(key));
      this.#coming.set(key, coming);
    }
    return coming;
  }

  async #load(key: string, digest: Uint8Array, holders: readonly InstanceRecord[]): Promise<Uint8Array> {
    const content = await this.#fetch(digest, holders);
    const actual = createHash("sha256").update(content).digest();
    if (!equalBytes(actual, digest)) {
      throw new StatorError("CORRUPT", { what: `The artifact ${key.slice(0, 16)}`, detail: "its digest is another" });
    }
    this.#kept.set(key, content, content.byteLength);
    return content;
  }
}
