import { ANSWER_RANGES } from "#lib/base/sampling";
import { compileCheck, type RequestCheck, type Rule } from "../check.ts";
import type { Body, Fields } from "../field.ts";
import { OTHER_NAMES } from "../other-names.ts";
import { EXTENSION_FIELDS, FORMAT_FIELDS, MODEL_FIELDS, PLACEMENT_FIELDS, SAMPLING_FIELDS } from "./common-fields.ts";
import { MESSAGE } from "./message-fields.ts";
import { minTokensRule, streamOptionsRule } from "./rules.ts";

const { model, user } = MODEL_FIELDS;
const elsewhere = "it steers a service that this server is not";
const legacyFunctions = "use tools and tool_choice";

const answerFields = {
  max_completion_tokens: {
    use: "honoured",
    shape: ANSWER_RANGES.max_tokens,
    about: "Most tokens of each answer; what the context leaves by default.",
  },
  max_tokens: {
    use: "honoured",
    shape: ANSWER_RANGES.max_tokens,
    about: "The older name of max_completion_tokens.",
  },
  logprobs: { use: "honoured", shape: { is: "boolean" }, about: "Returns the log-probability of each token." },
  top_logprobs: {
    use: "honoured",
    shape: ANSWER_RANGES.top_logprobs,
    about: "And of so many most likely tokens; only with logprobs.",
  },
} as const satisfies Fields;

const toolFields = {
  tools: {
    use: "ignored",
    shape: {
      is: "list",
      most: 1536,
      of: {
        is: "tagged",
        by: "type",
        cases: {
          function: {
            function: {
              use: "honoured",
              shape: {
                is: "object",
                fields: {
                  name: {
                    use: "honoured",
                    shape: { is: "text", pattern: "[a-zA-Z0-9_-]{1,96}" },
                    required: true,
                    about: "Name of the function.",
                  },
                  description: { use: "honoured", shape: { is: "text" }, about: "What it does." },
                  parameters: { use: "honoured", shape: { is: "any" }, about: "JSON Schema of its arguments." },
                  strict: { use: "honoured", shape: { is: "boolean" }, about: "Hold the schema exactly." },
                },
              },
              required: true,
              about: "The function.",
            },
          },
        },
        refusals: { custom: "custom tools are not available" },
      },
    },
    about: "Functions that the model may call.",
    why: 'taken only with tool_choice "none", which is to say that no call is wanted; calls are not parsed out of answers yet',
    harmless: [[]],
  },
  tool_choice: {
    use: "honoured",
    shape: {
      is: "union",
      of: [
        { is: "text", among: ["none", "auto", "required"] },
        {
          is: "tagged",
          by: "type",
          cases: {},
          refusals: {
            function: "calls are not parsed out of answers yet",
            custom: "custom tools are not available",
            allowed_tools: "calls are not parsed out of answers yet",
          },
        },
      ],
    },
    about: 'Whether tools may be called; "none" beside tools, for now.',
  },
  parallel_tool_calls: {
    use: "ignored",
    shape: { is: "boolean" },
    about: "Several calls at once.",
    why: "calls are not parsed out of answers yet",
  },
  functions: {
    use: "refused",
    shape: { is: "any" },
    about: "Tools in their first form.",
    why: legacyFunctions,
    harmless: [[]],
  },
  function_call: {
    use: "refused",
    shape: { is: "any" },
    about: "Choice of a tool in its first form.",
    why: legacyFunctions,
    harmless: ["none"],
  },
} as const satisfies Fields;

