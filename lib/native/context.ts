/** The element types a KV cache can have. */
export type KvType = "f32" | "f16" | "bf16" | "q8_0" | "q4_0" | "q4_1" | "q5_0" | "q5_1" | "iq4_nl";

/** How a context is opened. */
export interface ContextOptions {
  /** Cells of the KV cache, shared by all slots: one per token and distinct prefix. With `streams`: of each slot. */
  readonly cellTokens: number;
  /** Slots 0 .. maxSequences-1; at most 255 (the library's 256th sequence is our scratch for export and import). */
  readonly maxSequences: number;
  /** Most tokens of one step. At most `cellTokens`. */
  readonly maxBatchTokens: number;
  /** Threads of a step with one token per entry; default 1. The library's threads spin: never give it all cores. */
  readonly threads?: number;
  /** Threads of other steps; default `threads`. */
  readonly batchThreads?: number;
  /** Element type of key rows. Default f16. */
  readonly kvTypeK?: KvType;
  /** Element type of value rows. Default f16; a quantized one needs `flashAttention`. */
  readonly kvTypeV?: KvType;
  /** Rows of one step that give logits: one per entry that draws and one per target. At least, and by default, one per slot. */
  readonly maxOutputs?: number;
  /** Default true. Without it a quantized V cache and export of V rows are refused. */
  readonly flashAttention?: boolean;
  /**
   * Every slot has cells of its own, whose places are its positions, so that nothing which runs or ran in other slots
   * changes the order of a sum. A copy op copies rows then, to the end of what the target slot has. Entries of fewer than
   * 64 tokens are computed side by side, each longer one by itself and at once. Default false: all share one run of cells.
   */
  readonly streams?: boolean;
  /**
   * With `streams`: a row that would be computed alone, or drawn from alone, gets another one beside it that nobody reads,
   * since one row and several are summed in another order by some kernels. Default false.
   */
  readonly pairRows?: boolean;
  /** With `streams`: cells lie in host memory, so that what is removed goes back to the system. Default false. */
  readonly hostMemory?: boolean;
}

/** What decides the tokens of one slot. Fields that are left out have no effect. */
export interface Sampling {
  /** 0 takes the most likely token. Default 0. */
  readonly temperature?: number;
  /** 0 or less: off. */
  readonly topK?: number;
  /** 1: off. */
  readonly topP?: number;
  /** 0: off. */
  readonly minP?: number;
  /** Over prompt and generated tokens. 1: off. */
  readonly repetitionPenalty?: number;
  /** Over generated tokens. 0: off. */
  readonly frequencyPenalty?: number;
  /** Over generated tokens. 0: off. */
  readonly presencePenalty?: number;
  /** Key of the draws, all 64 bits of it; see `uniformDraw` of the addon. Default 0. */
  readonly seed?: bigint;
  /** Index of the choice (`n`), part of the key of every draw. */
  readonly choice?: number;
  /** Index of the next generated token: the number of tokens generated so far, above 0 after a migration. */
  readonly firstPosition?: number;
  /** Values added to the logits of these tokens; both arrays have one length. */
  readonly logitBias?: { readonly ids: Uint32Array; readonly values: Float32Array };
  /** Tokens that end the slot (`END.stop`). */
  readonly stopTokens?: Uint32Array;
  /** End-of-generation tokens of the model do not end the slot. */
  readonly ignoreEos?: boolean;
  /** No end or stop token before this many generated tokens. */
  readonly minTokens?: number;
  /** Ends the slot (`END.length`) after this many generated tokens, those before a migration included. 0: no limit. */
  readonly maxTokens?: number;
  /** -1 (default): none; 0: of the chosen token; 1..20: of that many most likely tokens too. Raw distribution. */
  readonly logprobs?: number;
  /** GBNF with the rule `root`. A grammar that does not parse ends the slot with an error in its first step. */
  readonly grammar?: string;
  /** The prompt, needed by the repetition penalty alone. */
  readonly promptTokens?: Uint32Array;
  /** Tokens generated before a migration: replayed into grammar and penalties. */
  readonly generatedTokens?: Uint32Array;
}

