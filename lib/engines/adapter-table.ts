import { StatorError } from "#lib/base/errors";
import type { LoadedAdapter } from "./engine.ts";

/** Loads and unloads what an adapter name stands for. */
export interface AdapterLoader {
  /** Returns the digest, 32 bytes. */
  loadAdapter(name: string, path: string): Promise<Uint8Array>;
  /** Nothing runs with it any more, and its name may come back with another file. */
  unloadAdapter(name: string): void;
}

/** The adapters of an engine by name. A name that is on its way in or out is taken. */
export class AdapterTable {
  readonly #loader: AdapterLoader;
  readonly #loaded = new Map<string, LoadedAdapter>();
  readonly #loading = new Map<string, { readonly path: string; readonly done: Promise<LoadedAdapter> }>();
  readonly #leaving = new Set<string>();

  constructor(loader: AdapterLoader) {
    this.#loader = loader;
  }

  has(name: string): boolean {
    return this.#loaded.has(name);
  }

  list(): readonly LoadedAdapter[] {
    return [...this.#loaded.values()];
  }

  /** Loads once per name; ALREADY_EXISTS when the name stands for another path. */
  async load(name: string, path: string): Promise<{ adapter: LoadedAdapter; alreadyLoaded: boolean }> {
    const known = this.#loaded.get(name);
    const loading = this.#loading.get(name);
    if (this.#leaving.has(name) || (known && known.path !== path) || (loading && loading.path !== path)) {
      throw new StatorError("ALREADY_EXISTS", { what: `An adapter named ${name}` });
    }
    if (known) return { adapter: known, alreadyLoaded: true };
    if (loading) return { adapter: await loading.done, alreadyLoaded: true };
    const done = this.#load(name, path);
    this.#loading.set(name, { path, done });
    try {
      return { adapter: await done, alreadyLoaded: false };
    } finally {
      this.#loading.delete(name);
    }
  }

  async #load(name: string, path: string): Promise<LoadedAdapter> {
    const digest = await this.#loader.loadAdapter(name, path);
    const adapter = { name, path, digest };
    this.#loaded.set(name, adapter);
    return adapter;
  }

  /** Takes the name away at once, then unloads when `unused` resolves. NOT_FOUND for a name that is not loaded. */
  async unload(name: string, unused: () => Promise<void>): Promise<LoadedAdapter> {
    const adapter = this.#loaded.get(name);
    if (!adapter) throw new StatorError("NOT_FOUND", { what: `An adapter named ${name}` });
    this.#loaded.delete(name);
    this.#leaving.add(name);
    try {
      await unused();
      this.#loader.unloadAdapter(name);
    } finally {
      this.#leaving.delete(name);
    }
    return adapter;
  }
}
