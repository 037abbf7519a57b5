import type { StatorOptions } from "#services/cli/compose/library";

/** Name under which all workers of the gate serve. */
export const GATE_MODEL = "gate";

/** A worker of the gate, as it is told to a process that opens it. */
export interface WorkerSpec {
  /** Sizes and files of its engine. */
  readonly engine: EngineSpec;
  /** Names of adapters that it serves from its start on. */
  readonly adapters: readonly string[];
  /** One bit of each block is another one when the block is read for others, behind its checksum. */
  readonly meddles: boolean;
  /** Where it is found, its role, its way to others. */
  readonly options: StatorOptions;
}

/** The engine of a worker. */
export type EngineSpec =
  | {
      readonly kind: "mock";
      readonly blocks: number;
      /** What each sequence adds to the time of a step; default: nothing. */
      readonly sequenceMs?: number;
    }
  | {
      readonly kind: "llama";
      readonly modelPath: string;
      readonly contextTokens: number;
      /** Cells of its cache: how many blocks it has room for. */
      readonly cacheTokens: number;
      /** Whether bits depend on nothing but the request. */
      readonly exact: boolean;
      /** Folder of its adapters. */
      readonly adapterFolder?: string;
    };

/** What a process of the gate is told. */
export type HostCall =
  | { readonly kind: "open"; readonly spec: WorkerSpec }
  /** Lets what runs go on for so long. */
  | { readonly kind: "close"; readonly worker: number }
  | { readonly kind: "counts"; readonly worker: number };

/** What it says; `call` is the number of what it was told. */
export interface HostReply {
  readonly call: number;
  /** Of a worker that was opened. */
  readonly worker?: number;
  /** host:port of it. */
  readonly address?: string;
  readonly counts?: WorkerCounts;
  readonly error?: string;
}

/** What a worker has done since it was opened. */
export interface WorkerCounts {
  /** Blocks that made room for others. */
  readonly evicted: number;
  /** Blocks that were changed on their way out. */
  readonly meddled: number;
  /** Blocks that nobody can evict now, of requests and of sessions. */
  readonly used: number;
}