/** Codes of {@link StepPlan.ops}. */
export const OP = {
  /**
   * `[copy, fromSlot, toSlot, p0, p1]`: slot `toSlot` shares the cells of `fromSlot` at positions p0 .. p1-1, in place of
   * its own there. With streams it gets rows of its own, in place of all that it has from p0 on.
   */
  copy: 0,
  /** `[remove, slot, p0, p1, 0]`: forgets positions p0 .. p1-1; p1 = -1 means to the end. */
  remove: 1,
} as const;

/** Bits of {@link StepPlan.flags}. */
export const ENTRY = {
  /** Draw a token after the entry's last token. The slot must be open. */
  sample: 1,
  /** The one input token is the token that the slot drew last; none is supplied. */
  chained: 2,
  /** Tell how likely the `targets` of the entry are. The slot must be open; its `logprobs` says how many others come along. */
  score: 4,
} as const;

/**
 * One step. All arrays are copied by `submitStep`. A slot appears at most once; entries are laid out in the given
 * order.
 */
export interface StepPlan {
  /** Greater than every step before. */
  readonly step: number;
  /** An id of `loadAdapter`, or -1 for the base model. It applies to the whole step. */
  readonly adapter: number;
  /** 5-tuples, run in order before the batch. */
  readonly ops: Int32Array;
  /** Slot of each entry. */
  readonly slots: Int32Array;
  /** Position of the first token of each entry. */
  readonly positions: Int32Array;
  /** Tokens of each entry, at least 1. Their sum is at most `maxBatchTokens`; it may be 0 when there are only ops. */
  readonly counts: Int32Array;
  /** Of each entry, bits of {@link ENTRY}. */
  readonly flags: Uint8Array;
  /** Ids of all entries without {@link ENTRY.chained}, one after another. */
  readonly tokens: Uint32Array;
  /** For entries with {@link ENTRY.score}, one after another: what may follow each of its tokens; -1 asks nothing. */
  readonly targets?: Int32Array;
}

/** Codes of {@link StepResult.ends}. */
export const END = { none: 0, eog: 1, stop: 2, length: 3, grammar: 4, skipped: 5, error: 6 } as const;

/**
 * How a step ended. Everything but `ok` means that its ops were run and no token of it was computed: `aborted` by
 * `abortStep`; `no_space`: the cache had no free cells; `error`: the library failed. `discarded`: it was submitted
 * before the failure of an earlier step was delivered, and nothing of it was executed, not even its ops.
 */
export type StepStatus = "ok" | "aborted" | "no_space" | "error" | "discarded";

/** What became of one step. Arrays are parallel to the entries of the plan and owned by the receiver. */
export interface StepResult {
  /** As in the plan. */
  readonly step: number;
  /** Other than `ok`: no token of it was computed. */
  readonly status: StepStatus;
  /** Wall time on the engine thread, ops and sampling included. */
  readonly durationUs: number;
  /** Slot of each entry. */
  readonly slots: Int32Array;
  /** The drawn token, -1 where none was drawn. An end or stop token is reported as well. */
  readonly tokens: Int32Array;
  /** Codes of {@link END}. A slot that ended is skipped by later steps until it is opened anew. */
  readonly ends: Uint8Array;
  /** Of the drawn token, from the raw distribution; NaN where not asked for. Present if any slot asked. */
  readonly logprobs?: Float32Array;
  /** Rank of the drawn token in the raw distribution, from 1; 0 where not asked for. Present with `logprobs`. */
  readonly ranks?: Int32Array;
  /** The most likely tokens, flat: entry `entries[i]` has candidate `ids[i]` with log-probability `values[i]`, best first. */
  readonly top?: { readonly entries: Int32Array; readonly ids: Int32Array; readonly values: Float32Array };
  /**
   * Of each target, entry by entry and in order within one: its log-probability in the raw distribution, and as many of the
   * most likely tokens as the slot's `logprobs` asks for, best first. Absent when nothing was scored.
   */
  readonly scores?: {
    readonly entries: Int32Array;
    readonly logprobs: Float32Array;
    readonly topIds: Int32Array;
    readonly topValues: Float32Array;
  };
  /** One sentence for each entry whose end is `END.error`, or for the step (slot -1) when its status is `error`. */
  readonly errors: readonly { readonly slot: number; readonly message: string }[];
}

/** The rows of one layer in an exported block. */
export interface KvLayer {
  /** Element type of the keys, such as f16 or q8_0. */
  readonly keyType: string;
  /** Keys of one token, all heads. */
  readonly keyRowBytes: number;
  /** Element type of the values. */
  readonly valueType: string;
  /** Values of one token, all heads; 0 where the model keeps none. */
  readonly valueRowBytes: number;
}

