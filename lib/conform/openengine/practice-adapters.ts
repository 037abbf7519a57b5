import type { LoraAdapter } from "#gen/openengine/v1/lora_pb";
import { StatorError } from "#lib/base/errors";

/** Adapters at most: what is loaded is remembered for ever. */
const MOST_ADAPTERS = 64;

/** The adapters of an engine that reads no files: names, numbers and paths. */
export class PracticeAdapters {
  readonly #loaded = new Map<string, LoraAdapter>();

  has(name: string): boolean {
    return this.#loaded.has(name);
  }

  load(adapter: LoraAdapter | undefined): { adapter: LoraAdapter; alreadyLoaded: boolean } {
    if (!adapter || adapter.loraId <= 0n || adapter.loraName === "" || !adapter.sourcePath.startsWith("/")) {
      throw new StatorError("INVALID_ARGUMENT", {
        detail: "adapter: expected a number above 0, a name and an absolute path",
      });
    }
    const before = this.#loaded.get(adapter.loraName);
    if (before) {
      const isSame = before.loraId === adapter.loraId && before.sourcePath === adapter.sourcePath;
      if (isSame) return { adapter: before, alreadyLoaded: true };
      throw new StatorError("ALREADY_EXISTS", { what: `The adapter ${adapter.loraName}` });
    }
    if (this.#loaded.size >= MOST_ADAPTERS) throw new StatorError("OVERLOADED", { what: "adapters" });
    this.#loaded.set(adapter.loraName, adapter);
    return { adapter, alreadyLoaded: false };
  }

  unload(name: string): { adapter: LoraAdapter } {
    const adapter = this.#loaded.get(name);
    if (!adapter) throw new StatorError("NOT_FOUND", { what: `The adapter ${name}` });
    this.#loaded.delete(name);
    return { adapter };
  }

  list(): { adapters: LoraAdapter[] } {
    return { adapters: [...this.#loaded.values()] };
  }
}
