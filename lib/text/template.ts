import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { fromJson, parseJson } from "./jinja/json.ts";
import { concat, content, cut, plain, type Text } from "./jinja/marked.ts";
import type { TemplateLimits } from "./jinja/run.ts";
import { compileJinja, type JinjaTemplate } from "./jinja/template.ts";
import { Dict, type Value } from "./jinja/values.ts";

export type { TemplateLimits };

/** A part of a message's content. */
export interface ContentPart {
  /** One that is not `text` is refused. */
  readonly type: string;
  /** Of a part that is text. */
  readonly text?: string;
}

/** A message of a conversation as the API has it. Other fields reach the template as they are. */
export interface ChatMessage {
  /** Such as user; which ones there are is for the template to say. */
  readonly role: string;
  /** Text, or parts, of which each must be text; null where the message only calls tools. */
  readonly content?: string | readonly ContentPart[] | null;
  /** `{ function: { name, arguments } }` each; arguments are JSON text or an object. */
  readonly tool_calls?: readonly unknown[] | null;
}

/** What a prompt is rendered with beside its messages. */
export interface RenderOptions {
  /** As the API has them, `{ type, function }` each. None is Python's None. */
  readonly tools?: readonly unknown[];
  /** Ends the prompt where the assistant begins. Default true, unless the final message is continued. */
  readonly addGenerationPrompt?: boolean;
  /** Ends the prompt inside the last message, which the model goes on with. Default false. */
  readonly continueFinalMessage?: boolean;
  /** What `bos_token` is; undefined where the model has none. */
  readonly bosToken?: string;
  /** What `eos_token` is; undefined where the model has none. */
  readonly eosToken?: string;
  /** More variables for the template, such as `enable_thinking`, each as JSON text: numbers and keys are what it says. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** A prompt as a template wrote it. */
export interface Prompt {
  /** All of it, in the pieces in which it was written; none is put together until `text` is asked for. */
  readonly parts: readonly string[];
  /** All of it, put together anew by each look. */
  readonly text: string;
  /**
   * Where that came from the conversation and not from the template: start and end in UTF-16 units, in turn, rising. No
   * control token is named there, whatever somebody wrote.
   */
  readonly content: readonly number[];
}

/** A compiled chat template. */
export interface ChatTemplate {
  /**
   * Renders a prompt as transformers does with jinja2. Text parts are joined with line breaks unless the template goes
   * through parts, arguments of tool calls become objects whose numbers keep their kind, and a `developer` message is a
   * `system` message to a template that does not know the role. Throws INVALID_TEMPLATE with what the template said,
   * UNSUPPORTED_FIELD for a part that is not text.
   */
  render(messages: readonly ChatMessage[], options?: RenderOptions): Prompt;
  /** Whether the template may ask for a variable: its name stands in it somewhere. */
  reads(variable: string): boolean;
}

/** What one rendering may take unless told otherwise: a hundred times what the longest of real templates takes. */
export const TEMPLATE_LIMITS: TemplateLimits = {
  mostSteps: 2_000_000,
  mostLength: 33_554_432,
  mostDepth: 64,
  mostMs: 2000,
};

/** Marks the end of the message to go on with. Private use characters: no text means anything by them. */
const CONTINUE_MARK = "\uE000\uE001\uE002continue here\uE002\uE001\uE000";

function refuse(detail: string): StatorError {
  return new StatorError("INVALID_TEMPLATE", { detail }, { param: "messages" });
}

/** Templates print arguments as JSON of their own style, so they get what the JSON text says. */
function argumentsOf(given: unknown): Value {
  if (typeof given !== "string") return fromJson(given ?? {});
  if (given.trim() === "") return new Dict();
  try {
    const parsed = parseJson(given);
    return parsed instanceof Dict || Array.isArray(parsed) ? parsed : content(given);
  } catch {
    return content(given);
  }
}

function callOf(call: unknown): Value {
  if (typeof call !== "object" || call === null || !("function" in call)) return fromJson(call);
  const named = call.function;
  if (typeof named !== "object" || named === null) return fromJson(call);
  return withField(
    call,
    "function",
    withField(named, "arguments", argumentsOf("arguments" in named ? named.arguments : "")),
  );
}

/** An object with one field of its own making, at its place or at the end. */
function withField(given: object, field: string, value: Value): Dict {
  const dict = new Dict(true);
  for (const [key, each] of Object.entries(given)) {
    if (each !== undefined) dict.set(key, key, key === field ? value : fromJson(each));
  }
  if (!dict.has(field)) dict.set(field, field, value);
  return dict;
}

/** What a template makes of conversations, found out by asking it. */
interface Habits {
  readonly knowsDeveloper: boolean;
  /** It goes through the parts of a content; all others take it for one string. */
  readonly takesParts: boolean;
}

function contentOf(given: ChatMessage["content"], at: number, { takesParts }: Habits): Value {
  if (typeof given === "string") return content(given);
  if (given === null || given === undefined) return null;
  const texts = given.map((part, index) => {
    if (part.type === "text" && typeof part.text === "string") return part.text;
    const field = `messages[${at}].content[${index}]`;
    throw new StatorError("UNSUPPORTED_FIELD", { field, detail: "this model reads text only" }, { param: field });
  });
  return takesParts ? fromJson(given) : content(texts.join("\n"));
}

function messageOf(message: ChatMessage, at: number, habits: Habits): Dict {
  const dict = new Dict(true);
  const place = { at, habits };
  for (const field of Object.keys(message)) {
    if (message[field as keyof ChatMessage] !== undefined) dict.set(field, field, fieldOf(field, message, place));
  }
  return dict;
}

function fieldOf(
  field: string,
  message: ChatMessage,
  { at, habits }: { readonly at: number; readonly habits: Habits },
): Value {
  if (field === "content") return contentOf(message.content, at, habits);
  if (field === "role" && message.role === "developer" && !habits.knowsDeveloper) return content("system");
  if (field === "tool_calls" && message.tool_calls) return message.tool_calls.map(callOf);
  return fromJson(message[field as keyof ChatMessage]);
}

function markEnd(messages: readonly Dict[]): void {
  const last = messages.at(-1);
  const text = last?.get("content");
  if (
    !last ||
    text === undefined ||
    text === null ||
    plainOf(last.get("role")) !== "assistant" ||
    plainOf(text) === undefined
  ) {
    throw refuse("only a final assistant message with text can be continued");
  }
  last.set("content", "content", concat([text as Text, CONTINUE_MARK]));
}

function plainOf(value: Value | undefined): string | undefined {
  return typeof value === "string" || (typeof value === "object" && value !== null && "isMarked" in value)
    ? plain(value)
    : undefined;
}

function promptOf(parts: readonly string[], content: readonly number[]): Prompt {
  return {
    parts,
    content,
    get text() {
      return parts.length === 1 ? parts[0]! : parts.join("");
    },
  };
}

function cutAtMark(rendered: Text): Text {
  const all = plain(rendered);
  const at = all.lastIndexOf(CONTINUE_MARK);
  if (at < 0) throw refuse("the template leaves out the message that is to be continued");
  return cut(rendered, 0, at);
}

const PROBE = "what is written here";

function habitsOf(template: JinjaTemplate, source: string): Habits {
  const knowsDeveloper = source.includes("developer");
  const message = { role: "user", content: [{ type: "text", text: PROBE }] };
  const given = messageOf(message, 0, { knowsDeveloper, takesParts: true });
  try {
    const written = plain(template.render(variablesOf([given], {})));
    return {
      knowsDeveloper,
      takesParts: written.includes(PROBE) && !written.includes(`'${PROBE}'`) && !written.includes(`"${PROBE}"`),
    };
  } catch {
    // It takes a content for a string, or has more to say about conversations than one message shows.
    return { knowsDeveloper, takesParts: false };
  }
}

function variablesOf(messages: readonly Dict[], options: RenderOptions): Map<string, Value> {
  const { tools, bosToken, eosToken, addGenerationPrompt, continueFinalMessage } = options;
  const variables = new Map<string, Value>();
  for (const [name, value] of Object.entries(options.variables ?? {})) variables.set(name, parseJson(value));
  variables.set("messages", messages);
  if (tools && tools.length > 0) variables.set("tools", fromJson(tools));
  for (const name of ["tools", "documents"]) if (!variables.has(name)) variables.set(name, null);
  variables.set("add_generation_prompt", addGenerationPrompt ?? !continueFinalMessage);
  if (bosToken !== undefined) variables.set("bos_token", bosToken);
  if (eosToken !== undefined) variables.set("eos_token", eosToken);
  return variables;
}

/**
 * Compiles a chat template, which may ask the clock. Throws INVALID_TEMPLATE with the line when it is no Jinja that we
 * understand.
 */
export function compileTemplate(source: string, clock: Clock, limits: TemplateLimits = TEMPLATE_LIMITS): ChatTemplate {
  const template = compileJinja(source, { clock, limits });
  const habits = habitsOf(template, source);
  return {
    reads: (variable) => template.mentions.has(variable),
    render(given, options = {}) {
      const goesOn = options.continueFinalMessage ?? false;
      if (goesOn && options.addGenerationPrompt) {
        throw refuse("add_generation_prompt and continue_final_message exclude each other");
      }
      for (const name of Object.keys(options.variables ?? {})) {
        if (template.reserved.has(name)) throw refuse(`the variable ${name} is there already`);
      }
      const messages = given.map((message, at) => messageOf(message, at, habits));
      if (goesOn) markEnd(messages);
      const written = template.write(variablesOf(messages, options));
      if (!goesOn) return promptOf(written.parts, written.content);
      const rendered = cutAtMark(written.take());
      return promptOf([plain(rendered)], typeof rendered === "string" ? [] : rendered.content);
    },
  };
}
