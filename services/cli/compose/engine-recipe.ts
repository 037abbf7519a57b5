import type { Engine } from "#lib/engines/engine";

/** How a worker's engine will be opened. */
export interface EngineRecipe {
  /** What it is called, such as llama or mock. */
  readonly engine: string;
  /** Name that it will be served under; empty when only the engine knows it. */
  readonly model: string;
  /** Other names for it. */
  readonly aliases: readonly string[];
  /** What is spelled like a control token in a message to it is one; as the worker's options say unless given. */
  readonly markersInContent?: boolean;
  /** The signal ends a load that nobody waits for any more. */
  open(onProgress: (fraction: number) => void, signal: AbortSignal): Promise<Engine>;
}
