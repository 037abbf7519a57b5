import { ANSWER_BOUNDS, ANSWER_RANGES, SAMPLING_RANGES } from "#lib/base/sampling";
import { SESSION_LENGTH, TAINT_PATTERN } from "#lib/base/taint";
import type { Fields } from "../field.ts";

const STOP_TEXT = { is: "text", leastLength: 1, mostLength: ANSWER_BOUNDS.stopTextUnits } as const;

/** A list of token ids. */
export const TOKEN_IDS = { is: "list", of: ANSWER_RANGES.token } as const;

/** Fields that say which model and who asks. */
export const MODEL_FIELDS = {
  model: {
    use: "honoured",
    shape: { is: "text", leastLength: 1, mostLength: SESSION_LENGTH },
    required: true,
    about: "Name of a served model or adapter, as GET /v1/models lists it.",
  },
  user: {
    use: "ignored",
    shape: { is: "text" },
    about: "Identifier of an end user.",
    why: "nothing here is kept per end user",
  },
} as const satisfies Fields;

/** Fields that say how tokens are drawn and when an answer ends; the same for chat and completions. */
export const SAMPLING_FIELDS = {
  temperature: {
    use: "honoured",
    shape: SAMPLING_RANGES.temperature,
    about:
      "0 takes the most likely token, 1 draws from the model's distribution. The model's own default, else 1: GET /v1/models shows it as default_sampling, as for the other fields of this kind.",
  },
  top_p: {
    use: "honoured",
    // 0 has a meaning for clients alone: to an engine it is the likeliest token of all.
    shape: { is: "number", least: 0, most: 1 },
    about:
      "Keeps the most likely tokens whose probabilities reach this sum; 1 by default, 0 keeps the likeliest alone.",
  },
  n: {
    use: "honoured",
    shape: ANSWER_RANGES.choices,
    about: `Answers per prompt; 1 by default. Prompts times n is at most ${ANSWER_RANGES.choices.most}.`,
  },
  stop: {
    use: "honoured",
    shape: {
      is: "union",
      of: [STOP_TEXT, { is: "list", of: STOP_TEXT, most: ANSWER_BOUNDS.stopTexts }],
    },
    about: "Texts that end the answer; they never appear in it, however the tokens split them.",
  },
  seed: {
    use: "honoured",
    shape: { is: "int64" },
    about:
      "Key of the draws: a draw depends on seed, choice, position and the log-probabilities there. Where GET /v1/models says deterministic batch, these depend on the request alone and equal seeds give equal answers; with alone that holds while nothing else runs, with no it is likely at best. Drawn at random when absent.",
  },
  logit_bias: {
    use: "honoured",
    shape: { is: "map", of: ANSWER_RANGES.bias, keys: "0|[1-9][0-9]{0,9}", most: ANSWER_BOUNDS.biasTokens },
    about: "Added to the logits of tokens, by token id.",
  },
  frequency_penalty: {
    use: "honoured",
    shape: SAMPLING_RANGES.frequency_penalty,
    about: "Subtracted from a token's logit for each time it is in the answer.",
  },
  presence_penalty: {
    use: "honoured",
    shape: SAMPLING_RANGES.presence_penalty,
    about: "Subtracted once from the logit of a token that is in the answer.",
  },
  stream: { use: "honoured", shape: { is: "boolean" }, about: "Answers as server-sent events." },
  stream_options: {
    use: "honoured",
    shape: {
      is: "object",
      fields: {
        include_usage: {
          use: "honoured",
          shape: { is: "boolean" },
          about: "A last chunk with the usage of the whole request and no choices.",
        },
        continuous_usage_stats: {
          use: "ours",
          shape: { is: "boolean" },
          about: "Usage so far on every chunk.",
        },
        include_obfuscation: {
          use: "ignored",
          shape: { is: "boolean" },
          about: "Random padding of chunks.",
          why: "chunks are never padded",
          harmless: [false],
        },
      },
    },
    about: "How to stream; only with stream.",
  },
} as const satisfies Fields;

