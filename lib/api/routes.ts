import { ANSWERS } from "./answers.ts";
import type { Rule } from "./check.ts";
import type { Fields } from "./field.ts";
import { CHAT_FIELDS, CHAT_RULES } from "./openai/chat-fields.ts";
import { COMPLETION_FIELDS, COMPLETION_RULES } from "./openai/completion-fields.ts";
import { EMBEDDING_FIELDS } from "./openai/embedding-fields.ts";

/** The shape of a body. */
export interface ApiSchema {
  /** In the document, such as ChatCompletion. */
  readonly name: string;
  /** Of the body, which is an object; or of each of its items. */
  readonly fields: Fields;
  /** The body is a list of such objects. */
  readonly list?: true;
  /** It has other fields beside these. */
  readonly open?: true;
}

/** One route of the public port, as the OpenAPI document and the page show it. */
export interface ApiRoute {
  /** In lower case, as the OpenAPI document writes it. */
  readonly method: "get" | "post";
  /** A part in braces is a parameter. */
  readonly path: string;
  /** Further paths that are the same. */
  readonly also?: readonly string[];
  /** The route whose body it takes: its fields are not listed again. */
  readonly sameAs?: ApiRoute;
  /** Name of the operation in generated clients. */
  readonly operation: string;
  /** One sentence for people. */
  readonly about: string;
  /** Fields of the request body; undefined takes none. */
  readonly fields: Fields | undefined;
  /** What holds over several fields of the body, each one sentence for people. */
  readonly rules: readonly Pick<Rule<never>, "about">[];
  /** Its answer; undefined is text. */
  readonly answer: ApiSchema | undefined;
  /** What it answers with in place of that when something is wrong. */
  readonly error: ApiSchema;
  /** Answers as server-sent events when the request says stream. */
  readonly streams: boolean;
}

function schema(name: keyof typeof ANSWERS): ApiSchema {
  return { name, fields: ANSWERS[name] };
}

const error = schema("Error");
const post = { method: "post", rules: [], error } as const;
const read = { method: "get", fields: undefined, rules: [], error, streams: false } as const;

/** Chat. */
export const CHAT_ROUTE: ApiRoute = {
  ...post,
  path: "/v1/chat/completions",
  operation: "createChatCompletion",
  about: "Continues a conversation.",
  fields: CHAT_FIELDS,
  rules: CHAT_RULES,
  answer: schema("ChatCompletion"),
  streams: true,
};

/** Completions. */
export const COMPLETION_ROUTE: ApiRoute = {
  ...post,
  path: "/v1/completions",
  operation: "createCompletion",
  about: "Continues a text.",
  fields: COMPLETION_FIELDS,
  rules: COMPLETION_RULES,
  answer: schema("Completion"),
  streams: true,
};

/** Embeddings. */
export const EMBEDDING_ROUTE: ApiRoute = {
  ...post,
  path: "/v1/embeddings",
  operation: "createEmbedding",
  about: "Turns texts into vectors.",
  fields: EMBEDDING_FIELDS,
  answer: schema("EmbeddingList"),
  streams: false,
};

/** Every model. */
export const MODELS_ROUTE: ApiRoute = {
  ...read,
  path: "/v1/models",
  operation: "listModels",
  about: "Models and adapters.",
  answer: schema("ModelList"),
};

/** One model. */
export const MODEL_ROUTE: ApiRoute = {
  ...read,
  path: "/v1/models/{id}",
  operation: "retrieveModel",
  about: "One model.",
  answer: schema("Model"),
};

/** Routes that take no body and ask no model. */
export const READ_ROUTES: readonly ApiRoute[] = [
  ...[MODELS_ROUTE, MODEL_ROUTE],
  {
    ...read,
    path: "/health",
    operation: "health",
    about: "200 when some model is routable, else 503.",
    answer: schema("Health"),
  },
  { ...read, path: "/live", operation: "live", about: "200 while the process answers.", answer: schema("Health") },
  { ...read, path: "/metrics", operation: "metrics", about: "Prometheus text.", answer: undefined },
  { ...read, path: "/openapi.json", operation: "openApi", about: "This document.", answer: schema("OpenApi") },
];
