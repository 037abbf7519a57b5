import { ANSWER_RANGES } from "#lib/base/sampling";
import { compileCheck, type RequestCheck, type Rule } from "../check.ts";
import type { Body, Fields } from "../field.ts";
import { OTHER_NAMES } from "../other-names.ts";
import {
  EXTENSION_FIELDS,
  FORMAT_FIELDS,
  MODEL_FIELDS,
  PLACEMENT_FIELDS,
  SAMPLING_FIELDS,
  TOKEN_IDS,
} from "./common-fields.ts";
import { minTokensRule, streamOptionsRule } from "./rules.ts";

const { model, user } = MODEL_FIELDS;

const MOST_CHOICES = ANSWER_RANGES.choices.most;

/** Every field of POST /v1/completions. */
export const COMPLETION_FIELDS = {
  model,
  prompt: {
    use: "honoured",
    shape: {
      is: "union",
      of: [
        { is: "text" },
        { is: "list", of: { is: "text" }, least: 1, most: MOST_CHOICES },
        { is: "list", of: { is: "list", of: TOKEN_IDS.of, least: 1 }, least: 1, most: MOST_CHOICES },
        { ...TOKEN_IDS, least: 1 },
      ],
    },
    required: true,
    about: "One prompt or several, as text or as token ids. Text gets the model's begin token and no template.",
  },
  ...SAMPLING_FIELDS,
  max_tokens: {
    use: "honoured",
    shape: { ...ANSWER_RANGES.max_tokens, least: 0 },
    about: "Most tokens of each answer; 16 by default. 0 only with echo: the answer is the prompt.",
  },
  logprobs: {
    use: "honoured",
    shape: { is: "integer", least: 0, most: 5 },
    about: "Returns the log-probability of each token and of so many most likely ones.",
  },
  echo: {
    use: "honoured",
    shape: { is: "boolean" },
    about: "Begins each answer with its prompt; with logprobs, those of the prompt's tokens come first.",
  },
  ...FORMAT_FIELDS,
  ...EXTENSION_FIELDS,
  ...PLACEMENT_FIELDS,
  best_of: {
    use: "refused",
    shape: { is: "integer" },
    about: "Draws more answers than it returns.",
    why: "answers are not ranked here; use n with logprobs",
    harmless: [1],
  },
  suffix: {
    use: "refused",
    shape: { is: "text" },
    about: "Text that follows the answer.",
    why: "no served model fills in the middle",
    harmless: [""],
  },
  user,
} as const satisfies Fields;

/** A completion request that passed. */
export type CompletionBody = Body<typeof COMPLETION_FIELDS>;

/** What its fields must agree on among themselves. */
export const COMPLETION_RULES: readonly Rule<typeof COMPLETION_FIELDS>[] = [
  streamOptionsRule,
  minTokensRule((body: CompletionBody) => body.max_tokens ?? 16),
  {
    about: "max_tokens 0 is taken only with echo: true.",
    check: ({ echo, max_tokens }) =>
      max_tokens === 0 && !echo
        ? { kind: "invalid", path: "max_tokens", text: "is 0, which is taken only with echo: true" }
        : undefined,
  },
  {
    about: `Prompts times n is at most ${MOST_CHOICES}.`,
    check: ({ prompt, n }) => {
      const prompts = Array.isArray(prompt) && typeof prompt[0] !== "number" ? prompt.length : 1;
      return prompts * (n ?? 1) > MOST_CHOICES
        ? { kind: "invalid", path: "n", text: `times ${prompts} prompts is above ${MOST_CHOICES}` }
        : undefined;
    },
  },
];

/** Checks the body of POST /v1/completions. */
export const checkCompletion: RequestCheck<typeof COMPLETION_FIELDS> = compileCheck(
  COMPLETION_FIELDS,
  COMPLETION_RULES,
  OTHER_NAMES,
);
