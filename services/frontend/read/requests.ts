import type { Fields } from "#lib/api/field";
import { CHAT_FIELDS, type ChatBody, checkChat } from "#lib/api/openai/chat-fields";
import { COMPLETION_FIELDS, type CompletionBody, checkCompletion } from "#lib/api/openai/completion-fields";
import { checkEmbedding, EMBEDDING_FIELDS, type EmbeddingBody } from "#lib/api/openai/embedding-fields";
import type { Guidance } from "#lib/text/grammar/guidance";
import type { TemplateMessage } from "../text/model-text.ts";
import { templateMessages } from "./messages.ts";

/** What is there in place of the form of an answer. */
interface FormatHead {
  /** undefined: any text. */
  readonly guidance?: Guidance;
}

/** A chat request without what may be large. */
export type ChatHead = Omit<ChatBody, "messages" | "tools" | "response_format"> & FormatHead;

/** What may be large in a chat request: the prompt is made of it. */
export interface ChatParts {
  readonly messages: readonly TemplateMessage[];
}

/** A completion request without what may be large. */
export type CompletionHead = Omit<CompletionBody, "prompt" | "response_format"> & FormatHead;

/** An embedding request without its input. */
export type EmbeddingHead = Omit<EmbeddingBody, "input">;

/** Prompts as they were given: texts, long ones as UTF-8, or token ids. */
export type Inputs =
  | { readonly texts: readonly (string | Uint8Array)[]; readonly ids?: undefined }
  | { readonly ids: readonly Uint32Array<ArrayBuffer>[]; readonly texts?: undefined };

/** A request that passed its checks: its small fields, and the others in a form of their own. */
export interface ReadRequest<Head, Parts> {
  readonly head: Head;
  readonly parts: Parts;
  /** Fields that were taken and have no effect. */
  readonly ignored: readonly string[];
}

/** A chat request that passed. */
export type ReadChat = ReadRequest<ChatHead, ChatParts>;

/** Reads a parsed body of POST /v1/chat/completions. Throws every mistake of it. */
export function readChat(json: unknown): ReadChat {
  const { body, ignored } = checkChat(json);
  const { messages, tools: _, response_format: format, ...rest } = body;
  return { head: { ...rest, ...formatHead(format) }, ignored, parts: { messages: templateMessages(messages) } };
}

function formatHead(format: ChatBody["response_format"]): FormatHead {
  if (!format || format.type === "text") return {};
  if (format.type === "json_object") return { guidance: { kind: "jsonObject" } };
  return { guidance: { kind: "jsonSchema", schema: JSON.stringify(format.json_schema.schema) } };
}

/** Reads a parsed body of POST /v1/completions. Throws every mistake of it. */
export function readCompletion(json: unknown): ReadRequest<CompletionHead, Inputs> {
  const { body, ignored } = checkCompletion(json);
  const { prompt, response_format: format, ...rest } = body;
  return { head: { ...rest, ...formatHead(format) }, ignored, parts: inputsOf(prompt) };
}

/** Reads a parsed body of POST /v1/embeddings. Throws every mistake of it. */
export function readEmbedding(json: unknown): ReadRequest<EmbeddingHead, Inputs> {
  const { body, ignored } = checkEmbedding(json);
  const { input, ...head } = body;
  return { head, ignored, parts: inputsOf(input) };
}

function inputsOf(input: CompletionBody["prompt"]): Inputs {
  if (typeof input === "string") return { texts: [input] };
  if (typeof input[0] === "string") return { texts: input as readonly string[] };
  const lists = (typeof input[0] === "number" ? [input] : input) as readonly (readonly number[])[];
  return { ids: lists.map((list) => new Uint32Array(list)) };
}

/** What of a head has an effect: what is left is small, whatever was sent, but for a schema. */
export function effective<Head extends object>(head: Head, fields: Fields): Head {
  const kept = Object.entries(head).filter(
    ([name]) => name === "guidance" || fields[name]?.use === "honoured" || fields[name]?.use === "ours",
  );
  return Object.fromEntries(kept) as Head;
}

/** Tables of the routes that have a body. */
export const ROUTE_FIELDS = {
  chat: CHAT_FIELDS,
  completions: COMPLETION_FIELDS,
  embeddings: EMBEDDING_FIELDS,
} as const satisfies Record<string, Fields>;
