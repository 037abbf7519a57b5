import type { ModelList } from "#lib/api/openai/bodies";
import type { DefaultSampling } from "#lib/base/sampling";
import type { ModelFeatures } from "#lib/discovery/model-facts";
import type { ModelInput } from "#lib/discovery/worker-sets";
import type { ModelText } from "../text/model-text.ts";

/** A model or adapter that requests can name now. */
export interface ServedModel {
  /** As the request named it. */
  readonly name: string;
  /** Digest of the tokenizer that `text` is, in hex: its ids are good for workers that share it. */
  readonly tokenizer: string;
  /** What requests bring to its workers: token ids that `text` makes, or text as it is. */
  readonly input: ModelInput;
  /** What prompt and answer may take together. */
  readonly contextTokens: number;
  /** What all of its workers can do. */
  readonly features: ModelFeatures;
  /** For requests that name no value. */
  readonly defaultSampling: DefaultSampling;
  /** Borrowed: it is closed when nobody serves the model any more. */
  readonly text: ModelText;
}

/** The models of a frontend, as they come and go. */
export interface Models {
  /**
   * The model of a name, for requests of text or token ids. Throws MODEL_NOT_FOUND, MODEL_LOADING while it may still appear, NO_WORKERS when all that served it left a moment ago,
   * UNAVAILABLE when its tokenizer cannot be had, UNSUPPORTED_FEATURE for a model of tensors.
   */
  find(name: string): ServedModel;
  /** All names, those that answer now and the others. */
  list(): ModelList;
  /** Names that a request would be answered for now, those of models of tensors among them. */
  routable(): readonly string[];
  /** Calls, for as long as they live, whenever `find` may answer otherwise than before. */
  onChange(call: () => void): void;
}
