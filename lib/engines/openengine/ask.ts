import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import type { GenerateRequestSchema, GuidedDecodingSchema } from "#gen/openengine/v1/generation_pb";
import { viewBytes } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import type { Guidance } from "#lib/text/grammar/guidance";
import { checkSampling } from "#lib/tokens/sampling";
import { xxh3 } from "#lib/tokens/xxh3";
import type { EngineCard, GenerateRequest } from "../engine.ts";

/** What requests are printed for. */
export interface AskTarget {
  /** The model's name at the engine. */
  readonly model: string;
  /** It reads the settings by which an answer goes on, in `extra`. */
  readonly goesOn: boolean;
  /** It says that salts do nothing there. */
  readonly ignoresSalt: boolean;
}

/**
 * Keys of `extra` by which an engine of ours is told what the contract has no word for: how many tokens at the end of the
 * prompt are the answer so far, and which of the caller's choices it is. Both enter draws and penalties.
 */
export const EXTRA_KEYS = { generated: "stator_generated_tokens", choice: "stator_choice" } as const;

const unsupported = (feature: string, detail: string): never => {
  throw new StatorError("UNSUPPORTED_FEATURE", { feature, detail });
};

const invalid = (detail: string): never => {
  throw new StatorError("INVALID_ARGUMENT", { detail });
};

/** Refuses what the engine would not hear of by the contract, or would do differently. Throws as `Engine.submit`. */
export function checkAsk(request: GenerateRequest, card: EngineCard, target: AskTarget): void {
  const { promptTokens, promptText, sampling, topLogprobs = 0, stopping, generatedTokens, guidance } = request;
  if (card.input === "tokens" ? promptTokens.length === 0 : !promptText) invalid("The prompt is empty");
  checkSampling(sampling);
  if (sampling.biasTokens.length > 0) unsupported("logit_bias", "openengine.v1 has no word for it");
  const { maxTopLogprobs } = card.capabilities;
  if (maxTopLogprobs !== undefined && topLogprobs > maxTopLogprobs) {
    invalid(`top_logprobs: the engine tells ${maxTopLogprobs} at most`);
  }
  if (target.ignoresSalt && request.cacheSalt !== "") unsupported("cache_salt", "the engine shares prefixes among all");
  const length = promptTokens.length + generatedTokens.length;
  const { contextTokens, model } = card;
  if (contextTokens !== undefined && length >= contextTokens) {
    throw new StatorError("CONTEXT_LENGTH", { promptTokens: length, contextTokens, model });
  }
  if (generatedTokens.length >= stopping.maxTokens) invalid("max_tokens: the answer has as many tokens already");
  if (guidance && generatedTokens.length > 0 && !target.goesOn) {
    unsupported("Going on with an answer that is held to a form", "openengine.v1 has no word for it");
  }
}

/** A request as the contract has it, with every value said: an absent one would be the engine's choice. */
export function printAsk(
  request: GenerateRequest,
  { requestId, target }: { readonly requestId: string; readonly target: AskTarget },
): MessageInitShape<typeof GenerateRequestSchema> {
  const { sampling, stopping, topLogprobs, generatedTokens, guidance } = request;
  const candidates =
    topLogprobs === undefined || topLogprobs === 0
      ? undefined
      : { selection: { case: "topN", value: topLogprobs } as const };
  return {
    requestId,
    model: target.model,
    input: printInput(request),
    sampling: {
      temperature: sampling.temperature,
      topP: sampling.topP,
      topK: sampling.topK === 0 ? -1 : sampling.topK,
      minP: sampling.minP,
      frequencyPenalty: sampling.frequencyPenalty,
      presencePenalty: sampling.presencePenalty,
      repetitionPenalty: sampling.repetitionPenalty,
      seed: target.goesOn ? sampling.seed : seedOf(sampling.seed, request.choice),
      numSequences: 1,
    },
    stopping: {
      maxTokens: stopping.maxTokens - generatedTokens.length,
      minTokens: Math.max(0, stopping.minTokens - generatedTokens.length),
      conditions: Array.from(stopping.stopTokens, (value) => ({ condition: { case: "stopTokenId", value } as const })),
      ignoreEos: stopping.ignoreEos,
      includeStopInOutput: false,
    },
    response:
      topLogprobs === undefined
        ? undefined
        : {
            returnOutputLogprobs: true,
            outputCandidates: candidates,
            returnPromptLogprobs: request.promptLogprobs || undefined,
            promptCandidates: request.promptLogprobs ? candidates : undefined,
          },
    kv: request.cacheSalt === "" ? undefined : { cacheSalt: request.cacheSalt },
    guided: guidance && printGuidance(guidance),
    loraName: request.adapter ?? "",
    extra: target.goesOn ? printExtra(request) : undefined,
  };
}

function printInput({
  promptText,
  promptTokens,
  generatedTokens,
}: GenerateRequest): MessageInitShape<typeof GenerateRequestSchema>["input"] {
  if (promptText !== undefined) return { case: "prompt", value: promptText };
  return { case: "tokenIds", value: { ids: [...promptTokens, ...generatedTokens] } };
}

function printExtra({ choice, generatedTokens }: GenerateRequest): JsonObject | undefined {
  if (choice === 0 && generatedTokens.length === 0) return undefined;
  return { [EXTRA_KEYS.choice]: choice, [EXTRA_KEYS.generated]: generatedTokens.length };
}

/** The key of one choice's draws: choices of one request are requests of their own there, and are not to be drawn alike. */
export function seedOf(seed: bigint, choice: number): bigint {
  return choice === 0 ? seed : xxh3(viewBytes(BigUint64Array.of(seed, BigInt(choice))));
}

function printGuidance(guidance: Guidance): MessageInitShape<typeof GuidedDecodingSchema> {
  switch (guidance.kind) {
    case "jsonObject":
      return { guide: { case: "jsonObject", value: {} } };
    case "jsonSchema": {
      const { schema } = guidance;
      const value = typeof schema === "string" ? schema : new TextDecoder().decode(schema);
      return { guide: { case: "jsonSchema", value } };
    }
    case "choice":
      return { guide: { case: "choice", value: { choices: [...guidance.choices] } } };
    case "ebnfGrammar":
      return { guide: { case: "ebnfGrammar", value: guidance.grammar } };
    case "regex":
      return { guide: { case: "regex", value: guidance.pattern } };
    case "structuralTag":
      return { guide: { case: "structuralTag", value: guidance.tag } };
  }
}
