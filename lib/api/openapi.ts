import type { Field, Fields, Shape } from "./field.ts";
import type { ApiRoute, ApiSchema } from "./routes.ts";

/** JSON as the document is made of. */
type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

/** The OpenAPI 3.1 document of a port with these routes, as JSON text. */
export function printOpenApi(version: string, routes: readonly ApiRoute[]): string {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method]: operation(route, route.path, route.operation) };
    // A name belongs to one path.
    for (const path of route.also ?? []) {
      paths[path] = { ...paths[path], [route.method]: operation(route, path, undefined) };
    }
  }
  const schemas: Record<string, Json> = {};
  for (const { answer } of routes) if (answer) schemas[answer.name] = answerSchema(answer);
  for (const { error } of routes) schemas[error.name] = objectSchema(error.fields);
  for (const { operation: name, fields, sameAs } of routes) {
    if (fields && !sameAs) schemas[requestName(name)] = objectSchema(fields);
  }
  const info = {
    title: "Stator",
    version,
    description: "OpenAI's API and the Open Inference Protocol, served by Stator. Unknown fields are refused.",
  };
  return JSON.stringify({ openapi: "3.1.0", info, paths, components: { schemas } });
}

function requestName(operationId: string): string {
  return `${operationId[0]!.toUpperCase()}${operationId.slice(1)}Request`;
}

function reference(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}

function answerSchema({ fields, list, open }: ApiSchema): Json {
  const item = objectSchema(fields, open);
  return list ? { type: "array", items: item } : item;
}

function operation(route: ApiRoute, path: string, name: string | undefined): Json {
  const { answer, error } = route;
  const content: Record<string, Json> = answer
    ? { "application/json": { schema: reference(answer.name) } }
    : { "text/plain": { schema: { type: "string" } } };
  if (route.streams) content["text/event-stream"] = { schema: { type: "string" } };
  const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => ({
    name: parameter!,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  return {
    operationId: name,
    summary: route.about,
    description: route.rules.map((rule) => rule.about).join(" ") || undefined,
    parameters: parameters.length > 0 ? parameters : undefined,
    requestBody: route.fields && {
      required: true,
      content: { "application/json": { schema: reference(requestName((route.sameAs ?? route).operation)) } },
    },
    responses: {
      "200": { description: "The answer.", content },
      default: { description: "An error.", content: { "application/json": { schema: reference(error.name) } } },
    },
  };
}

function objectSchema(fields: Fields, open = false): Json {
  const entries = Object.entries(fields).filter(([, field]) => field.use !== "refused");
  const required = entries.filter(([, field]) => field.required).map(([name]) => name);
  return {
    type: "object",
    properties: Object.fromEntries(entries.map(([name, field]) => [name, fieldSchema(field)])),
    required: required.length > 0 ? required : undefined,
    additionalProperties: open,
  };
}

function fieldSchema(field: Field): Json {
  const why = field.use === "ignored" ? ` Taken without effect: ${field.why}.` : "";
  const schema = shapeSchema(field.shape);
  return { ...(field.required ? schema : orNull(schema)), description: `${field.about}${why}` };
}

type Schema = { readonly [key: string]: Json | undefined };

/** null counts as absent for every optional field. */
function orNull(schema: Schema): Schema {
  if (typeof schema.type === "string" && schema.enum === undefined) return { ...schema, type: [schema.type, "null"] };
  return Object.keys(schema).length === 0 ? schema : { anyOf: [schema, { type: "null" }] };
}

function isNothing(shape: Shape): boolean {
  return shape.is === "tagged" && Object.keys(shape.cases).length === 0;
}

function shapeSchema(shape: Shape): Schema {
  switch (shape.is) {
    case "boolean":
      return { type: "boolean" };
    case "number":
    case "integer":
      return { type: shape.is, minimum: shape.least, maximum: shape.most, exclusiveMinimum: shape.above };
    case "int64":
      return { type: "integer", format: "int64" };
    case "text":
      return {
        type: "string",
        enum: shape.among,
        minLength: shape.leastLength,
        maxLength: shape.mostLength,
        pattern: shape.pattern === undefined ? undefined : `^(?:${shape.pattern})$`,
      };
    case "list":
      return { type: "array", items: shapeSchema(shape.of), minItems: shape.least, maxItems: shape.most };
    case "object":
      return objectSchema(shape.fields, shape.open) as Schema;
    case "map":
      return {
        type: "object",
        additionalProperties: shapeSchema(shape.of),
        propertyNames: shape.keys === undefined ? undefined : { pattern: `^(?:${shape.keys})$` },
        maxProperties: shape.most,
      };
    case "union":
      // An object whose every kind is refused has no schema: a list of alternatives must not be empty.
      return { anyOf: shape.of.filter((each) => !isNothing(each)).map(shapeSchema) };
    case "tagged":
      return {
        oneOf: Object.entries(shape.cases).map(([tag, fields]) => {
          const tagField: Field = {
            use: "honoured",
            shape: { is: "text", among: [tag] },
            required: true,
            about: "Kind.",
          };
          return objectSchema({ [shape.by]: tagField, ...fields }, shape.open);
        }),
      };
    case "any":
      return {};
  }
}
