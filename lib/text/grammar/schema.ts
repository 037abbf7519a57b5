import { StatorError } from "#lib/base/errors";

/** A schema object as JSON has it. */
export type SchemaObject = Readonly<Record<string, unknown>>;

/** Types of JSON Schema. */
export const SCHEMA_TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"] as const;

/** One of {@link SCHEMA_TYPES}. */
export type SchemaType = (typeof SCHEMA_TYPES)[number];

/** Keywords that say nothing about a document. */
const ANNOTATIONS = [
  "title",
  "description",
  "default",
  "examples",
  "$schema",
  "$id",
  "$comment",
  "deprecated",
  "readOnly",
  "writeOnly",
] as const;

/** Keywords that hold schemas for references. */
const CONTAINERS = ["$defs", "definitions"] as const;

/** Keywords by the type of document they speak about. */
export const TYPE_KEYWORDS = {
  object: ["properties", "required", "additionalProperties"],
  array: ["items", "prefixItems", "minItems", "maxItems"],
  string: ["minLength", "maxLength"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
} as const;

/** Keywords that decide alone what a document is. */
export const DECIDING = ["$ref", "enum", "const", "anyOf"] as const;

const KNOWN = new Set<string>([
  ...ANNOTATIONS,
  ...CONTAINERS,
  ...DECIDING,
  ...Object.values(TYPE_KEYWORDS).flat(),
  "type",
]);

/** Keywords that may stand beside a deciding one. */
const BESIDE = new Set<string>([...ANNOTATIONS, ...CONTAINERS]);

/** Refuses a keyword by name and place. */
export function unsupported(keyword: string, path: string): StatorError {
  return new StatorError("UNSUPPORTED_SCHEMA", { keyword, path }, { param: "response_format" });
}

/** Refuses a schema that means nothing, by place. */
export function broken(path: string, detail: string): StatorError {
  const what = `The JSON schema is broken at ${path}: ${detail}`;
  return new StatorError("INVALID_ARGUMENT", { detail: what }, { param: "response_format" });
}

/** One step further in a JSON pointer. */
export function under(path: string, ...keys: readonly (string | number)[]): string {
  return path + keys.map((key) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is SchemaObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Checks that every keyword is known and that what stands together may. */
export function checkKeywords(schema: SchemaObject, path: string): void {
  const unknown = Object.keys(schema).find((keyword) => !KNOWN.has(keyword));
  if (unknown !== undefined) throw unsupported(unknown, path);
  const deciding = DECIDING.find((keyword) => Object.hasOwn(schema, keyword));
  if (deciding === undefined) return;
  for (const keyword of Object.keys(schema)) {
    const isType = keyword === "type" && (deciding === "enum" || deciding === "const");
    if (keyword === deciding || BESIDE.has(keyword) || isType) continue;
    throw unsupported(`${keyword} beside ${deciding}`, path);
  }
}

/** The types that a schema allows: those it names, or those its keywords speak about; undefined means any. */
export function typesOf(schema: SchemaObject, path: string): readonly SchemaType[] | undefined {
  if (schema.type === undefined) {
    const implied = (Object.keys(TYPE_KEYWORDS) as (keyof typeof TYPE_KEYWORDS)[]).filter((type) =>
      TYPE_KEYWORDS[type].some((keyword) => Object.hasOwn(schema, keyword)),
    );
    return implied.length === 0 ? undefined : implied;
  }
  const named: readonly unknown[] = Array.isArray(schema.type) ? schema.type : [schema.type];
  const types = named.map((name) => SCHEMA_TYPES.find((type) => type === name));
  if (types.length === 0 || types.includes(undefined)) throw broken(under(path, "type"), "it names no type of JSON");
  return [...new Set(types as SchemaType[])];
}

/** A count such as minLength: a whole number from 0 to `limit`; undefined when absent. */
export function countOf(schema: SchemaObject, keyword: string, path: string, limit: number): number | undefined {
  const value = schema[keyword];
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0) {
    throw broken(under(path, keyword), "it is not a count");
  }
  if (value > limit) throw unsupported(`${keyword} above ${limit}`, path);
  return value;
}

/** A number such as minimum; undefined when absent. */
export function numberOf(schema: SchemaObject, keyword: string, path: string): number | undefined {
  const value = schema[keyword];
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !Number.isFinite(value)) throw broken(under(path, keyword), "it is not a number");
  return value;
}

/** What a local reference points to. Throws UNSUPPORTED_SCHEMA for a foreign one, INVALID_ARGUMENT for a dangling one. */
export function resolveReference(root: unknown, reference: unknown, path: string): { schema: unknown; path: string } {
  if (typeof reference !== "string") throw broken(under(path, "$ref"), "it is not a string");
  if (reference !== "#" && !reference.startsWith("#/")) throw unsupported("$ref that is not local", path);
  let target: unknown = root;
  for (const part of reference.split("/").slice(1)) {
    const key = decodePart(part, path);
    const holds = typeof target === "object" && target !== null && Object.hasOwn(target, key);
    if (!holds) throw broken(under(path, "$ref"), "it points to nothing");
    target = (target as SchemaObject)[key];
  }
  return { schema: target, path: reference };
}

function decodePart(part: string, path: string): string {
  try {
    return decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
  } catch {
    throw broken(under(path, "$ref"), "it is not a JSON pointer");
  }
}
