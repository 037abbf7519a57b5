/** How other servers call fields of a request: the name here, or a sentence about what is done instead. */
export type OtherNames = Readonly<Record<string, { readonly field: string } | { readonly hint: string }>>;

const repetition = { field: "repetition_penalty" } as const;
const mostTokens = { field: "max_tokens" } as const;
const format = { field: "response_format" } as const;
const several = { field: "n" } as const;
const draws = { hint: "Draws are steered by temperature, top_p, top_k and min_p" } as const;
const contextLength = { hint: "The context length is chosen when the server starts" } as const;
const specialTokens = { hint: "The text of an answer never has special tokens" } as const;
const beams = { hint: "There is no beam search; n draws several answers" } as const;
const promptLogprobs = {
  hint: "echo with logprobs on /v1/completions returns the prompt's log-probabilities",
} as const;

/** Names of llama.cpp, Ollama, vLLM, Transformers and others, for the hint that goes with an unknown field. */
export const OTHER_NAMES: OtherNames = {
  repeat_penalty: repetition,
  repetition_penalty_range: repetition,
  rep_pen: repetition,
  num_predict: mostTokens,
  n_predict: mostTokens,
  max_new_tokens: mostTokens,
  max_output_tokens: mostTokens,
  max_length: mostTokens,
  max_gen_len: mostTokens,
  stop_sequences: { field: "stop" },
  stop_strings: { field: "stop" },
  random_seed: { field: "seed" },
  eos_token_id: { field: "stop_token_ids" },
  ignore_eos_token: { field: "ignore_eos" },
  format,
  grammar: format,
  json_schema: format,
  guided_json: format,
  guided_grammar: format,
  guided_regex: format,
  guided_choice: format,
  structured_outputs: format,
  best_of: several,
  num_return_sequences: several,
  n_probs: { field: "logprobs" },
  prompt_logprobs: promptLogprobs,
  num_ctx: contextLength,
  n_ctx: contextLength,
  max_model_len: contextLength,
  truncate_prompt_tokens: { hint: "A prompt that is too long is refused and never cut" },
  skip_special_tokens: specialTokens,
  spaces_between_special_tokens: specialTokens,
  use_beam_search: beams,
  length_penalty: beams,
  early_stopping: beams,
  do_sample: { hint: "temperature 0 takes the most likely token, above it tokens are drawn" },
  typical_p: draws,
  typ_p: draws,
  tfs_z: draws,
  mirostat: draws,
  mirostat_eta: draws,
  mirostat_tau: draws,
  keep_alive: { hint: "A model stays loaded as long as its worker runs" },
};
