import type { Determinism } from "#lib/base/determinism";
import type { StatorError } from "#lib/base/errors";
import type { DefaultSampling } from "#lib/base/sampling";
import type { KvLayout } from "#lib/kv/layout";
import type { TimePrior } from "#lib/perf/time-model";
import type { Guidance } from "#lib/text/grammar/guidance";
import type { SamplingOptions, StoppingOptions } from "#lib/tokens/sampling";
import type { BlockStore } from "#lib/transfer/block-store";

/** Whether an engine can do something; one in front of a server that does not say so is asked and may refuse. */
export type Capability = boolean | "unknown";

/** What an engine can do with its model, with the reason for what it cannot. */
export interface EngineCapabilities {
  /** It answers prompts. */
  readonly generate: Capability;
  /** It turns inputs into vectors. */
  readonly embed: Capability;
  /** Answers can be held to a grammar. */
  readonly grammar: Capability;
  /** Of the tokens of answers. */
  readonly logprobs: Capability;
  /** Of the tokens of prompts. */
  readonly promptLogprobs: Capability;
  /** Adapters can be loaded while it runs. */
  readonly lora: boolean;
  /** KV blocks can be exported and imported. */
  readonly kvBlocks: boolean;
  /** Computes nothing real. */
  readonly mock: boolean;
  /** Length of an embedding; 0 when it makes none, undefined when nobody knows. */
  readonly embeddingSize: number | undefined;
  /** undefined when nobody knows. */
  readonly maxTopLogprobs: number | undefined;
  /** Why a feature is absent, by its name above; `gpu`: why none computes; `deterministic`: why answers may differ. */
  readonly missing: Readonly<Record<string, string>>;
}

/** A file that a caller needs to talk to the model: `tokenizer` (vocabulary-only GGUF) or `template` (Jinja text). */
export interface EngineArtifact {
  readonly kind: "tokenizer" | "template";
  /** How its content is to be read, such as gguf-vocabulary-v1 or jinja. */
  readonly format: string;
  /** SHA-256 of the content, 32 bytes. */
  readonly digest: Uint8Array;
  /** The engine keeps it; read only. */
  readonly content: Uint8Array;
}

/** One thing that people are told of an engine when it is open, such as threads: 1, by the default. */
export interface EngineFact {
  /** Such as size, context, threads, device. */
  readonly what: string;
  /** With its unit, such as 8,192 tokens. */
  readonly value: string;
  /** What decided it, such as "the model's own length"; absent when an option or its default did. */
  readonly by?: string;
}

/** How large an engine is: what one that computes itself always knows. */
export interface EngineSizes {
  /** Longest prompt and answer together. */
  readonly contextTokens: number;
  /** Tokens of a KV block. */
  readonly blockTokens: number;
  /** What is reused of a prefix is a multiple of so many tokens; a multiple of `blockTokens`. */
  readonly reuseTokens: number;
  /** KV blocks of the device pool. */
  readonly totalBlocks: number;
  /** Requests that run side by side. */
  readonly maxRunningRequests: number;
  /** Requests that may wait; one more is refused with OVERLOADED. */
  readonly maxWaitingRequests: number;
}

/** The same of any engine: undefined is what nobody knows, which is not 0. */
export type KnownSizes = { readonly [Size in keyof EngineSizes]: EngineSizes[Size] | undefined };

