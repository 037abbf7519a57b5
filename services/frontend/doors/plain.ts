import { NO_WISHES } from "#lib/routing/router";
import { UNSAID } from "#lib/tokens/sampling";
import type { Asked, DoorAsk, DoorWords } from "./door.ts";

/** An ask for one answer, of which only model and input are to be said. */
export const PLAIN_ASK: Omit<DoorAsk, "model" | "input"> = {
  kind: "generate",
  choicesPerPrompt: 1,
  sampling: UNSAID,
  stopping: {
    maxTokens: undefined,
    minTokens: 0,
    ignoreEos: false,
    stopTokens: new Uint32Array(0),
    stopTexts: [],
    includeStop: false,
  },
  guidance: undefined,
  topLogprobs: undefined,
  promptLogprobs: false,
  cacheSalt: "",
  priority: 0,
  target: undefined,
  wishes: NO_WISHES,
  deadlineMs: undefined,
  pooling: undefined,
  normalize: true,
};

/** How an ask is answered that says nothing of it: as a whole. */
export const PLAIN_ASKED: Omit<Asked<never>, "ask" | "ignored" | "form"> = {
  stream: false,
  soFar: false,
  byToken: false,
  echo: false,
  promptOnly: false,
  dimensions: undefined,
};

/** Words for what a door has no field for, so that nobody is told of it. */
export const PLAIN_WORDS: Omit<DoorWords, "input"> = {
  stopTokens: "stop tokens",
  biasTokens: "biases",
  echo: "echo",
  dimensions: "dimensions",
  logprobs: "log-probabilities",
  tokens: "ids of tokens",
  guidance: {},
};
