import { StatorError } from "#lib/base/errors";
import type { Command } from "../command.ts";
import { openFileText } from "../compose/file-text.ts";
import { readInput } from "../read-input.ts";
import { printTokens, showTokens } from "../token-table.ts";

/** `stator tokenize`: the tokens of a text. */
export const tokenize: Command = {
  name: "tokenize",
  arguments: "FILE [TEXT]",
  summary: "the tokens that a model file makes of a text",
  help:
    "Shows the ids and pieces of a text, as a prompt of /v1/completions becomes them: names of control tokens in it are\n" +
    "those tokens. Without TEXT the text comes from standard input.",
  options: ["json", "tokenizer.engine"],
  async run(context) {
    const { positional, print, values, screen } = context;
    const [file, ...words] = positional;
    if (file === undefined)
      throw new StatorError("BAD_CONFIG", { detail: "Name a model file: stator tokenize FILE [TEXT]." });
    const opened = await openFileText(file, context);
    const tokens = await opened.text.encodeText(words.length > 0 ? words.join(" ") : await readInput());
    const shown = showTokens(tokens, opened);
    print(values.json ? JSON.stringify(shown) : printTokens(shown, screen.paint));
    return 0;
  },
};