/** What an engine says about itself and its model; constant from the moment it is open. */
export interface EngineCard extends KnownSizes {
  /** Such as llama or mock. */
  readonly engine: string;
  /** What computes, with its version in its own words; empty where nobody knows. */
  readonly software: { readonly name: string; readonly version: string };
  /** Name in the API, such as stator-demo or stator-mock. */
  readonly model: string;
  /** How sequences are hashed; empty when nobody knows. */
  readonly hashScheme: string;
  /** In the words of the field; empty when nobody knows. */
  readonly quantization: string;
  /** SHA-256 that names the weights, 32 bytes; empty when nobody knows. */
  readonly modelDigest: Uint8Array;
  /** What requests bring and answers are made of: ids of the tokenizer among the artifacts, or text where only the engine has one. */
  readonly input: "tokens" | "text";
  /** Of the engine with this model, as it was opened. */
  readonly capabilities: EngineCapabilities;
  /** What holds for this model as it is opened; `capabilities.missing.deterministic` says why it is less than `batch`. */
  readonly deterministic: Determinism;
  /** What callers fill in for requests that name no value. */
  readonly defaultSampling: DefaultSampling;
  /** At most one of each kind. */
  readonly artifacts: readonly EngineArtifact[];
  /** Absent when blocks cannot be exported. */
  readonly layout: KvLayout | undefined;
  /** How long its passes take, as it states itself before anybody has seen one; undefined when nobody knows. */
  readonly times: TimePrior | undefined;
  /** For people, in the order in which they are told. */
  readonly facts: readonly EngineFact[];
}

/** The card of an engine that knows how large it is. */
export type SizedCard = EngineCard & EngineSizes;

/** One sequence to generate. The engine keeps the arrays. */
export interface GenerateRequest {
  readonly kind: "generate";
  /** Unique among the open requests of this engine; drawn by the worker, not by the caller. */
  readonly id: number;
  /** Empty where the card's `input` is text. */
  readonly promptTokens: Uint32Array;
  /** The prompt where the card's `input` is text. */
  readonly promptText?: string | undefined;
  /** Tokens that an earlier attempt generated. */
  readonly generatedTokens: Uint32Array;
  /** The caller's choice index; enters the draws. */
  readonly choice: number;
  /** How tokens are drawn, within the ranges. */
  readonly sampling: SamplingOptions;
  /** When it ends by its tokens. */
  readonly stopping: StoppingOptions;
  /** The form of the answer, as it was asked for; the engine makes of it what it needs. */
  readonly guidance: Guidance | undefined;
  /** Log-probability of each token, and of so many most likely ones; undefined returns none. */
  readonly topLogprobs: number | undefined;
  /** Those of the prompt's tokens too; only with `topLogprobs`. The prompt is then computed whole, whatever is cached. */
  readonly promptLogprobs: boolean;
  /** Name of a loaded adapter; undefined runs the base model. */
  readonly adapter: string | undefined;
  /** Cached prefixes are shared within one salt. */
  readonly cacheSalt: string;
  /** Higher runs first. */
  readonly priority: number;
}

/** One input to embed. */
export interface EmbedRequest {
  readonly kind: "embed";
  /** As of a generate request: no two that are open share one. */
  readonly id: number;
  /** As a GenerateRequest's. */
  readonly promptTokens: Uint32Array;
  /** As a GenerateRequest's. */
  readonly promptText?: string | undefined;
  /** How one vector is made of the tokens' states; undefined: as the model does it. */
  readonly pooling: "mean" | "last" | "cls" | undefined;
  /** The vector is scaled to length 1. */
  readonly normalize: boolean;
}

/** What a caller may ask of an engine. */
export type EngineRequest = GenerateRequest | EmbedRequest;

/** Why a request ended. */
export type EndReason = "end" | "stop_token" | "length" | "cancelled" | "done" | "failed";

/** The terminal notice of a request. */
export interface EngineFinish {
  /** Of the request. */
  readonly id: number;
  /** `cancelled` by `cancel`, `done` of an embedding. */
  readonly reason: EndReason;
  /** The token that ended it; not among the step's tokens. */
  readonly stopToken: number | undefined;
  /** Tokens of its prompt, as the engine counts them. */
  readonly promptTokens: number;
  /** Prompt tokens that were found in the prefix cache when it was let in first. */
  readonly cachedTokens: number;
  /** Tokens of the answer over this attempt and those before; a token that ended it is not counted. */
  readonly completionTokens: number;
  /** Set exactly when the reason is failed. */
  readonly error: StatorError | undefined;
}

/** Log-probabilities of one entry's tokens. */
export interface EngineLogprobs {
  /** Of the request. */
  readonly id: number;
  /** One for each token. */
  readonly chosen: Float32Array;
  /** The most likely ids at the place of each token, the same number for each, most likely first. */
  readonly topTokens: Uint32Array;
  /** Their log-probabilities. */
  readonly topValues: Float32Array;
}

