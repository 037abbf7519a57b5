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
  /** The library's own, such as CPU or CUDA0. */
  readonly name: string;
  /** For people: the model of the hardware. */
  readonly description: string;
  readonly kind: "cpu" | "gpu" | "igpu" | "accelerator" | "meta";
  /** All of its memory; of a CPU that of the machine. */
  readonly memoryBytes: number;
  /** As it was when `openLlama` was called. */
  readonly freeBytes: number;
}

/** One candidate of {@link LlamaOptions.backends} and what became of it. */
export interface LlamaBackend {
  /** As it was given. */
  readonly path: string;
  /** Whether the library took it; its devices are then among {@link Llama.devices}. */
  readonly loaded: boolean;
  /** One sentence when it was not loaded. */
  readonly reason?: string;
}

/** The opened library. It lives as long as the process. */
export interface Llama {
  /** Of the libllama that was found, the one that we were built for. */
  readonly llamaVersion: string;
  /** Of the libggml that was found, the one that we were built for. */
  readonly ggmlVersion: string;
  /** In the library's order, the CPU among them. */
  readonly devices: readonly LlamaDevice[];
  /** One for each candidate, in the order they were tried. */
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
  /** Of all tokens one after another, in order of their ids; a token may have none. */
  readonly bytes: Uint8Array;
  /** `size + 1` values, the first 0. */
  readonly offsets: Uint32Array;
  /** One value per token, bits of {@link TOKEN_ATTRIBUTE}. */
  readonly attributes: Uint8Array;
}

/** A vocabulary. Safe to use while its model computes; closing it does not close the model it came from. */
export interface Vocab {
  /** Token ids lie below it. */
  readonly size: number;
  /** Id of the token that begins a text, -1 where the model declares none. */
  readonly bos: number;
  /** Id of the token that ends a text, -1 where the model declares none. */
  readonly eos: number;
  /** Id of the token that ends a turn, -1 where the model declares none. */
  readonly eot: number;
  /** Whether `addSpecial` puts `bos` in front. */
  readonly addBos: boolean;
  /** Whether `addSpecial` puts `eos` at the end. */
  readonly addEos: boolean;
  /** The chat template of the file, in Jinja; undefined where it has none. */
  readonly chatTemplate: string | undefined;

  /** Tokenizes on the calling thread, about 10 MB/s. Bytes must be UTF-8 and are borrowed. */
  tokenize(text: string | Uint8Array, options?: TokenizeOptions): Uint32Array;
  /** The same on one of the addon's own threads; the bytes are copied first. */
  tokenizeAsync(text: string | Uint8Array, options?: TokenizeOptions): Promise<Uint32Array>;
  /** The bytes of all tokens, special ones included, made anew by each call. */
  pieceTable(): PieceTable;
  /** A value of the file's metadata as text. */
  meta(key: string): string | undefined;
  /** Lets the vocabulary go; later calls throw `CLOSED`. Safe to call twice. */
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
  /** Blocks of the transformer. */
  readonly layers: number;
  /** Length of a hidden state, in values. */
  readonly embedding: number;
  /** Query heads of a layer. */
  readonly heads: number;
  /** Heads that keys and values are kept for: fewer than `heads` with grouped-query attention. */
  readonly kvHeads: number;
  /** Values of one head's key; where the file does not say, `embedding / heads`. */
  readonly headDimK: number;
  /** Values of one head's value; where the file does not say, `embedding / heads`. */
  readonly headDimV: number;
  /** Context it was trained for, 0 when the file does not say. */
  readonly trainContextTokens: number;
  /** Token ids lie below it, and a row of logits has as many values. */
  readonly vocabSize: number;
  /** State that is not per token: no prefix reuse and no export of KV blocks. */
  readonly recurrent: boolean;
  /** Some layers are recurrent and some attend: as with `recurrent`, no reuse and no export. */
  readonly hybrid: boolean;
  /** Whether it has one beside its decoder, or alone. */
  readonly encoder: boolean;
  /** False for a model that encodes only: it generates nothing. */
  readonly decoder: boolean;
  /** Sliding-window attention: its window, 0 when there is none. */
  readonly windowTokens: number;
  /** All tensors as they lie in the file. */
  readonly sizeBytes: number;
  /** Weights, all tensors together. */
  readonly parameters: number;
  /** Architecture, size and quantization for people, such as `llama 1B Q4_K - Medium`. */
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

  /** Lets the handle go; later calls throw `CLOSED`. Safe to call twice. */
  close(): void;
}
