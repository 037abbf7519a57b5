import type { Rule } from "./check.ts";
import type { Fields } from "./field.ts";
import { CHAT_FIELDS, CHAT_RULES } from "./openai/chat-fields.ts";
import { COMPLETION_FIELDS, COMPLETION_RULES } from "./openai/completion-fields.ts";
import { EMBEDDING_FIELDS } from "./openai/embedding-fields.ts";

/** One route of the public port, as the OpenAPI document and the page show it. */
export interface ApiRoute {
  readonly method: "get" | "post";
  readonly path: string;
  /** Name of the operation in generated clients. */
  readonly operation: string;
  readonly about: string;
  /** Fields of the request body; undefined takes none. */
  readonly fields: Fields | undefined;
  readonly rules: readonly Pick<Rule<never>, "about">[];
  /** Name of the schema of its answer; undefined is text. */
  readonly answer: string | undefined;
  /** Answers as server-sent events when the request says stream. */
  readonly streams: boolean;
}

const read = { method: "get", fields: undefined, rules: [], streams: false } as const;

/** Every route of the public port. */
export const API_ROUTES: readonly ApiRoute[] = [
  {
    method: "post",
    path: "/v1/chat/completions",
    operation: "createChatCompletion",
    about: "Continues a conversation.",
    fields: CHAT_FIELDS,
    rules: CHAT_RULES,
    answer: "ChatCompletion",
    streams: true,
  },
  {
    method: "post",
    path: "/v1/completions",
    operation: "createCompletion",
    about: "Continues a text.",
    fields: COMPLETION_FIELDS,
    rules: COMPLETION_RULES,
    answer: "Completion",
    streams: true,
  },
  {
    method: "post",
    path: "/v1/embeddings",
    operation: "createEmbedding",
    about: "Turns texts into vectors.",
    fields: EMBEDDING_FIELDS,
    rules: [],
    answer: "EmbeddingList",
    streams: false,
  },
  { ...read, path: "/v1/models", operation: "listModels", about: "Models and adapters.", answer: "ModelList" },
  { ...read, path: "/v1/models/{id}", operation: "retrieveModel", about: "One model.", answer: "Model" },
  {
    ...read,
    path: "/health",
    operation: "health",
    about: "200 when some model is routable, else 503.",
    answer: "Health",
  },
  { ...read, path: "/live", operation: "live", about: "200 while the process answers.", answer: "Health" },
  { ...read, path: "/metrics", operation: "metrics", about: "Prometheus text.", answer: undefined },
  { ...read, path: "/openapi.json", operation: "openApi", about: "This document.", answer: "OpenApi" },
];