/** Log-probabilities of consecutive tokens of a prompt, from `position` on; at least one. */
export interface EnginePromptLogprobs extends EngineLogprobs {
  /** At least 1: the first token of a prompt follows nothing. */
  readonly position: number;
}

/**
 * How the engine is doing after a step; fields as in stator.worker.v1.Step. When nothing was computed (requests were
 * cancelled while none ran) `step` is the last one's and `durationUs` 0.
 */
export interface StepMetrics {
  /** Number of the step, from 1. */
  readonly step: number;
  /** Time from its start to its end. */
  readonly durationUs: number;
  /** Prompt tokens computed in it. */
  readonly prefillTokens: number;
  /** Sum of the context lengths that they attended to. */
  readonly prefillContextTokens: number;
  /** Sequences that decoded in it. */
  readonly decodeSequences: number;
  /** Sum of their context lengths. */
  readonly decodeContextTokens: number;
  /** Blocks of the device pool in use by requests, after the step. */
  readonly usedBlocks: number;
  /** 0 where nobody knows. */
  readonly totalBlocks: number;
  /** After the step. */
  readonly runningRequests: number;
  /** After the step. */
  readonly waitingRequests: number;
  /** Known tokens of those that wait: to be computed for them at most. */
  readonly waitingTokens: number;
  /** Time spent exporting KV since the step before. */
  readonly exportUs: number;
  /** Time spent importing KV since the step before. */
  readonly importUs: number;
}

/** What one step made. The receiver borrows it for the duration of the call. */
export interface EngineStep {
  /** Of the moment after it. */
  readonly metrics: StepMetrics;
  /** Request of each entry. */
  readonly ids: Uint32Array;
  /** Tokens of each entry; undefined means one each. */
  readonly counts: Uint8Array | undefined;
  /** Token ids of all entries in order. */
  readonly tokens: Uint32Array;
  /** What it adds to answers, in order, from an engine whose card's `input` is text. */
  readonly texts?: readonly { readonly id: number; readonly text: string }[] | undefined;
  /** Requests that ended, behind all else that is told of them. */
  readonly finishes: readonly EngineFinish[];
  /** Of entries that asked for them. */
  readonly logprobs: readonly EngineLogprobs[];
  /** Those of a request in order of their positions, each once, and before its first token. */
  readonly promptLogprobs: readonly EnginePromptLogprobs[];
  /** Vectors that are done, each before the finish of its request. */
  readonly embeddings: readonly { readonly id: number; readonly values: Float32Array }[];
}

/**
 * KV blocks entered or left the engine's device pool. `hashes` are the sequence hashes under the card's hash scheme;
 * `cleared`: the pool holds none any more.
 */
export type KvNotice =
  | {
      readonly kind: "stored";
      readonly parent: bigint | undefined;
      readonly hashes: BigUint64Array;
      /** Token ids of the blocks in order, blockTokens each. */
      readonly tokens: Uint32Array;
      /** Local hashes of the blocks under the same scheme; undefined: whoever wants them makes them of the tokens. */
      readonly contents?: BigUint64Array | undefined;
      readonly cacheSalt: string;
      readonly adapter: string | undefined;
    }
  | { readonly kind: "removed"; readonly hashes: BigUint64Array }
  | { readonly kind: "cleared" };

/** Who listens to an engine. Calls come from the event loop, one at a time, never from inside a call to the engine. */
export interface EngineListener {
  /** After each step that changed something. */
  onStep(step: EngineStep): void;
  /** A request whose `submit` returned "later" was taken; before anything else of it. For engines that answer so. */
  onAdmitted?(id: number, admission: Admission): void;
  /** A request whose `submit` returned "later" was refused, for what a `submit` throws; nothing else of it comes. */
  onRefused?(id: number, error: StatorError): void;
  /** In order. */
  onKv(notice: KvNotice): void;
  /** The engine cannot go on; every open request is lost and no further call comes. */
  onFailure(error: StatorError): void;
  /**
   * The engine takes nothing new for now, or takes requests again: of one in front of a server that comes and goes. At every
   * change, from ready on; what was lost with it has its finishes.
   */
  onStanding?(standing: EngineStanding): void;
}

