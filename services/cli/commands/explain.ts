import { toJson } from "@bufbuild/protobuf";
import { ExplainResponseSchema, RouterService } from "#gen/stator/router/v1/router_pb";
import { viewBytes } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import type { Command, CommandContext } from "../command.ts";
import { openModelText } from "../compose/model-text.ts";
import { printExplanation } from "../explanation.ts";
import { askOperators, OPERATOR_KEYS, OPERATOR_SAYS } from "../operators.ts";

/** `stator explain`: why a request went where it went, or where a prompt would go. */
export const explain: Command = {
  arguments: "ID|MODEL [HOST:PORT]",
  help:
    "Asks a running frontend for a decision of its router: the candidates, what each would have cost and why, what would\n" +
    "have changed the choice, and what came beside what was foreseen. ID is a request's x-request-id. With --prompt nothing\n" +
    "is sent: the text, as one message to MODEL where that has a chat template, is placed as if it came now.",
  says: OPERATOR_SAYS,
  options: ["prompt", "json", "tokenizer.engine", ...OPERATOR_KEYS],
  async run(context) {
    const { values, positional, print, screen } = context;
    const [subject, target] = positional;
    if (subject === undefined) {
      const detail = "Name a request: stator explain ID; or a model: stator explain MODEL --prompt TEXT.";
      throw new StatorError("BAD_CONFIG", { detail });
    }
    const about = await readAbout(subject, context);
    const answer = await askOperators(RouterService, values, {
      ask: (router, options) => router.explain({ about }, options),
      target,
    });
    if (values.json) print(JSON.stringify(toJson(ExplainResponseSchema, answer), undefined, 2));
    else print(answer.explanations.map((each) => printExplanation(each, screen.paint)).join("\n\n"));
    return 0;
  },
};

async function readAbout(subject: string, context: CommandContext) {
  const { prompt } = context.values;
  if (prompt === undefined) return { case: "requestId", value: subject } as const;
  const { text, hasTemplate } = await openModelText(subject, context);
  const tokens = hasTemplate
    ? await text.encodePrompt(text.renderChat({ messages: [{ role: "user", content: prompt }] }))
    : await text.encodeText(prompt);
  return { case: "prompt", value: { model: subject, tokenIds: viewBytes(tokens) } } as const;
}
