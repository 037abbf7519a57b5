import { StatorError } from "#lib/base/errors";
import type { AskKind, RouteWishes, Target } from "#lib/routing/router";
import type { Guidance } from "#lib/text/grammar/guidance";
import type { ChatMessage } from "#lib/text/template";
import type { SamplingOptions, StoppingOptions } from "#lib/tokens/sampling";

/** Token ids. */
export interface TokenInput {
  readonly kind: "tokens";
  /**
   * One sequence each; for embed exactly one entry per input. Entries share the prompt when there is one. Nobody writes to
   * them: they may be views of what other prompts begin with.
   */
  readonly prompts: readonly Uint32Array[];
  /** Digest of the tokenizer that made them, in hex; empty when nobody stated one. */
  readonly tokenizer: string;
}

/** Texts. */
export interface TextInput {
  readonly kind: "text";
  /** One prompt each; long ones as UTF-8. */
  readonly texts: readonly (string | Uint8Array)[];
}

/** A conversation, of which the model's template makes a prompt. */
export interface MessagesInput<Conversation> {
  readonly kind: "messages";
  /** Oldest first. */
  readonly messages: Conversation;
}

/** What is to be answered, in the form in which it was given. */
export type AskInput<Conversation = readonly ChatMessage[]> = TokenInput | TextInput | MessagesInput<Conversation>;

/** When an answer ends: by its tokens, which an engine looks at, and by its text. */
export interface AskStopping extends Omit<StoppingOptions, "maxTokens"> {
  /** Tokens of each answer; undefined: what the context leaves. */
  readonly maxTokens: number | undefined;
  /** Texts that end an answer when they are complete in it, behind `minTokens` tokens. */
  readonly stopTexts: readonly string[];
  /** The stop text, or the text of the stop token, stays at the end. */
  readonly includeStop: boolean;
}

/**
 * What is asked for, in the words of no door: every field checked and every default filled in. It keeps the arrays.
 * `Conversation` is the messages, or who keeps them for a while.
 */
export interface Ask<Conversation = readonly ChatMessage[]> {
  /** For logs, the ledger and workers; drawn unless the client named it. */
  readonly requestId: string;
  /** Route for the ledger, such as chat, completions, embeddings, openengine. */
  readonly route: string;
  /** The input of `tensor` is one empty prompt: whoever asks keeps the tensors, and sends them by another way than a link. */
  readonly kind: AskKind;
  /** Served model or adapter, by its name in the API. */
  readonly model: string;
  /** Adapter of the model, for a door that names it apart. */
  readonly adapter: string | undefined;
  /** One prompt or several, whose choices are numbered one after the other. */
  readonly input: AskInput<Conversation>;
  /** Choices per prompt; choice index = prompt index x choicesPerPrompt + i. */
  readonly choicesPerPrompt: number;
  /** How tokens are drawn; the choices of a prompt share the seed and draw differently. */
  readonly sampling: SamplingOptions;
  /** When an answer ends, each choice by itself. */
  readonly stopping: AskStopping;
  /** The form of the answer, as it was asked for; undefined: any. */
  readonly guidance: Guidance | undefined;
  /** Log-probabilities of the answer's tokens, with so many most likely ones at each; undefined: none. */
  readonly topLogprobs: number | undefined;
  /** The prompts' log-probabilities too, with as many most likely tokens; only with `topLogprobs`. */
  readonly promptLogprobs: boolean;
  /** Cached prefixes are shared within one salt. */
  readonly cacheSalt: string;
  /** Higher runs first on a worker. */
  readonly priority: number;
  /** Where it is to run; undefined: where the router says. */
  readonly target: Target | undefined;
  /** What its worker is to be like. */
  readonly wishes: RouteWishes;
  /** Milliseconds from its arrival in which it has to end; undefined: as long as it takes. */
  readonly deadlineMs: number | undefined;
  /** Trace context of W3C; undefined begins a trace. */
  readonly traceparent: string | undefined;
  /** How an embedding is made of the tokens'; undefined: as the model does it. */
  readonly pooling: "mean" | "last" | "cls" | undefined;
  /** Embeddings have the length 1. */
  readonly normalize: boolean;
}

/** An ask as a link carries it today: token ids, and the number of tokens known. */
export interface ReadyAsk extends Ask<never> {
  /** A tensor's payload never enters a link. */
  readonly kind: Exclude<AskKind, "tensor">;
  /** One sequence for each prompt. */
  readonly input: TokenInput;
  /** With `maxTokens` known. */
  readonly stopping: AskStopping & StoppingOptions;
}

/** The same for a model whose workers take text, since only they have its tokenizer. */
export interface TextAsk extends Omit<ReadyAsk, "input"> {
  /** One prompt each. */
  readonly input: TextInput;
}

/** What a link carries: token ids, or text. */
export interface LinkAsk extends Omit<ReadyAsk, "input"> {
  /** One prompt each. */
  readonly input: TokenInput | TextInput;
}

/** An ask of tensors: nothing of its input is here. */
export interface TensorAsk extends Omit<ReadyAsk, "kind"> {
  readonly kind: "tensor";
}

/** What goes to a worker: over a link, or past it. */
export type CarriedAsk = LinkAsk | TensorAsk;

/** The same ask, when a link carries it. Throws UNSUPPORTED_FEATURE for one that is still to be rendered or encoded, and for tensors. */
export function readyAsk(ask: Ask<unknown>): ReadyAsk {
  return carried(ask, "tokens") as ReadyAsk;
}

/** The same for a model whose workers take text: throws for token ids too. */
export function textAsk(ask: Ask<unknown>): TextAsk {
  return carried(ask, "text") as TextAsk;
}

/** The same ask, when it is of tensors; its input is one empty prompt. Throws UNSUPPORTED_FEATURE for any other. */
export function tensorAsk(ask: Ask<unknown>): TensorAsk {
  const detail = "only tensors go past the links";
  if (ask.kind !== "tensor")
    throw new StatorError("UNSUPPORTED_FEATURE", { feature: `An ask of kind ${ask.kind}`, detail });
  return ask as TensorAsk;
}

function carried(ask: Ask<unknown>, kind: "tokens" | "text"): Ask<unknown> {
  const { input, stopping } = ask;
  if (ask.kind === "tensor") throw notCarried("A tensor for a worker");
  if (input.kind !== kind) throw notCarried(`${INPUTS[input.kind]} for a worker`);
  if (stopping.maxTokens === undefined) throw notCarried("An answer as long as the context");
  return ask;
}

const INPUTS = { tokens: "Token ids", text: "Text", messages: "Messages" } as const;

function notCarried(feature: string): StatorError {
  return new StatorError("UNSUPPORTED_FEATURE", { feature, detail: "links carry token ids and limits" });
}