/** Whether an engine takes requests. */
export interface EngineStanding {
  /** `away`: it may come back by itself. `draining`: it finishes what runs and takes nothing new. */
  readonly state: "ready" | "away" | "draining";
  /** One sentence; empty when it is ready. */
  readonly reason: string;
}

/** What the engine did with a request at the door. */
export interface Admission {
  /** Prompt tokens that are in the prefix cache now. */
  readonly cachedTokens: number;
  /** Requests that wait and come before it. */
  readonly queuedAhead: number;
}

/** An adapter that is loaded. */
export interface LoadedAdapter {
  /** By which requests ask for it. */
  readonly name: string;
  /** Of the file that it was loaded from. */
  readonly path: string;
  /** Names its weights, 32 bytes. */
  readonly digest: Uint8Array;
}

/** How an engine's model writes text. */
export interface EngineText {
  /** Encodes text, special tokens included. */
  tokenize(text: string): Uint32Array;
  /** Bytes of one token for callers that want text, special tokens as their names; a view that is borrowed. */
  piece(token: number): Uint8Array;
}

/** LoRA adapters that come and go while the engine runs. */
export interface EngineAdapters {
  /** Idempotent for the same name and path; ALREADY_EXISTS for another path. */
  load(name: string, path: string): Promise<{ adapter: LoadedAdapter; alreadyLoaded: boolean }>;
  /** Takes the name away at once and resolves when no request uses it; NOT_FOUND when no adapter has this name. */
  unload(name: string): Promise<LoadedAdapter>;
  /** Those that are loaded, in the order they came. */
  list(): readonly LoadedAdapter[];
}

/** The prefix cache of an engine, for who runs it. */
export interface EngineCache {
  /**
   * Forgets the blocks that nobody uses now, and those that running requests use when these end, unless others have come to
   * use them. Returns how many are forgotten and how many are kept.
   */
  clear(): { readonly cleared: number; readonly kept: number };
}

/** Inputs that become vectors. */
export interface EngineEmbeddings {
  /** As Engine.submit. */
  submit(request: EmbedRequest): Admission | "later";
}

/**
 * An engine: it runs requests in steps of its own and never waits for whoever listens. What follows `close` is what some
 * engines add: absent where the card's capabilities say no, or where there is nothing of the kind.
 */
export interface Engine {
  /** Constant from the moment the engine is open. */
  readonly card: EngineCard;
  /** Sets who listens; once, before the first request. */
  listen(listener: EngineListener): void;
  /**
   * Takes a request or throws (OVERLOADED, CONTEXT_LENGTH, INVALID_GRAMMAR, UNSUPPORTED_SCHEMA, UNSUPPORTED_FEATURE, INVALID_ARGUMENT, MODEL_NOT_FOUND for an adapter). Thrown = certainly not executed.
   * An engine that has to ask somebody says "later", and then the listener what became of it.
   */
  submit(request: GenerateRequest): Admission | "later";
  /** Ends requests; each still gets its finish, or was refused. Unknown ids are ignored. `kill` also aborts a step in which every request is killed. */
  cancel(ids: readonly number[], mode: "stop" | "kill"): void;
  /** Joins the engine's thread. Open requests get no finish. */
  close(): Promise<void>;
  /** Absent for an engine without a tokenizer. */
  readonly text?: EngineText | undefined;
  /** There when `lora` is. */
  readonly adapters?: EngineAdapters | undefined;
  /** There when `kvBlocks` is. */
  readonly blocks?: BlockStore | undefined;
  /** There when `embed` is. */
  readonly embeddings?: EngineEmbeddings | undefined;
  /** There where the engine's cache can be cleared. */
  readonly cache?: EngineCache | undefined;
}

/** An engine that knows how large it is. */
export interface SizedEngine extends Engine {
  /** Its sizes are numbers. */
  readonly card: SizedCard;
}
