import { DETERMINISM } from "#lib/base/determinism";
import { SAMPLING_RANGES } from "#lib/base/sampling";
import type { Fields, Shape } from "./field.ts";
import { AWAY_STATES } from "./openai/bodies.ts";

const text = { is: "text" } as const;
const count = { is: "integer", least: 0 } as const;
const any = { is: "any" } as const;

function always(shape: Shape, about: string) {
  return { use: "honoured", shape, required: true, about } as const;
}

function sometimes(shape: Shape, about: string) {
  return { use: "honoured", shape, about } as const;
}

const usage = always(
  {
    is: "object",
    fields: {
      prompt_tokens: always(count, "Tokens of the prompts."),
      completion_tokens: sometimes(count, "Tokens of all answers."),
      total_tokens: always(count, "Both."),
      prompt_tokens_details: sometimes(
        { is: "object", fields: { cached_tokens: always(count, "Prompt tokens found in a prefix cache.") } },
        "Where prompt tokens came from.",
      ),
    },
  },
  "Tokens of the request.",
);

const explain = sometimes(any, "Worker, attempt, cached tokens and decision, when stator.explain asked for them.");
const finish = always(
  { is: "text", among: ["stop", "length"] },
  "stop: the model or a stop text ended it; length: it has max_tokens, or the context is full. null while it goes on.",
);
const created = always(count, "Unix time in seconds.");

function answer(object: string, choice: Fields): Fields {
  return {
    id: always(text, "Name of the answer."),
    object: always({ is: "text", among: [object] }, "Kind of object."),
    created,
    model: always(text, "Model as asked for."),
    choices: always(
      {
        is: "list",
        of: { is: "object", fields: { index: always(count, "Which choice."), ...choice, finish_reason: finish } },
      },
      "The answers.",
    ),
    usage,
    stator: explain,
  };
}

function samplingFields(): Fields {
  const names = Object.entries(SAMPLING_RANGES);
  return Object.fromEntries(names.map(([name, shape]) => [name, sometimes(shape, `For requests without ${name}.`)]));
}

/** Shapes of the answers by the name of their schema. They are written by `openai/bodies` and `openai/chunks`. */
export const ANSWERS = {
  ChatCompletion: answer("chat.completion", {
    message: always(
      {
        is: "object",
        fields: {
          role: always({ is: "text", among: ["assistant"] }, "Who speaks."),
          content: always(text, "What the model said."),
          refusal: sometimes(any, "Always null."),
        },
      },
      "The answer.",
    ),
    logprobs: sometimes(any, "Log-probabilities when asked for."),
  }),
  Completion: answer("text_completion", {
    text: always(text, "What the model wrote."),
    logprobs: sometimes(any, "Log-probabilities when asked for."),
  }),
  EmbeddingList: {
    object: always({ is: "text", among: ["list"] }, "Kind of object."),
    data: always(
      {
        is: "list",
        of: {
          is: "object",
          fields: {
            object: always({ is: "text", among: ["embedding"] }, "Kind of object."),
            index: always(count, "Which input."),
            embedding: always(
              { is: "union", of: [{ is: "list", of: { is: "number" } }, text] },
              "Numbers, or base64 of f32 little endian.",
            ),
          },
        },
      },
      "One per input, in order.",
    ),
    model: always(text, "Model as asked for."),
    usage,
  },
  Model: {
    id: always(text, "Name."),
    object: always({ is: "text", among: ["model"] }, "Kind of object."),
    created,
    owned_by: always(text, "Owner."),
    max_model_len: sometimes(
      count,
      "Longest prompt and answer together, in tokens; absent when the engine does not say.",
    ),
    default_sampling: sometimes(
      { is: "object", fields: samplingFields() },
      "What counts for requests that name no value: the operator's values, else those of the model's file, else the API's.",
    ),
    deterministic: sometimes(
      { is: "text", among: DETERMINISM },
      "When a request gets the same answer again, to the last bit of its log-probabilities: batch = always, alone = as long as nothing runs beside it, no = not to be relied on.",
    ),
    parent: sometimes(text, "Base model of an adapter."),
  },
  ModelList: {
    object: always({ is: "text", among: ["list"] }, "Kind of object."),
    data: always({ is: "list", of: any }, "The models that a request would be answered for now."),
    stator: sometimes(
      {
        is: "object",
        fields: {
          not_ready: always(
            {
              is: "list",
              of: {
                is: "object",
                fields: {
                  id: always(text, "Name."),
                  state: always({ is: "text", among: AWAY_STATES }, "How far its nearest worker is."),
                  reason: always(text, "Why it is not ready, one sentence."),
                },
              },
            },
            "In order of id.",
          ),
        },
      },
      "Names that are known and not ready; absent when all are.",
    ),
  },
  Health: {
    status: always(text, "In a word."),
    models: sometimes({ is: "list", of: text }, "Models that are routable."),
    operators: sometimes(text, "Where the operators' gRPC port is, as host:port; told on the same machine alone."),
  },
  OpenApi: {},
  Error: {
    error: always(
      {
        is: "object",
        fields: {
          message: always(text, "One sentence."),
          type: always(text, "Class of the error."),
          param: sometimes(text, "Field that is to blame."),
          code: sometimes(text, "Row of the error table, in lower case words."),
        },
      },
      "What is wrong.",
    ),
  },
} as const satisfies Readonly<Record<string, Fields>>;
