import type { Datatype } from "#lib/api/kserve/datatypes";

/** A tensor that text and embedding models take or give. */
export interface TensorRow {
  /** The one that metadata names. */
  readonly datatype: Datatype;
  /** -1 for a dimension that varies. */
  readonly shape: readonly number[];
  /** A request may leave it out. */
  readonly optional: boolean;
  /** One sentence for people. */
  readonly about: string;
}

const SINGLE = [1];
const ROWS = [-1];
const LISTS = [-1, -1];

/** What goes in. `text_input` or `input_ids` has to be there, and not both. */
export const INPUTS = {
  text_input: {
    datatype: "BYTES",
    shape: ROWS,
    optional: false,
    about: "One prompt for each element, as UTF-8. Text gets the model's begin token and no template.",
  },
  input_ids: {
    datatype: "INT32",
    shape: LISTS,
    optional: true,
    about: "One prompt for each row, or the only one, as token ids in place of text; INT64 and UINT32 are taken too.",
  },
  input_lengths: {
    datatype: "INT32",
    shape: ROWS,
    optional: true,
    about: "How many ids of each row of input_ids count, for prompts that are not equally long.",
  },
  stream: { datatype: "BOOL", shape: SINGLE, optional: true, about: "On a stream: answers as it goes." },
  streaming: { datatype: "BOOL", shape: SINGLE, optional: true, about: "Another name of stream." },
  sampling_parameters: {
    datatype: "BYTES",
    shape: SINGLE,
    optional: true,
    about: "An object as JSON. What parameters of the request say as well counts as they say it.",
  },
  exclude_input_in_output: {
    datatype: "BOOL",
    shape: SINGLE,
    optional: true,
    about: "False begins each answer with its prompt, as the parameter echo does.",
  },
} as const satisfies Readonly<Record<string, TensorRow>>;

/** Name of an input. */
export type InferInput = keyof typeof INPUTS;

/** What comes out; a request names what it wants. Lists that are shorter than the longest are filled up at their end. */
export const OUTPUTS = {
  text_output: {
    datatype: "BYTES",
    shape: ROWS,
    optional: false,
    about:
      "The text of each choice; on a stream what it says next. There unless other outputs are named, but for input_ids.",
  },
  finish_reason: {
    datatype: "BYTES",
    shape: ROWS,
    optional: false,
    about: "stop or length; on a stream with the last of a choice. There unless other outputs are named.",
  },
  token_ids: {
    datatype: "INT32",
    shape: LISTS,
    optional: true,
    about: "The ids of each choice's tokens, filled up with -1.",
  },
  output_ids: {
    datatype: "INT32",
    shape: LISTS,
    optional: true,
    about: "The same; there for input_ids unless other outputs are named.",
  },
  sequence_length: {
    datatype: "INT32",
    shape: ROWS,
    optional: true,
    about: "How many ids of each choice count; with output_ids unless other outputs are named.",
  },
  token_logprobs: {
    datatype: "FP32",
    shape: LISTS,
    optional: true,
    about: "The log-probability of each token, filled up with NaN. There with the parameter logprobs.",
  },
  logprobs: {
    datatype: "BYTES",
    shape: ROWS,
    optional: true,
    about: "The same with the most likely tokens, a text of JSON for each choice: `content` as in OpenAI's chat.",
  },
  embedding: {
    datatype: "FP32",
    shape: LISTS,
    optional: false,
    about: "A vector for each prompt, from models that make them. There unless other outputs are named.",
  },
} as const satisfies Readonly<Record<string, TensorRow>>;

/** Name of an output. */
export type InferOutput = keyof typeof OUTPUTS;

/** What is asked for: text of text, ids of ids, or vectors of either. */
export type InferKind = "text" | "tokens" | "embedding";

/** What a request gets that names no outputs. */
export const USUAL_OUTPUTS: Readonly<Record<InferKind, readonly InferOutput[]>> = {
  text: ["text_output", "finish_reason"],
  tokens: ["output_ids", "sequence_length", "finish_reason"],
  embedding: ["embedding"],
};

/** Outputs that need log-probabilities. */
export const SCORE_OUTPUTS: readonly InferOutput[] = ["token_logprobs", "logprobs"];

/** Outputs that need the tokens one by one. */
export const TOKEN_OUTPUTS: readonly InferOutput[] = ["token_ids", "output_ids", "sequence_length", ...SCORE_OUTPUTS];

/** Whether a name is that of an input. */
export function isInput(name: string): name is InferInput {
  return Object.hasOwn(INPUTS, name);
}

/** Whether a name is that of an output. */
export function isOutput(name: string): name is InferOutput {
  return Object.hasOwn(OUTPUTS, name);
}
