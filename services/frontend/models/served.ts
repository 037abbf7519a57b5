import type { ListedModel } from "#lib/api/openai/bodies";
import type { DefaultSampling } from "#lib/base/sampling-settings";
import type { ModelText } from "../text/model-text.ts";

/** What the engines behind a model can do: a feature counts when every worker has it. */
export interface ModelFeatures {
  readonly generate: boolean;
  readonly embed: boolean;
  readonly grammar: boolean;
  readonly logprobs: boolean;
  readonly promptLogprobs: boolean;
  readonly maxTopLogprobs: number;
  /** Length of an embedding; 0 when it makes none. */
  readonly embeddingSize: number;
  /** Why a feature is absent, by its name above. */
  readonly missing: Readonly<Record<string, string>>;
}

/** A model or adapter that requests can name now. */
export interface ServedModel {
  /** As the request named it. */
  readonly name: string;
  readonly contextTokens: number;
  readonly features: ModelFeatures;
  /** For requests that name no value. */
  readonly defaultSampling: DefaultSampling;
  readonly text: ModelText;
}

/** The models of a frontend, as they come and go. */
export interface Models {
  /** Throws MODEL_NOT_FOUND, MODEL_LOADING while it may still appear, UNAVAILABLE when its tokenizer cannot be had. */
  find(name: string): ServedModel;
  /** In order of name; adapters after their base. */
  list(): readonly ListedModel[];
  /** Models that a request would find and that have a ready worker. */
  routable(): readonly string[];
  /** Calls, for as long as they live, whenever `find` may answer otherwise than before. */
  onChange(call: () => void): void;
}