/** The shape of exported bytes: `[layer][K|V][token][row]`, layers in the order of the cache. */
export interface KvLayout {
  /** Those that keep rows, in the order of the cache; where the library has two, one after the other. */
  readonly layers: readonly KvLayer[];
  /** Bytes of one token over all layers. */
  readonly tokenBytes: number;
  /** False for models whose state is not per token. */
  readonly exportable: boolean;
  /** Why it is not exportable, in one sentence. */
  readonly reason?: string;
}

/** What is known of blocks that were copied out. */
export interface ExportedBlocks {
  /** XXH3-64 of the bytes of each, seed 0x564b5453. */
  readonly checksums: BigUint64Array;
  /** On the engine thread. */
  readonly durationUs: number;
}

/** What became of blocks that came in. */
export interface ImportedBlocks {
  /** How many were taken: those before the first whose checksum is another one. */
  readonly count: number;
  /** On the engine thread. */
  readonly durationUs: number;
}

/** How embeddings are made of a model's last states. */
export interface EmbedOptions {
  /** Default mean. */
  readonly pooling?: "mean" | "last" | "cls";
  /** Scales every vector to length 1. Default true. */
  readonly normalize?: boolean;
}

/**
 * A KV cache with its engine thread. Sequences, steps, exports and imports run in the order of their calls. A call that
 * breaks a rule throws `INVALID_ARGUMENT` and nothing was queued. While something is pending the process stays alive.
 */
export interface Context {
  /** What the library gave, at least what was asked for; with `streams`: of each slot. */
  readonly cellTokens: number;
  /** As it was opened with. */
  readonly maxSequences: number;
  /** As it was opened with. */
  readonly maxBatchTokens: number;
  /** Most tokens of one input of `embed`. */
  readonly embedTokens: number;
  /** Learned from the bytes of one token when the context was opened. */
  readonly kvLayout: KvLayout;

  /** Starts sampling in a slot, or starts it anew. It does not touch the slot's cells. Arrays are copied. */
  openSequence(slot: number, sampling: Sampling): void;
  /** Ends sampling in a slot. Its cells stay until an op removes them. */
  closeSequence(slot: number): void;

  /** Queues a step; at most two may be under way, a third throws. The answer comes through `onStep`, in order. */
  submitStep(plan: StepPlan): void;
  /** Stops one step: a waiting one never runs, a running one ends within milliseconds on a CPU. A finished one: no-op. */
  abortStep(step: number): void;

  /**
   * Copies the positions of a slot from p0 on, in the canonical layout, into blocks of equal size, which are made of whole
   * tokens (else it throws). Borrows them until it settles. Rejects with `UNSUPPORTED`, or with `INVALID_ARGUMENT` when the
   * slot does not hold every one of the positions.
   */
  exportBlocks(slot: number, p0: number, into: readonly Uint8Array[]): Promise<ExportedBlocks>;
  /**
   * Puts exported blocks of equal size at positions p0 .. of a slot. With checksums, one for each, the library sees none whose
   * bytes have another one, and none behind it; without them the content is not checked. Borrows the blocks until it settles.
   * Rejects with `NO_SPACE`; some of them may be in place then.
   */
  importBlocks(
    slot: number,
    p0: number,
    blocks: readonly Uint8Array[],
    checksums?: BigUint64Array,
  ): Promise<ImportedBlocks>;

  /** Bytes that are enough for `stage` where one call moves so many blocks of so many tokens. */
  stagingBytes(blockTokens: number, blocks: number): number;
  /**
   * From now on the bytes of blocks pass through this memory as far as they fit; undefined: through the context's own again.
   * A copy from a device, or to it, is made here alone. Borrows it until another one was taken in its place, which settles the
   * promise of that call, or the context is closed.
   */
  stage(memory: Uint8Array | undefined): Promise<void>;

  /** One vector per input, by a second context of the same model that is opened on first use. Own order. */
  embed(inputs: readonly Uint32Array[], options?: EmbedOptions): Promise<Float32Array[]>;

  /** Aborts what runs, rejects what waits with `CLOSED` and joins the thread. Safe to call twice. */
  close(): void;
}
