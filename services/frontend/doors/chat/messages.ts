import type { ChatBody } from "#lib/api/openai/chat-fields";
import type { TemplateMessage } from "../../text/model-text.ts";

type Message = ChatBody["messages"][number];
type Content = string | readonly { readonly type: string; readonly text?: string; readonly refusal?: string }[];

/** Messages as templates take them: content as text, and nothing that only belongs to an answer. */
export function templateMessages(messages: readonly Message[]): TemplateMessage[] {
  return messages.map((message) => {
    const out: TemplateMessage = { role: message.role, content: plainContent(message.content) };
    const name = "name" in message && message.name ? { name: message.name } : undefined;
    if (message.role === "tool") return { ...out, tool_call_id: message.tool_call_id };
    if (message.role !== "assistant" || !message.tool_calls?.length) return name ? { ...out, ...name } : out;
    // A template may print a call as a whole: it gets the fields that the API has and no others.
    const calls = message.tool_calls.map(({ id, type, function: called }) => {
      return { id, type, function: { name: called.name, arguments: called.arguments } };
    });
    return { ...out, ...name, tool_calls: calls };
  });
}

function plainContent(content: Content | null | undefined): string | null {
  if (content === null || content === undefined || typeof content === "string") return content ?? null;
  return content.map((part) => (part.type === "refusal" ? part.refusal : part.text) ?? "").join("\n");
}
