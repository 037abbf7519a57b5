import {
  FinishReason,
  type GenerateResponse,
  type GenerationFinished,
  type PromptOutput,
  type TokenInfo,
  type TokenOutput,
  type Usage,
} from "#gen/openengine/v1/generation_pb";
import type { StatorError } from "#lib/base/errors";
import type { EngineFinish, EngineLogprobs, EnginePromptLogprobs, GenerateRequest } from "../engine.ts";
import { contractFault, readEngineError } from "./faults.ts";

/** What one message adds to an answer. */
export interface AnswerPart {
  /** New tokens; empty of an engine that is asked in text. */
  readonly tokens: readonly number[];
  /** New text; empty of an engine that is asked in tokens. */
  readonly text: string;
  /** Of these tokens, where they were asked for. */
  readonly logprobs: Omit<EngineLogprobs, "id"> | undefined;
  /** Of tokens of the prompt. */
  readonly promptLogprobs: Omit<EnginePromptLogprobs, "id"> | undefined;
}

/** What an answer is measured against. */
export interface AnswerBounds {
  /** Ids are below it; undefined where nobody knows. */
  readonly vocabularySize: number | undefined;
  /** UTF-16 units of its text. */
  readonly answerUnits: number;
}

const NOTHING: AnswerPart = { tokens: [], text: "", logprobs: undefined, promptLogprobs: undefined };

/** Reads the messages of one request and holds them to the contract. Throws ENGINE_FAILED with what was broken. */
export class Answer {
  readonly #request: GenerateRequest;
  readonly #requestId: string;
  readonly #bounds: AnswerBounds;
  #tokens = 0;
  #units = 0;
  /** Position of the next prompt token whose log-probability comes. */
  #scored = 0;
  #finish: EngineFinish | undefined;

  constructor(request: GenerateRequest, requestId: string, bounds: AnswerBounds) {
    this.#request = request;
    this.#requestId = requestId;
    this.#bounds = bounds;
  }

  /** How it ended; undefined before its last message. */
  get finish(): EngineFinish | undefined {
    return this.#finish;
  }

