import type { Log } from "#lib/host/log";
import type { SamplingOptions } from "#lib/tokens/sampling";
import type { Engine } from "../engine.ts";

// What somebody gets who imports `stator/engine`: what a module has as its default export that is an engine.

export { StatorError } from "#lib/base/errors";
export type { Log } from "#lib/host/log";
export type { SamplingOptions, StoppingOptions } from "#lib/tokens/sampling";
export type {
  Admission,
  Engine,
  EngineCapabilities,
  EngineCard,
  EngineFinish,
  EngineListener,
  EngineStep,
  GenerateRequest,
  StepMetrics,
} from "../engine.ts";
export { plainCard } from "./plain-card.ts";
export { plainStep } from "./plain-step.ts";

/** What a module's engine is opened with. */
export interface EngineGiven {
  /** Name that it is to be served under, as `--model-name` says; undefined leaves it to the engine. */
  readonly model: string | undefined;
  /** What `--model` says, such as a file of weights; undefined when it says nothing. */
  readonly modelPath: string | undefined;
  /** Aborts when nobody waits for it any more. */
  readonly signal: AbortSignal;
  /** The worker's. */
  readonly log: Log;
  /** Tells how much is loaded, 0 to 1. */
  onProgress(fraction: number): void;
}

/** What an engine of text knows of the request that it answers, beside the prompt. */
export interface TextCall {
  /** Pieces that are taken of the answer; what is made beyond them is thrown away. */
  readonly maxTokens: number;
  /** Pieces that the answer should have at least: asked for, and not enforced. */
  readonly minTokens: number;
  /** How the caller wants it drawn: every value is set, and `seed` differs between the choices of a request. */
  readonly sampling: Omit<SamplingOptions, "biasTokens" | "biasValues">;
  /** Aborts when nobody waits for the answer any more: it has all its pieces, its caller left, or the worker ends. */
  readonly signal: AbortSignal;
  /** Throws what tells the caller that his request is wrong: INVALID_ARGUMENT with these words, without a full stop. */
  refuse(detail: string): never;
}

/**
 * Prompt in, text out: what a user writes to serve a model of his own. The worker does the rest: many requests side by side,
 * bounds, lengths, cancels, usage, draining.
 */
export interface TextEngine {
  /** The model's name in the API; a worker may serve it under another. 1 to 128 characters. */
  readonly name: string;
  /** What computes, for people; empty unless given. */
  readonly software?: { readonly name: string; readonly version: string };
  /** Longest prompt and answer together, as they are counted here; no bound unless given. */
  readonly contextTokens?: number;
  /** Requests that it can answer side by side; as `--module-max-running` says unless given, and never more. */
  readonly maxRunning?: number;
  /** Length of a prompt, at once and at least 1; its words unless given. */
  countTokens?(prompt: string): number;
  /** Makes it ready, before the first request; what it throws is why the worker does not serve it. */
  open?(given: EngineGiven): Promise<void> | void;
  /**
   * Answers one prompt, piece by piece: each that is not empty counts as one token. Several may run at once. What it throws
   * but by `refuse` fails this request alone, and its words go to the log. When the signal aborts, it should end.
   */
  generate(prompt: string, call: TextCall): AsyncIterable<string> | Iterable<string>;
  /** Gives back what `open` took; answers that go on although their signal aborted may still run. */
  close?(): Promise<void> | void;
}

/**
 * Opens an engine of one's own: the default export of a module that brings all of `Engine`. What it throws is why the worker
 * does not serve it. The worker closes the engine.
 */
export type OpenEngine = (given: EngineGiven) => Promise<Engine> | Engine;

/** The engine itself, held to its type. */
export function defineTextEngine(engine: TextEngine): TextEngine {
  return engine;
}
