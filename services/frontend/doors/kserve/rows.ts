import { createNumberTensor } from "#lib/api/kserve/numbers";
import { createBytesTensor, type Tensor } from "#lib/api/kserve/tensor";
import { printChatLogprobs } from "#lib/api/openai/logprobs";
import { assert } from "#lib/base/errors";
import type { AnswerFinish, AnswerToken } from "#lib/serving/answer";
import { type InferOutput, OUTPUTS } from "./tensors.ts";

/** What a choice says: all of it, or what it says next. */
export interface AnswerRow {
  /** Its text. */
  readonly text: string;
  /** Its tokens, where outputs are made of them. */
  readonly tokens: readonly AnswerToken[];
  /** Why it ended; undefined where it goes on. */
  readonly finish: AnswerFinish | undefined;
}

/** The outputs of an answer with a row for each choice; finish_reason is left out where the choices go on. */
export function printRows(outputs: readonly InferOutput[], rows: readonly AnswerRow[]): Tensor[] {
  const tensors: Tensor[] = [];
  for (const name of outputs) {
    assert(name !== "embedding", "an answer of tokens has no vectors");
    if (name !== "finish_reason") tensors.push(printOutput(name, rows));
    else if (rows.every(({ finish }) => finish)) tensors.push(printTexts(name, rows, ({ finish = "" }) => finish));
  }
  return tensors;
}

function printOutput(name: Exclude<InferOutput, "finish_reason" | "embedding">, rows: readonly AnswerRow[]): Tensor {
  switch (name) {
    case "text_output":
      return printTexts(name, rows, ({ text }) => text);
    case "logprobs":
      return printTexts(name, rows, ({ tokens }) => printChatLogprobs(tokens));
    case "token_ids":
    case "output_ids":
      return printLists(name, rows, { of: ({ id }) => id, fill: -1 });
    case "token_logprobs":
      return printLists(name, rows, { of: ({ logprob = Number.NaN }) => logprob, fill: Number.NaN });
    case "sequence_length": {
      const numbers = rows.map(({ tokens }) => tokens.length);
      return createNumberTensor(name, OUTPUTS[name].datatype, { shape: [rows.length], numbers });
    }
  }
}

function printTexts(name: InferOutput, rows: readonly AnswerRow[], textOf: (row: AnswerRow) => string): Tensor {
  return createBytesTensor(name, rows.map(textOf));
}

/** How the tokens of a row become numbers, and what is behind the last one of a row that is shorter than others. */
interface TokenNumbers {
  readonly of: (token: AnswerToken) => number;
  readonly fill: number;
}

function printLists(
  name: "token_ids" | "output_ids" | "token_logprobs",
  rows: readonly AnswerRow[],
  { of, fill }: TokenNumbers,
): Tensor {
  const longest = rows.reduce((most, { tokens }) => Math.max(most, tokens.length), 0);
  const numbers = new Array<number>(rows.length * longest).fill(fill);
  for (const [row, { tokens }] of rows.entries()) {
    for (const [at, token] of tokens.entries()) numbers[row * longest + at] = of(token);
  }
  return createNumberTensor(name, OUTPUTS[name].datatype, { shape: [rows.length, longest], numbers });
}
