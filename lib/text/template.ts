import { Environment, Interpreter, Template } from "@huggingface/jinja";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { templateGlobals } from "./template-globals.ts";

/** A message of a conversation as the API has it. Other fields reach the template as they are. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: string | readonly { readonly type: string; readonly text?: string }[] | null;
  /** `{ function: { name, arguments } }` each; arguments are JSON text or an object. */
  readonly tool_calls?: readonly unknown[] | null;
}

/** What a prompt is rendered with beside its messages. */
export interface RenderOptions {
  readonly tools?: readonly unknown[];
  /** Ends the prompt where the assistant begins. Default true, unless the final message is continued. */
  readonly addGenerationPrompt?: boolean;
  /** Ends the prompt inside the last message, which the model goes on with. Default false. */
  readonly continueFinalMessage?: boolean;
  readonly bosToken?: string;
  readonly eosToken?: string;
  /** More variables for the template, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** A compiled chat template. */
export interface ChatTemplate {
  /**
   * Renders a prompt: about 1 ms for 41 messages. Text parts are joined with line breaks, arguments of tool calls become
   * objects, and a `developer` message is a `system` message to a template that does not know the role. Throws
   * INVALID_TEMPLATE with what the template said, UNSUPPORTED_FIELD for a part that is not text.
   */
  render(messages: readonly ChatMessage[], options?: RenderOptions): string;
}

/** Marks the end of the message to go on with. Private use characters: no text means anything by them. */
const CONTINUE_MARK = "\uE000\uE001\uE002continue here\uE002\uE001\uE000";

const MAX_DETAIL = 300;

function refuse(detail: string, cause?: unknown): StatorError {
  const line = detail.split("\n", 1)[0] ?? "";
  return new StatorError("INVALID_TEMPLATE", { detail: line.slice(0, MAX_DETAIL) }, { cause, param: "messages" });
}

function joinContent(content: ChatMessage["content"], at: number): string | null | undefined {
  if (typeof content === "string" || content === null || content === undefined) return content;
  const texts = content.map((part, index) => {
    if (part.type === "text" && typeof part.text === "string") return part.text;
    const field = `messages[${at}].content[${index}]`;
    throw new StatorError("UNSUPPORTED_FIELD", { field, detail: "this model reads text only" }, { param: field });
  });
  return texts.join("\n");
}

/** Templates print arguments as JSON of their own style, so they get what the JSON text says. */
function parseArguments(given: unknown): unknown {
  if (typeof given !== "string") return given ?? {};
  if (given.trim() === "") return {};
  try {
    const parsed: unknown = JSON.parse(given);
    return typeof parsed === "object" && parsed !== null ? parsed : given;
  } catch {
    return given;
  }
}

function prepareCall(call: unknown): unknown {
  if (typeof call !== "object" || call === null || !("function" in call)) return call;
  const named = call.function;
  if (typeof named !== "object" || named === null) return call;
  return { ...call, function: { ...named, arguments: parseArguments("arguments" in named ? named.arguments : "") } };
}

function prepareMessage(message: ChatMessage, at: number, knowsDeveloper: boolean): Record<string, unknown> {
  const prepared: Record<string, unknown> = { ...message, content: joinContent(message.content, at) };
  if (message.role === "developer" && !knowsDeveloper) prepared.role = "system";
  if (message.tool_calls) prepared.tool_calls = message.tool_calls.map(prepareCall);
  for (const [field, value] of Object.entries(prepared)) if (value === undefined) delete prepared[field];
  return prepared;
}

function markEnd(messages: Record<string, unknown>[]): void {
  const last = messages.at(-1);
  if (last?.role !== "assistant" || typeof last.content !== "string") {
    throw refuse("only a final assistant message with text can be continued");
  }
  last.content += CONTINUE_MARK;
}

function cutAtMark(rendered: string): string {
  const at = rendered.lastIndexOf(CONTINUE_MARK);
  if (at < 0) throw refuse("the template leaves out the message that is to be continued");
  return rendered.slice(0, at).replaceAll(CONTINUE_MARK, "");
}

/**
 * Variables that templates ask for and that are mostly absent. The library finds out that one is by throwing, which
 * costs as much as rendering a short prompt; given as undefined, it is simply there and undefined.
 */
const MOSTLY_ABSENT = [
  ...["tools", "documents", "tool_choice", "builtin_tools", "custom_tools", "tools_in_user_message", "controls"],
  ...["enable_thinking", "thinking", "keep_past_thinking", "reasoning_effort", "add_thoughts", "strip_thinking"],
  ...["system_message", "system_prompt", "model_identity", "continue_final_message", "date_string", "date", "today"],
];

/**
 * Renders a template as its own `render` does, with globals that are made once: the library makes them for every
 * rendering, which is a quarter of a short prompt.
 */
function renderer(
  template: Template,
  given: Readonly<Record<string, unknown>>,
): (variables: Record<string, unknown>) => string {
  const globals = new Environment();
  for (const [name, value] of Object.entries(given)) globals.set(name, value);
  return (variables) => {
    const own = new Environment(globals);
    for (const [name, value] of Object.entries(variables)) own.set(name, value);
    return String(new Interpreter(own).run(template.parsed).value);
  };
}

/** Compiles a chat template, which may ask the clock. Throws INVALID_TEMPLATE when it is no Jinja that we understand. */
export function compileTemplate(source: string, clock: Clock): ChatTemplate {
  let template: Template;
  try {
    template = new Template(source);
  } catch (caught) {
    throw refuse(`it does not parse: ${caught instanceof Error ? caught.message : "unknown"}`, caught);
  }
  const knowsDeveloper = source.includes("developer");
  const globals = templateGlobals(clock, (message) => {
    throw refuse(message);
  });
  const run = renderer(template, globals);
  const askedFor = MOSTLY_ABSENT.filter((name) => source.includes(name));
  return {
    render(given, options = {}) {
      const goesOn = options.continueFinalMessage ?? false;
      if (goesOn && options.addGenerationPrompt) {
        throw refuse("add_generation_prompt and continue_final_message exclude each other");
      }
      for (const name of Object.keys(options.variables ?? {})) {
        if (Object.hasOwn(globals, name)) throw refuse(`the variable ${name} is there already`);
      }
      const messages = given.map((message, at) => prepareMessage(message, at, knowsDeveloper));
      if (goesOn) markEnd(messages);
      const variables: Record<string, unknown> = {
        ...options.variables,
        messages,
        add_generation_prompt: options.addGenerationPrompt ?? !goesOn,
        bos_token: options.bosToken ?? "",
        eos_token: options.eosToken ?? "",
      };
      if (options.tools && options.tools.length > 0) variables.tools = options.tools;
      for (const name of askedFor) if (!(name in variables)) variables[name] = undefined;
      let rendered: string;
      try {
        rendered = run(variables);
      } catch (caught) {
        if (caught instanceof StatorError) throw caught;
        throw refuse(caught instanceof Error ? caught.message : "unknown", caught);
      }
      return goesOn ? cutAtMark(rendered) : rendered;
    },
  };
}
