import { StatorError } from "#lib/base/errors";
import type { Command } from "../command.ts";
import { openModelText } from "../compose/model-text.ts";
import { OPERATOR_KEYS, OPERATOR_SAYS } from "../operators.ts";
import { readInput } from "../read-input.ts";
import { printTokens, showTokens } from "../token-table.ts";

/** `stator tokenize`: the tokens of a text. */
export const tokenize: Command = {
  arguments: "MODEL [TEXT]",
  help:
    "Shows the ids and pieces of a text, as a prompt of /v1/completions becomes them: names of control tokens in it are\n" +
    "those tokens. MODEL is a model file or the name of a model that a running frontend (http.host and http.port) serves.\n" +
    "Without TEXT the text comes from standard input.",
  says: OPERATOR_SAYS,
  options: ["json", "tokenizer.engine", ...OPERATOR_KEYS],
  async run(context) {
    const { positional, print, values, screen } = context;
    const [model, ...words] = positional;
    if (model === undefined) {
      throw new StatorError("BAD_CONFIG", { detail: "Name a model or its file: stator tokenize MODEL [TEXT]." });
    }
    const opened = await openModelText(model, context);
    const tokens = await opened.text.encodeText(words.length > 0 ? words.join(" ") : await readInput());
    const shown = showTokens(tokens, opened);
    print(values.json ? JSON.stringify(shown) : printTokens(shown, screen.paint));
    return 0;
  },
};
