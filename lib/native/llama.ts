import type { Context, ContextOptions, StepResult } from "./context.ts";

/** What {@link Llama} is opened with. All paths are absolute. */
export interface LlamaOptions {
  /** The folder that holds libllama, libggml and the CPU variants of the prebuilt package. */
  readonly libDir: string;
  /** Our own `libstator-llama.so`. */
  readonly engineLibrary: string;
  /** Candidate back ends (`libggml-cuda.so`, `libggml-vulkan.so`), tried in this order; a failure is reported only. */
  readonly backends?: readonly string[];
}

/** A device that the library can compute on. */
export interface LlamaDevice {
  readonly name: string;
  readonly description: string;
  readonly kind: "cpu" | "gpu" | "igpu" | "accelerator" | "meta";
  readonly memoryBytes: number;
  readonly freeBytes: number;
}

/** One candidate of {@link LlamaOptions.backends} and what became of it. */
export interface LlamaBackend {
  readonly path: string;
  readonly loaded: boolean;
  /** One sentence when it was not loaded. */
  readonly reason?: string;
}

/** The opened library. It lives as long as the process. */
export interface Llama {
  readonly llamaVersion: string;
  readonly ggmlVersion: string;
  readonly devices: readonly LlamaDevice[];
  readonly backends: readonly LlamaBackend[];

  /** Reads the vocabulary of a GGUF file, no weights. Rejects with `FILE_MISSING` or `FILE_CORRUPT`. */
  openVocab(path: string): Promise<Vocab>;

  /** Loads a model. Rejects with `FILE_MISSING`, `FILE_CORRUPT`, `OUT_OF_MEMORY` or `ABORTED`. */
  loadModel(path: string, options?: ModelOptions): Promise<Model>;

  /** Takes the warnings and errors that the library wrote since the last call, oldest first, at most 256 lines. */
  drainLog(): string[];
}

/** How a text is turned into tokens. */
export interface TokenizeOptions {
  /** Text such as `<|im_end|>` becomes the special token it names. Off for everything a user wrote. Default false. */
  readonly parseSpecial?: boolean;
  /** Adds the begin and end tokens that the model declares. Default false. */
  readonly addSpecial?: boolean;
}

/** Bits of {@link PieceTable.attributes}. */
export const TOKEN_ATTRIBUTE = { control: 1, endOfGeneration: 2, byte: 4, userDefined: 8, unused: 16 } as const;

/** The bytes of every token: those of token i are `bytes[offsets[i] .. offsets[i + 1]]`. */
export interface PieceTable {
  readonly bytes: Uint8Array;
  /** `size + 1` values. */
  readonly offsets: Uint32Array;
  /** One value per token, bits of {@link TOKEN_ATTRIBUTE}. */
  readonly attributes: Uint8Array;
}

/** A vocabulary. Safe to use while its model computes; closing it does not close the model it came from. */
export interface Vocab {
  readonly size: number;
  /** Token ids, -1 where the model declares none. */
  readonly bos: number;
  readonly eos: number;
  readonly eot: number;
  /** Whether `addSpecial` puts `bos` in front and `eos` at the end. */
  readonly addBos: boolean;
  readonly addEos: boolean;
  /** The chat template of the file. */
  readonly chatTemplate: string | undefined;

  /** Tokenizes on the calling thread, about 10 MB/s. Bytes must be UTF-8 and are borrowed. */
  tokenize(text: string | Uint8Array, options?: TokenizeOptions): Uint32Array;
  /** The same on one of the addon's own threads; the bytes are copied first. */
  tokenizeAsync(text: string | Uint8Array, options?: TokenizeOptions): Promise<Uint32Array>;
  /** The bytes of all tokens, special ones included, made anew by each call. */
  pieceTable(): PieceTable;
  /** A value of the file's metadata as text. */
  meta(key: string): string | undefined;
  close(): void;
}

/** How a model is loaded. */
export interface ModelOptions {
  /** Layers computed on a GPU; negative means all. Default 0. */
  readonly gpuLayers?: number;
  /** Maps the file instead of reading it, where the device can compute on a mapped file. Default true. */
  readonly mmap?: boolean;
  /**
   * Kernels whose sums do not depend on how many rows a step has, in place of those over weights that were packed anew at
   * load: slower for K-quants, and the same bits beside other requests. Default false.
   */
  readonly plainKernels?: boolean;
  /** Called on the event loop with a ratio in [0, 1]. */
  readonly onProgress?: (ratio: number) => void;
  /** Ends the load; the promise rejects with `ABORTED`. */
  readonly signal?: AbortSignal;
}

/** A loaded model. Contexts and vocabularies keep its weights alive until they are closed too. */
export interface Model {
  readonly layers: number;
  readonly embedding: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDimK: number;
  readonly headDimV: number;
  readonly trainContextTokens: number;
  readonly vocabSize: number;
  /** State that is not per token: no prefix reuse and no export of KV blocks. */
  readonly recurrent: boolean;
  readonly hybrid: boolean;
  readonly encoder: boolean;
  readonly decoder: boolean;
  /** Sliding-window attention: its window, 0 when there is none. */
  readonly windowTokens: number;
  readonly sizeBytes: number;
  readonly parameters: number;
  readonly description: string;

  /** A new handle on the model's vocabulary; close it as well. */
  vocab(): Vocab;
  /** A value of the file's metadata as text. */
  meta(key: string): string | undefined;

  /** Allocates a cache and starts its engine thread. Rejects with `OUT_OF_MEMORY` or `INVALID_ARGUMENT`. */
  openContext(options: ContextOptions, onStep: (result: StepResult) => void): Promise<Context>;

  /** Loads a LoRA adapter (GGUF) beside the running contexts and returns its id, never used twice. */
  loadAdapter(path: string): Promise<number>;
  /** Forgets an adapter. Steps that were submitted with it keep it until they are done. Unknown ids throw. */
  unloadAdapter(adapter: number): void;

  close(): void;
}
