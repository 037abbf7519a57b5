import { readFile } from "node:fs/promises";
import { type TemplateFields, templateVariables } from "#lib/api/openai/template-variables";
import { StatorError } from "#lib/base/errors";
import type { Command } from "../command.ts";
import { type Conversation, openModelText, type Rendered } from "../compose/model-text.ts";
import { OPERATOR_KEYS, OPERATOR_SAYS } from "../operators.ts";
import { readInput } from "../read-input.ts";
import type { Paint } from "../screen.ts";
import { printTokens, showTokens } from "../token-table.ts";

const USUAL: Conversation = {
  messages: [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Hello!" },
  ],
};

/** `stator template`: the prompt that a model's template makes of a conversation. */
export const template: Command = {
  arguments: "MODEL [CONVERSATION]",
  help:
    "Renders a conversation with the chat template of a model and shows the prompt, its ids and pieces. What the template\n" +
    "writes is dim, what comes from the conversation is not; control tokens are yellow. MODEL is a model file or the name of a\n" +
    "model that a running frontend (http.host and http.port) serves. CONVERSATION is a JSON file with a list of messages or a\n" +
    "request to /v1/chat/completions, or - for standard input; without it there is a short one.",
  says: OPERATOR_SAYS,
  options: [
    ...(["json", "tokenizer.engine", "tokenizer.markers-in-content"] as const),
    ...(["template.max-steps", "template.max-length", "template.max-ms"] as const),
    ...OPERATOR_KEYS,
  ],
  async run(context) {
    const { positional, print, values, screen } = context;
    const [model, from] = positional;
    if (model === undefined) {
      throw new StatorError("BAD_CONFIG", {
        detail: "Name a model or its file: stator template MODEL [CONVERSATION].",
      });
    }
    const opened = await openModelText(model, context);
    const prompt = opened.text.renderChat(from === undefined ? USUAL : await readConversation(from));
    const tokens = showTokens(await opened.text.encodePrompt(prompt), opened);
    if (values.json) print(JSON.stringify({ prompt: prompt.text, content: prompt.content, tokens }));
    else print(`${paintPrompt(prompt, screen.paint)}\n\n${printTokens(tokens, screen.paint)}`);
    return 0;
  },
};

async function readConversation(from: string): Promise<Conversation> {
  const name = from === "-" ? "Standard input" : from;
  const text = from === "-" ? await readInput() : await readText(from);
  const given = parse(text, name);
  const body = (Array.isArray(given) ? { messages: given } : given) as Body | null;
  const messages = body?.messages;
  if (!Array.isArray(messages) || !messages.every(isMessage)) {
    throw new StatorError("BAD_CONFIG", { detail: `${name} has no list of messages, each with a role.` });
  }
  const variables = templateVariables(body as Body, Buffer.from(text));
  return {
    messages,
    ...(variables && { variables }),
    addGenerationPrompt: body?.add_generation_prompt,
    continueFinalMessage: body?.continue_final_message,
  };
}

/** What of a request to /v1/chat/completions a template is told. */
interface Body extends TemplateFields {
  readonly messages?: unknown;
  readonly add_generation_prompt?: boolean;
  readonly continue_final_message?: boolean;
}

function isMessage(given: unknown): given is Conversation["messages"][number] {
  return typeof (given as { role?: unknown } | null)?.role === "string";
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new StatorError("FILE_NOT_FOUND", { path, hint: "Give a JSON file, or - for standard input." }, { cause });
  }
}

function parse(text: string, name: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new StatorError("BAD_CONFIG", { detail: `${name} is no JSON.` }, { cause });
  }
}

function paintPrompt({ text, content }: Rendered, paint: Paint): string {
  const whole = String(text);
  let out = "";
  let at = 0;
  for (let range = 0; range < content.length; range += 2) {
    out += paint.dim(whole.slice(at, content[range])) + whole.slice(content[range], content[range + 1]);
    at = content[range + 1]!;
  }
  return out + paint.dim(whole.slice(at));
}