  /** Takes the next message. */
  read({ requestId, event, usage }: GenerateResponse): AnswerPart {
    if (requestId !== this.#requestId) throw contractFault(`an event of the request ${shown(requestId)} came here`);
    if (this.#finish) throw contractFault("something followed the end of an answer");
    switch (event.case) {
      case "token":
        return this.#readTokens(event.value);
      case "prompt":
        return { ...NOTHING, promptLogprobs: this.#readPrompt(event.value) };
      case "finished":
        this.#finish = this.#readFinished(event.value, usage);
        return NOTHING;
      case "error":
        this.#finish = this.failed(readEngineError(event.value));
        return NOTHING;
      case "prefillReady":
        throw contractFault("it computed the prompt alone, which nobody asked for");
      default:
        // An event that is newer than this code.
        return NOTHING;
    }
  }

  /** The end of this answer as it is, with an error. */
  failed(error: StatorError): EngineFinish {
    return { ...this.#ended(undefined), reason: "failed", error };
  }

  /** The end of this answer as it is, on behalf of whoever asked. */
  cancelled(): EngineFinish {
    return { ...this.#ended(undefined), reason: "cancelled" };
  }

  #readTokens({ outputIndex = 0, tokens: infos, text }: TokenOutput): AnswerPart {
    const { topLogprobs, stopping, generatedTokens, promptText } = this.#request;
    checkIndex(outputIndex);
    this.#tokens += infos.length;
    const most = stopping.maxTokens - generatedTokens.length;
    if (this.#tokens > most) throw contractFault(`an answer of at most ${most} tokens has more`);
    if (promptText !== undefined) {
      this.#units += text.length;
      if (this.#units > this.#bounds.answerUnits) throw contractFault("an answer has no end");
      return { ...NOTHING, text };
    }
    const tokens = infos.map(({ tokenId }) => tokenId);
    const { vocabularySize = Number.POSITIVE_INFINITY } = this.#bounds;
    const unknown = tokens.find((token) => token >= vocabularySize);
    if (unknown !== undefined) throw contractFault(`the vocabulary has no token ${unknown}`);
    const logprobs = topLogprobs === undefined || tokens.length === 0 ? undefined : readLogprobs(infos, topLogprobs);
    return { ...NOTHING, tokens, logprobs };
  }

  /** What the engine scores is the prompt and, behind it, what an earlier attempt has answered; that was told then. */
  #readPrompt({ tokens: infos }: PromptOutput): Omit<EnginePromptLogprobs, "id"> | undefined {
    const { promptLogprobs, topLogprobs = 0, promptTokens } = this.#request;
    if (!promptLogprobs) return undefined;
    if (this.#tokens > 0) throw contractFault("a prompt was scored after its answer began");
    const from = this.#scored;
    this.#scored += infos.length;
    const told = infos.slice(0, Math.max(0, promptTokens.length - from));
    for (const [at, { tokenId }] of told.entries()) {
      if (tokenId !== promptTokens[from + at]) throw contractFault("a prompt was scored that is not the request's");
    }
    // The first token follows nothing.
    const scored = from === 0 ? told.slice(1) : told;
    if (scored.length === 0) return undefined;
    return { position: Math.max(1, from), ...readLogprobs(scored, topLogprobs) };
  }

  #readFinished({ outputIndex = 0, reason, stopMatch, message }: GenerationFinished, usage: Usage | undefined) {
    checkIndex(outputIndex);
    const match = stopMatch?.match;
    const ended = this.#ended(usage);
    const stopToken = match?.case === "stopTokenId" || match?.case === "eosTokenId" ? match.value : undefined;
    if (usage) this.#checkUsage(usage, stopToken !== undefined);
    if (usage && this.#request.promptLogprobs && this.#scored < this.#request.promptTokens.length) {
      throw contractFault("log-probabilities of the prompt are missing");
    }
    switch (reason) {
      case FinishReason.STOP: {
        const isAsked = match?.case === "stopTokenId" && this.#request.stopping.stopTokens.includes(match.value);
        return { ...ended, reason: isAsked ? "stop_token" : "end", stopToken } as const;
      }
      case FinishReason.LENGTH:
        return { ...ended, reason: "length" } as const;
      case FinishReason.CANCELLED:
        return { ...ended, reason: "cancelled" } as const;
      default:
        throw contractFault(`an answer ended without a reason that is known here${message && `: ${message}`}`);
    }
  }

  /** Some engines count the token that ended an answer, which they do not give. */
  #checkUsage({ promptTokens, completionTokens, totalTokens, cachedPromptTokens = 0 }: Usage, hasEndToken: boolean) {
    const { promptText, promptTokens: prompt, generatedTokens } = this.#request;
    if (totalTokens !== promptTokens + completionTokens) throw contractFault("its usage does not add up");
    if (cachedPromptTokens > promptTokens) throw contractFault("it found more of a prompt than there is");
    if (promptText !== undefined) return;
    const sent = prompt.length + generatedTokens.length;
    if (promptTokens !== sent) throw contractFault(`it counted ${promptTokens} tokens in a prompt of ${sent}`);
    const most = this.#tokens + (hasEndToken ? 1 : 0);
    if (completionTokens < this.#tokens || completionTokens > most) {
      throw contractFault(`it counted ${completionTokens} tokens in an answer of ${this.#tokens}`);
    }
  }

  #ended(usage: Usage | undefined): EngineFinish {
    const { id, promptText, promptTokens, generatedTokens } = this.#request;
    const isText = promptText !== undefined;
    const prompt = isText ? (usage?.promptTokens ?? 0) : promptTokens.length;
    const made = isText ? (usage?.completionTokens ?? this.#tokens) : this.#tokens;
    return {
      id,
      reason: "end",
      stopToken: undefined,
      promptTokens: prompt,
      cachedTokens: Math.min(usage?.cachedPromptTokens ?? 0, prompt),
      completionTokens: generatedTokens.length + made,
      error: undefined,
    };
  }
}

function checkIndex(outputIndex: number): void {
  if (outputIndex !== 0) throw contractFault(`output ${outputIndex} of a request with one output`);
}

/** The same number of alternatives for each token, most likely first, whatever more the engine tells. */
function readLogprobs(infos: readonly TokenInfo[], topLogprobs: number): Omit<EngineLogprobs, "id"> {
  const chosen = new Float32Array(infos.length);
  const topTokens = new Uint32Array(infos.length * topLogprobs);
  const topValues = new Float32Array(infos.length * topLogprobs);
  for (const [at, { logprob, candidates }] of infos.entries()) {
    if (logprob === undefined || Number.isNaN(logprob)) throw contractFault("a token came without its log-probability");
    chosen[at] = logprob;
    if (candidates.length < topLogprobs) {
      throw contractFault(`${candidates.length} alternatives came in place of ${topLogprobs}`);
    }
    const top = candidates.toSorted((left, right) => right.logprob - left.logprob);
    for (const [rank, candidate] of top.slice(0, topLogprobs).entries()) {
      topTokens[at * topLogprobs + rank] = candidate.tokenId;
      topValues[at * topLogprobs + rank] = candidate.logprob;
    }
  }
  return { chosen, topTokens, topValues };
}

function shown(requestId: string): string {
  return requestId === "" ? "without a name" : requestId.slice(0, 100);
}
