import { ANSWER_RANGES } from "#lib/base/sampling";
import { compileCheck, type RequestCheck } from "../check.ts";
import type { Body, Fields } from "../field.ts";
import { EXTENSION_FIELDS, FORMAT_FIELDS, PLACEMENT_FIELDS, SAMPLING_FIELDS } from "../openai/common-fields.ts";
import { COMPLETION_FIELDS } from "../openai/completion-fields.ts";
import { minTokensRule } from "../openai/rules.ts";
import { OTHER_NAMES } from "../other-names.ts";

const { stream: _stream, stream_options: _options, ...drawing } = SAMPLING_FIELDS;
const { max_tokens, echo } = COMPLETION_FIELDS;
const { worker, session } = PLACEMENT_FIELDS.stator.shape.fields;
const NO_SEQUENCES = "sequence models are not served; a session keeps requests on one worker: stator_session";

/** What says how tokens are drawn and when an answer ends: parameters of a request, or members of `sampling_parameters`. */
export const SAMPLING_PARAMETERS = {
  ...drawing,
  max_tokens: { ...max_tokens, shape: ANSWER_RANGES.max_tokens, about: "Most tokens of each answer; 16 by default." },
  ...EXTENSION_FIELDS,
  ...FORMAT_FIELDS,
  logprobs: {
    use: "ours",
    shape: ANSWER_RANGES.top_logprobs,
    about: "The outputs of log-probabilities have so many most likely tokens at each place.",
  },
  echo,
  exclude_input_in_output: {
    use: "honoured",
    shape: { is: "boolean" },
    about: "The contrary of echo, as Triton's vLLM backend calls it; true by default.",
  },
} as const satisfies Fields;

/** Most levels of Triton's priority. */
const LEAST_PRIORITY = 2_147_483_647;

/** Parameters that say when and where a request runs, whatever is asked for. */
const RUN_PARAMETERS = {
  cache_salt: PLACEMENT_FIELDS.cache_salt,
  priority: {
    use: "honoured",
    shape: { is: "integer", least: 0, most: LEAST_PRIORITY },
    about: "Triton's: 1 runs first, then 2 and so on; 0, the default, behind all of these.",
  },
  timeout: {
    use: "honoured",
    shape: { is: "integer", least: 0 },
    about: "Microseconds in which the request has to be done; 0, the default: as long as it takes.",
  },
  stator_worker: {
    ...worker,
    about: "Instance id of the worker to run on. Metadata x-stator-worker says the same and wins.",
  },
  stator_session: {
    ...session,
    about:
      "Requests of one session run on one worker while it is there. Metadata x-stator-session says the same and wins.",
  },
  sequence_id: {
    use: "refused",
    shape: { is: "any" },
    about: "Triton's sequence that a request belongs to.",
    why: NO_SEQUENCES,
    harmless: [0, ""],
  },
  sequence_start: {
    use: "refused",
    shape: { is: "boolean" },
    about: "The request begins a sequence.",
    why: NO_SEQUENCES,
    harmless: [false],
  },
  sequence_end: {
    use: "refused",
    shape: { is: "boolean" },
    about: "The request ends a sequence.",
    why: NO_SEQUENCES,
    harmless: [false],
  },
  headers: {
    use: "ignored",
    shape: { is: "any" },
    about: "Triton's copy of a request's headers.",
    why: "nothing of a model's reads them",
  },
  binary_data_output: {
    use: "ignored",
    shape: { is: "boolean" },
    about: "HTTP's: outputs are binary.",
    why: "outputs of a message are binary when its inputs are",
    harmless: [true, false],
  },
  triton_enable_empty_final_response: {
    use: "honoured",
    shape: { is: "boolean" },
    about: "Answers on a stream say whether they are the last, and a streamed one ends with an answer without outputs.",
  },
} as const satisfies Fields;

/** Every parameter of a request for text or tokens. */
export const INFER_PARAMETERS = {
  ...SAMPLING_PARAMETERS,
  ...RUN_PARAMETERS,
  stream: {
    use: "honoured",
    shape: { is: "boolean" },
    about: "The same as the input stream, for who sends no input beside the text.",
  },
  streaming: { use: "honoured", shape: { is: "boolean" }, about: "Another name of stream." },
} as const satisfies Fields;

/** Every parameter of a request for embeddings. */
export const EMBED_PARAMETERS = {
  ...RUN_PARAMETERS,
  dimensions: {
    use: "honoured",
    shape: { is: "integer", least: 1 },
    about: "Length of an embedding; only the model's own length is taken.",
  },
} as const satisfies Fields;

/** Parameters of a request for text or tokens that passed, those of `sampling_parameters` among them. */
export type InferParameters = Body<typeof INFER_PARAMETERS>;

/** Checks what is in `sampling_parameters`. */
export const checkSamplingParameters: RequestCheck<typeof SAMPLING_PARAMETERS> = compileCheck(
  SAMPLING_PARAMETERS,
  [],
  OTHER_NAMES,
);

/** Checks the parameters of a request for text or tokens. */
export const checkInferParameters: RequestCheck<typeof INFER_PARAMETERS> = compileCheck(
  INFER_PARAMETERS,
  [minTokensRule((body: InferParameters) => body.max_tokens ?? 16)],
  OTHER_NAMES,
);

/** Checks the parameters of a request for embeddings. */
export const checkEmbedParameters: RequestCheck<typeof EMBED_PARAMETERS> = compileCheck(EMBED_PARAMETERS);
