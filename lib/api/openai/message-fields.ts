import type { Fields, TaggedShape } from "../field.ts";

const cacheBreakpoint = {
  prompt_cache_breakpoint: {
    use: "ignored",
    shape: { is: "any" },
    about: "End of a reusable prefix.",
    why: "every block of every prompt is reusable here",
  },
} as const satisfies Fields;

const text = { is: "text" } as const;

const textPart = {
  text: { use: "honoured", shape: text, required: true, about: "The text." },
  ...cacheBreakpoint,
} as const satisfies Fields;

const media = "the served models read text only";

const textParts = {
  is: "list",
  least: 1,
  of: { is: "tagged", by: "type", open: true, cases: { text: textPart }, refusals: {} },
} as const;

/** Parts of a user's message. Texts are joined by a line break. */
const userParts = {
  is: "list",
  least: 1,
  of: {
    is: "tagged",
    by: "type",
    open: true,
    cases: { text: textPart },
    refusals: { image_url: media, input_audio: media, file: media, video_url: media, audio_url: media },
  },
} as const;

const assistantParts = {
  is: "list",
  least: 1,
  of: {
    is: "tagged",
    by: "type",
    open: true,
    cases: {
      text: textPart,
      refusal: { refusal: { use: "honoured", shape: text, required: true, about: "A refusal." } },
    },
    refusals: {},
  },
} as const;

const name = {
  use: "honoured",
  shape: text,
  about: "Name of the participant; the template decides what it does.",
} as const;

const instructions = {
  content: {
    use: "honoured",
    shape: { is: "union", of: [text, textParts] },
    required: true,
    about: "The instructions.",
  },
  name,
} as const satisfies Fields;

const toolCalls = {
  is: "list",
  most: 1536,
  of: {
    is: "tagged",
    by: "type",
    open: true,
    cases: {
      function: {
        id: { use: "honoured", shape: text, required: true, about: "Name of the call." },
        function: {
          use: "honoured",
          shape: {
            is: "object",
            open: true,
            fields: {
              name: { use: "honoured", shape: text, required: true, about: "Function that was called." },
              arguments: { use: "honoured", shape: text, required: true, about: "Arguments as JSON text." },
            },
          },
          required: true,
          about: "The call.",
        },
      },
    },
    refusals: { custom: "custom tools are not available" },
  },
} as const;

const answerOnly = "it belongs to an answer and says nothing to the template";

const assistant = {
  content: { use: "honoured", shape: { is: "union", of: [text, assistantParts] }, about: "What the model said." },
  name,
  tool_calls: { use: "honoured", shape: toolCalls, about: "Calls that the model made; the template writes them." },
  refusal: { use: "ignored", shape: text, about: "A refusal.", why: answerOnly, harmless: [""] },
  annotations: { use: "ignored", shape: { is: "any" }, about: "Citations.", why: answerOnly, harmless: [[]] },
  parsed: { use: "ignored", shape: { is: "any" }, about: "What a client parsed.", why: answerOnly },
  reasoning_content: {
    use: "ours",
    shape: text,
    about: "Reasoning of an earlier turn; the template decides what it does.",
  },
  reasoning: { use: "ours", shape: text, about: "Another name of reasoning_content." },
  audio: { use: "refused", shape: { is: "any" }, about: "An earlier spoken answer.", why: media },
  function_call: {
    use: "refused",
    shape: { is: "any" },
    about: "A call in the form before tools.",
    why: "use tool_calls",
  },
} as const satisfies Fields;

/** One message of a conversation. Open: clients send back what other servers put into their answers. */
export const MESSAGE = {
  is: "tagged",
  by: "role",
  open: true,
  cases: {
    system: instructions,
    developer: instructions,
    user: {
      content: {
        use: "honoured",
        shape: { is: "union", of: [text, userParts] },
        required: true,
        about: "What was said.",
      },
      name,
    },
    assistant,
    tool: {
      content: { use: "honoured", shape: { is: "union", of: [text, textParts] }, required: true, about: "The result." },
      tool_call_id: { use: "honoured", shape: text, required: true, about: "The call that it answers." },
    },
  },
  refusals: { function: "use the role tool" },
} as const satisfies TaggedShape;