/** The form of an answer; the same for chat and completions. */
export const FORMAT_FIELDS = {
  response_format: {
    use: "honoured",
    shape: {
      is: "tagged",
      by: "type",
      cases: {
        text: {},
        json_object: {},
        json_schema: {
          json_schema: {
            use: "honoured",
            shape: {
              is: "object",
              fields: {
                name: {
                  use: "honoured",
                  shape: { is: "text", pattern: "[a-zA-Z0-9_-]{1,64}" },
                  required: true,
                  about: "Name of the format.",
                },
                description: {
                  use: "ignored",
                  shape: { is: "text" },
                  about: "What the format is for.",
                  why: "the prompt is the template's alone",
                },
                schema: {
                  use: "honoured",
                  shape: { is: "any" },
                  required: true,
                  about: "JSON Schema; a keyword that cannot be held exactly is refused by name and path.",
                },
                strict: {
                  use: "honoured",
                  shape: { is: "boolean" },
                  about: "The schema is held exactly either way.",
                },
              },
            },
            required: true,
            about: "The schema that every answer matches.",
          },
        },
      },
      refusals: {
        grammar: "only text, json_object and json_schema are",
        structural_tag: "only text, json_object and json_schema are",
      },
    },
    about: "Form of the answer, held by a grammar while it is drawn.",
  },
} as const satisfies Fields;

/** Extensions that chat and completions share. Names are those of vLLM where it has them. */
export const EXTENSION_FIELDS = {
  top_k: {
    use: "ours",
    shape: SAMPLING_RANGES.top_k,
    about: "Keeps the k most likely tokens; 0 and -1 keep all.",
  },
  min_p: {
    use: "ours",
    shape: SAMPLING_RANGES.min_p,
    about: "Drops tokens less likely than this share of the most likely one.",
  },
  repetition_penalty: {
    use: "ours",
    shape: SAMPLING_RANGES.repetition_penalty,
    about: "Divides the logits of tokens that are in prompt or answer; 1 changes nothing.",
  },
  min_tokens: {
    use: "ours",
    shape: ANSWER_RANGES.min_tokens,
    about: "Before so many tokens the model's end token is not drawn, and no stop text ends the answer.",
  },
  ignore_eos: { use: "ours", shape: { is: "boolean" }, about: "The model's end token is an ordinary token." },
  stop_token_ids: {
    use: "ours",
    shape: { ...TOKEN_IDS, most: ANSWER_BOUNDS.stopTokens },
    about: "Further tokens that end the answer.",
  },
  include_stop_str_in_output: {
    use: "ours",
    shape: { is: "boolean" },
    about: "The stop text, or the text of the stop token, stays at the end of the answer.",
  },
} as const satisfies Fields;

/** As an operator gives it to a worker. */
const TAINT = { is: "text", pattern: TAINT_PATTERN } as const;

/** Extensions about where and when a request runs, for every route. */
export const PLACEMENT_FIELDS = {
  cache_salt: {
    use: "ours",
    shape: { is: "text", leastLength: 1, mostLength: 1024 },
    about: "Requests share cached prefixes only with requests of the same salt.",
  },
  priority: {
    use: "ours",
    shape: { is: "integer", least: -2_147_483_648, most: 2_147_483_647 },
    about: "Higher runs first on a worker; 0 by default.",
  },
  stator: {
    use: "ours",
    shape: {
      is: "object",
      fields: {
        worker: {
          use: "ours",
          shape: { is: "text", pattern: "[0-9a-fA-F]{1,16}" },
          about: "Instance id of the worker to run on. The header x-stator-worker says the same and wins.",
        },
        session: {
          use: "ours",
          shape: { is: "text", leastLength: 1, mostLength: 256 },
          about:
            "Requests of one session run on one worker while it is there. The header x-stator-session says the same and wins.",
        },
        required_taints: {
          use: "ours",
          shape: { is: "list", of: TAINT, most: 16 },
          about: "Words that the worker must have, such as zone=a: what its operator gave it by --taints.",
        },
        preferred_taints: {
          use: "ours",
          shape: { is: "map", of: { is: "number", least: -100, most: 100 }, keys: TAINT.pattern, most: 16 },
          about: "Words that make a worker better, by a weight each; below 0 it is avoided.",
        },
        explain: {
          use: "ours",
          shape: { is: "boolean" },
          about: "Adds the object `stator` to the answer: worker, attempt, cached tokens and the decision in words.",
        },
      },
    },
    about: "What only this server understands.",
  },
} as const satisfies Fields;