const otherFields = {
  modalities: {
    use: "honoured",
    shape: { is: "list", of: { is: "text", among: ["text"] }, most: 8 },
    about: "Kinds of answer; text is the only one.",
  },
  audio: { use: "refused", shape: { is: "any" }, about: "Voice of a spoken answer.", why: "answers are text" },
  prediction: {
    use: "ignored",
    shape: { is: "any" },
    about: "Text that the answer will mostly repeat.",
    why: "it would change speed alone, and does not yet",
  },
  web_search_options: {
    use: "refused",
    shape: { is: "any" },
    about: "Search of the web.",
    why: "nothing is searched here",
  },
  moderation: {
    use: "refused",
    shape: { is: "any" },
    about: "A moderation model.",
    why: "answers are not moderated here",
  },
  reasoning_effort: {
    use: "ignored",
    shape: { is: "text", among: ["none", "minimal", "low", "medium", "high", "xhigh", "max"] },
    about: "How long to reason.",
    why: "no served model has levels of it",
  },
  verbosity: {
    use: "ignored",
    shape: { is: "text", among: ["low", "medium", "high"] },
    about: "How long to answer.",
    why: "no served model has levels of it",
  },
  metadata: {
    use: "ignored",
    shape: { is: "map", of: { is: "text", mostLength: 512 }, most: 16 },
    about: "Labels of a stored answer.",
    why: "answers are not stored",
  },
  store: {
    use: "ignored",
    shape: { is: "boolean" },
    about: "Keeps the answer.",
    why: "answers are not stored",
    harmless: [false],
  },
  service_tier: {
    use: "ignored",
    shape: { is: "text", among: ["auto", "default", "flex", "scale", "priority", "fast"] },
    about: "Class of service.",
    why: elsewhere,
    harmless: ["auto", "default"],
  },
  safety_identifier: { use: "ignored", shape: { is: "text" }, about: "Identifier of an end user.", why: elsewhere },
  prompt_cache_key: {
    use: "ignored",
    shape: { is: "text" },
    about: "Hint for a prompt cache.",
    why: "the router finds cached prefixes by their content",
  },
  prompt_cache_options: { use: "ignored", shape: { is: "any" }, about: "Options of a prompt cache.", why: elsewhere },
  prompt_cache_retention: {
    use: "ignored",
    shape: { is: "text", among: ["in_memory", "in-memory", "24h"] },
    about: "Life of a prompt cache.",
    why: elsewhere,
  },
} as const satisfies Fields;

const templateFields = {
  chat_template_kwargs: {
    use: "ours",
    shape: { is: "map", of: { is: "any" }, most: 64 },
    about: "Variables for the model's chat template, such as enable_thinking. Names that it does not read are told.",
  },
  documents: {
    use: "ours",
    shape: { is: "list", of: { is: "map", of: { is: "any" }, most: 64 }, most: 1024 },
    about: "Documents for the model's chat template.",
  },
  add_generation_prompt: {
    use: "ours",
    shape: { is: "boolean" },
    about: "Ends the prompt where the assistant begins; true unless the final message is continued.",
  },
  continue_final_message: {
    use: "ours",
    shape: { is: "boolean" },
    about: "Ends the prompt inside the last message, which the model goes on with.",
  },
  chat_template: {
    use: "refused",
    shape: { is: "text" },
    about: "A template of the client's own.",
    why: "the model's own template makes the prompt",
  },
} as const satisfies Fields;

/** Every field of POST /v1/chat/completions. */
export const CHAT_FIELDS = {
  model,
  messages: {
    use: "honoured",
    shape: { is: "list", of: MESSAGE, least: 1, most: 65_536 },
    required: true,
    about: "The conversation; the model's own chat template makes the prompt from it. developer counts as system.",
  },
  ...SAMPLING_FIELDS,
  ...answerFields,
  ...FORMAT_FIELDS,
  ...EXTENSION_FIELDS,
  ...PLACEMENT_FIELDS,
  ...templateFields,
  ...toolFields,
  ...otherFields,
  user,
} as const satisfies Fields;

/** A chat request that passed. */
export type ChatBody = Body<typeof CHAT_FIELDS>;

/** What chat's fields must agree on among themselves. */
export const CHAT_RULES: readonly Rule<typeof CHAT_FIELDS>[] = [
  streamOptionsRule,
  minTokensRule((body: ChatBody) => body.max_completion_tokens ?? body.max_tokens),
  {
    about: "top_logprobs asks for logprobs: true.",
    check: ({ top_logprobs, logprobs }) =>
      top_logprobs && !logprobs
        ? { kind: "invalid", path: "top_logprobs", text: "is taken only with logprobs: true" }
        : undefined,
  },
  {
    about: "max_tokens and max_completion_tokens are equal when both are there.",
    check: ({ max_tokens, max_completion_tokens }) =>
      max_tokens && max_completion_tokens && max_tokens !== max_completion_tokens
        ? { kind: "invalid", path: "max_tokens", text: "differs from max_completion_tokens; send one of them" }
        : undefined,
  },
  {
    about: 'tools are taken only with tool_choice "none".',
    check: ({ tools, tool_choice }) =>
      (tools?.length && tool_choice !== "none") || tool_choice === "required"
        ? {
            kind: "refused",
            path: tools?.length ? "tools" : "tool_choice",
            text: 'calls are not parsed out of answers yet; with tool_choice "none" the request is taken',
          }
        : undefined,
  },
];

/** Checks the body of POST /v1/chat/completions. */
export const checkChat: RequestCheck<typeof CHAT_FIELDS> = compileCheck(CHAT_FIELDS, CHAT_RULES, OTHER_NAMES);
