import type { Control } from "#gen/openengine/v1/openengine_pb";
import { StatorError } from "#lib/base/errors";
import type { Client } from "#lib/rpc/client";
import type { EngineAdapters, LoadedAdapter } from "../engine.ts";
import { sha256 } from "../model-file.ts";
import type { OpenEngineLimits } from "./limits.ts";

/** Loading an adapter takes as long as its files are large. */
const LOAD_MS = 600_000;

/** The adapters of an engine, as it said last. It numbers them; here they have names. */
export class RemoteAdapters implements EngineAdapters {
  readonly #control: Client<typeof Control>;
  readonly #limits: Pick<OpenEngineLimits, "adapters" | "timeoutMs">;
  #loaded = new Map<string, { readonly adapter: LoadedAdapter; readonly number: bigint }>();

  constructor(control: Client<typeof Control>, limits: Pick<OpenEngineLimits, "adapters" | "timeoutMs">) {
    this.#control = control;
    this.#limits = limits;
  }

  /** Asks the engine which it has. Throws what it says, LIMIT for more than are taken. */
  async refresh(): Promise<void> {
    const { adapters: limit, timeoutMs } = this.#limits;
    const { adapters } = await this.#control.listLoras({}, { timeoutMs });
    if (adapters.length > limit) throw new StatorError("LIMIT", { what: "Adapters of an engine", limit });
    this.#loaded = new Map(
      adapters.map(({ loraName, sourcePath, loraId }) => [
        loraName,
        { adapter: describe(loraName, sourcePath), number: loraId },
      ]),
    );
  }

  has(name: string): boolean {
    return this.#loaded.has(name);
  }

  list(): readonly LoadedAdapter[] {
    return [...this.#loaded.values()].map(({ adapter }) => adapter);
  }

  async load(name: string, path: string) {
    const known = this.#loaded.get(name);
    if (!known && this.#loaded.size >= this.#limits.adapters) {
      throw new StatorError("LIMIT", { what: "Adapters of an engine", limit: this.#limits.adapters });
    }
    const number = known?.number ?? this.#freeNumber();
    const asked = { loraId: number, loraName: name, sourcePath: path };
    const { alreadyLoaded } = await this.#control.loadLora({ adapter: asked }, { timeoutMs: LOAD_MS });
    const adapter = describe(name, path);
    this.#loaded.set(name, { adapter, number });
    return { adapter, alreadyLoaded };
  }

  async unload(name: string): Promise<LoadedAdapter> {
    const known = this.#loaded.get(name);
    if (!known) throw new StatorError("NOT_FOUND", { what: `An adapter named ${name}` });
    this.#loaded.delete(name);
    try {
      await this.#control.unloadLora({ loraName: name }, { timeoutMs: LOAD_MS });
    } catch (error) {
      await this.refresh().catch(() => {});
      throw error;
    }
    return known.adapter;
  }

  /** Above all that are taken: numbers are 63 bits wide. */
  #freeNumber(): bigint {
    let most = 0n;
    for (const { number } of this.#loaded.values()) if (number > most) most = number;
    return most + 1n;
  }
}

/** The contract does not tell of weights: name and path stand for them. */
function describe(name: string, path: string): LoadedAdapter {
  return { name, path, digest: sha256(`${name}\n${path}`) };
}
