import type { MessageInitShape } from "@bufbuild/protobuf";
import type { LoraAdapter, LoraAdapterSchema } from "#gen/openengine/v1/lora_pb";
import { StatorError } from "#lib/base/errors";
import { adaptersOf } from "#lib/engines/ability";
import type { Engine, EngineAdapters, EngineCard, LoadedAdapter } from "#lib/engines/engine";
import type { AdapterFolder } from "./adapter-folder.ts";

/** Adapters that are told of at once. */
const MOST_NAMES = 1024;

type AdapterInit = MessageInitShape<typeof LoraAdapterSchema>;

/** The calls about adapters. openengine.v1 numbers adapters; the engine names them. */
export interface AdapterCalls {
  /** INVALID_ARGUMENT, also for a path that may not be named, ALREADY_EXISTS for a name or number that means another one, FEATURE_DISABLED without LoRA. */
  load(adapter: LoraAdapter | undefined): Promise<{ adapter: AdapterInit; alreadyLoaded: boolean }>;
  /**
   * Loads the adapter that the folder has under a name, without a number. NOT_FOUND when it has none; otherwise as `load`.
   */
  loadNamed(name: string): Promise<{ alreadyLoaded: boolean }>;
  /** NOT_FOUND for a name that is not loaded. Resolves when no request uses it any more. */
  unload(name: string): Promise<{ adapter: AdapterInit }>;
  /** Those that are loaded, in the engine's order. */
  list(): AdapterInit[];
  /** Names of those that are loaded, then of those that the folder has beside them. FEATURE_DISABLED without LoRA. */
  listNames(): Promise<{ baseModel: string; adapters: { name: string; loaded: boolean }[] }>;
}

/** What adapter calls are made with. */
export interface AdapterDeps {
  /** Throws MODEL_LOADING while there is none. */
  engineOf(): Engine;
  /** Publishes what is loaded. */
  onAdapters(): Promise<void>;
  /** Asked for every adapter that is not loaded yet. */
  readonly adapterFolder: AdapterFolder;
}

/** Adapter calls on an engine. */
export function createAdapterCalls(deps: AdapterDeps): AdapterCalls {
  return new NumberedAdapters(deps);
}

class NumberedAdapters implements AdapterCalls {
  readonly #deps: AdapterDeps;
  /** Numbers by name, of loaded adapters and of those on their way in. */
  readonly #numbers = new Map<string, bigint>();

  constructor(deps: AdapterDeps) {
    this.#deps = deps;
  }

  async load(adapter: LoraAdapter | undefined) {
    if (!adapter || adapter.loraName === "" || !adapter.sourcePath.startsWith("/") || adapter.loraId <= 0n) {
      const detail = "adapter: expected a name, an id above 0 and an absolute source_path";
      throw new StatorError("INVALID_ARGUMENT", { detail });
    }
    const { card, adapters } = this.#withLora();
    const { loraName: name, loraId: number, sourcePath } = adapter;
    if (name === card.model) throw new StatorError("ALREADY_EXISTS", { what: `The model ${name}` });
    const isOurs = this.#take(name, number);
    try {
      // One that is there is told by its name, whatever became of its file since.
      if (!adapters.list().some((each) => each.name === name)) await this.#deps.adapterFolder.check(sourcePath);
      const done = await adapters.load(name, sourcePath);
      await this.#deps.onAdapters();
      return { adapter: this.#print(done.adapter), alreadyLoaded: done.alreadyLoaded };
    } catch (error) {
      if (isOurs) this.#numbers.delete(name);
      throw error;
    }
  }

  async loadNamed(name: string) {
    const { card, adapters } = this.#withLora();
    if (name === card.model) throw new StatorError("ALREADY_EXISTS", { what: `The model ${name}` });
    if (adapters.list().some((each) => each.name === name)) return { alreadyLoaded: true };
    const { alreadyLoaded } = await adapters.load(name, await this.#deps.adapterFolder.find(name));
    await this.#deps.onAdapters();
    return { alreadyLoaded };
  }

  async listNames() {
    const { card, adapters } = this.#withLora();
    const found = await this.#deps.adapterFolder.list();
    const loaded = new Set(adapters.list().map(({ name }) => name));
    const names = [...loaded, ...found.filter((name) => !loaded.has(name))];
    const told = names.slice(0, MOST_NAMES).map((name) => ({ name, loaded: loaded.has(name) }));
    return { baseModel: card.model, adapters: told };
  }

  async unload(name: string) {
    const { adapters } = this.#withLora();
    if (!adapters.list().some((each) => each.name === name)) {
      throw new StatorError("NOT_FOUND", { what: `The adapter ${name}` });
    }
    // Its name is off the list at once; its requests end first.
    const [adapter] = await Promise.all([adapters.unload(name), this.#deps.onAdapters()]);
    const printed = this.#print(adapter);
    this.#numbers.delete(name);
    return { adapter: printed };
  }

  list(): AdapterInit[] {
    return adaptersOf(this.#deps.engineOf()).map((adapter) => this.#print(adapter));
  }

  #withLora(): { readonly card: EngineCard; readonly adapters: EngineAdapters } {
    const { card, adapters } = this.#deps.engineOf();
    if (adapters) return { card, adapters };
    const detail = card.capabilities.missing.lora ?? "this engine takes none";
    throw new StatorError("FEATURE_DISABLED", { feature: "Loading adapters", detail });
  }

  /** Joins a name and a number before anything waits. True when they were not joined before. */
  #take(name: string, number: bigint): boolean {
    const other = [...this.#numbers].find(([each, taken]) => (each === name) !== (taken === number));
    if (other) throw new StatorError("ALREADY_EXISTS", { what: `The adapter ${other[0]} with id ${other[1]}` });
    const isNew = !this.#numbers.has(name);
    this.#numbers.set(name, number);
    return isNew;
  }

  #print({ name, path }: LoadedAdapter): AdapterInit {
    return { loraId: this.#numbers.get(name) ?? 0n, loraName: name, sourcePath: path };
  }
}
