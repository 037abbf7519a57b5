import type { Fields } from "../field.ts";
import {
  type ApiRoute,
  type ApiSchema,
  CHAT_ROUTE,
  COMPLETION_ROUTE,
  EMBEDDING_ROUTE,
  MODEL_ROUTE,
  MODELS_ROUTE,
} from "../routes.ts";
import { KSERVE_ANSWERS } from "./answers.ts";
import { GENERATE_FIELDS, INFER_FIELDS } from "./json-fields.ts";

/** The schema of an answer. */
export function kserveSchema(name: keyof typeof KSERVE_ANSWERS): ApiSchema {
  return { name, fields: KSERVE_ANSWERS[name] };
}

/** What the protocol's errors look like. */
export const KSERVE_ERROR: ApiSchema = kserveSchema("InferError");

/** The paths of a model, with and without a version, whatever follows. */
export function modelPaths(rest: string): Pick<ApiRoute, "path" | "also"> {
  return { path: `/v2/models/{model}${rest}`, also: [`/v2/models/{model}/versions/{version}${rest}`] };
}

function modelRoute(
  rest: string,
  about: Pick<ApiRoute, "operation" | "about" | "streams"> & { readonly fields: Fields; readonly answer: ApiSchema },
): ApiRoute {
  return { method: "post", ...modelPaths(rest), rules: [], error: KSERVE_ERROR, ...about };
}

/** Tensors in, tensors out. */
export const INFER_ROUTE: ApiRoute = modelRoute("/infer", {
  operation: "infer",
  about:
    "Tensors go in and come out: as JSON, or raw behind it (the header `Inference-Header-Content-Length` says how much of the body is JSON).",
  fields: INFER_FIELDS,
  answer: kserveSchema("InferAnswer"),
  streams: false,
});

/** A text in, a text out. */
export const GENERATE_ROUTE: ApiRoute = modelRoute("/generate", {
  operation: "generate",
  about: "Continues a text, and answers as a whole.",
  fields: GENERATE_FIELDS,
  answer: kserveSchema("GenerateAnswer"),
  streams: false,
});

/** The same as events. */
export const GENERATE_STREAM_ROUTE: ApiRoute = {
  ...modelRoute("/generate_stream", {
    operation: "generateStream",
    about: "Continues a text, and answers as it goes: an event for each part.",
    fields: GENERATE_FIELDS,
    answer: kserveSchema("GenerateAnswer"),
    streams: true,
  }),
  sameAs: GENERATE_ROUTE,
};

/** The error of OpenAI's API as KServe's runtimes write it. */
const HOSTED_ERROR: ApiSchema = {
  name: "HostedError",
  fields: {
    error: {
      use: "honoured",
      shape: {
        is: "object",
        fields: {
          message: { use: "honoured", shape: { is: "text" }, required: true, about: "One sentence." },
          type: { use: "honoured", shape: { is: "text" }, required: true, about: "Class of the error." },
          param: { use: "honoured", shape: { is: "text" }, required: true, about: "Always empty." },
          code: { use: "honoured", shape: { is: "text" }, required: true, about: "The status, as text." },
        },
      },
      required: true,
      about: "What is wrong.",
    },
  },
};

/** A route of OpenAI's API where KServe's clients look for it. */
function hostedRoute(route: ApiRoute): ApiRoute {
  const operation = `hosted${route.operation[0]!.toUpperCase()}${route.operation.slice(1)}`;
  return { ...route, path: `/openai${route.path}`, operation, sameAs: route, error: HOSTED_ERROR };
}

/** Chat at KServe's place. */
export const HOSTED_CHAT_ROUTE: ApiRoute = hostedRoute(CHAT_ROUTE);

/** Completions at KServe's place. */
export const HOSTED_COMPLETION_ROUTE: ApiRoute = hostedRoute(COMPLETION_ROUTE);

/** Embeddings at KServe's place. */
export const HOSTED_EMBEDDING_ROUTE: ApiRoute = hostedRoute(EMBEDDING_ROUTE);

/** Models at KServe's place. */
export const HOSTED_READ_ROUTES: readonly ApiRoute[] = [hostedRoute(MODELS_ROUTE), hostedRoute(MODEL_ROUTE)];
