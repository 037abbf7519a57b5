import type { ChatBody } from "#lib/api/openai/chat-fields";
import { templateVariables } from "#lib/api/openai/template-variables";
import type { TemplateConversation, TemplateMessage } from "../../text/model-text.ts";

type Message = ChatBody["messages"][number];
type Content = string | readonly { readonly type: string; readonly text?: string; readonly refusal?: string }[];

/** A conversation as templates take it, with what else the body, which was read from `bytes`, says to the template. */
export function templateConversation(body: ChatBody, bytes: Uint8Array): TemplateConversation {
  const variables = templateVariables(body, bytes);
  return {
    messages: templateMessages(body.messages),
    ...(variables && { variables }),
    ...(typeof body.add_generation_prompt === "boolean" && { addGenerationPrompt: body.add_generation_prompt }),
    ...(body.continue_final_message && { continueFinalMessage: true }),
  };
}

/** Messages as templates take them: content as text or as parts of text, and nothing that only belongs to an answer. */
function templateMessages(messages: readonly Message[]): TemplateMessage[] {
  return messages.map((message) => {
    const out: TemplateMessage = { role: message.role, content: contentOf(message.content) };
    const name = "name" in message && message.name ? { name: message.name } : undefined;
    if (message.role === "tool") return { ...out, tool_call_id: message.tool_call_id };
    if (message.role !== "assistant") return name ? { ...out, ...name } : out;
    const thought = message.reasoning_content ?? message.reasoning;
    const reasoning = thought ? { reasoning_content: thought } : undefined;
    if (!message.tool_calls?.length) return { ...out, ...name, ...reasoning };
    // A template may print a call as a whole: it gets the fields that the API has and no others.
    const calls = message.tool_calls.map(({ id, type, function: called }) => {
      return { id, type, function: { name: called.name, arguments: called.arguments } };
    });
    return { ...out, ...name, ...reasoning, tool_calls: calls };
  });
}

function contentOf(content: Content | null | undefined): TemplateMessage["content"] {
  if (content === null || content === undefined || typeof content === "string") return content ?? null;
  return content.map((part) => ({ type: "text", text: (part.type === "refusal" ? part.refusal : part.text) ?? "" }));
}
