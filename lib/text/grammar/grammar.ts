import { StatorError } from "#lib/base/errors";
import { arrayExpression } from "./array.ts";
import { objectExpression, type Property } from "./object.ts";
import { type Bound, numbersIn } from "./range.ts";
import { anyOf, literal, RuleBook } from "./rules.ts";
import {
  broken,
  checkKeywords,
  countOf,
  isObject,
  numberOf,
  resolveReference,
  type SchemaObject,
  type SchemaType,
  typesOf,
  under,
  unsupported,
} from "./schema.ts";

/** Schemas nested deeper are refused. */
const MAX_DEPTH = 64;

/** Bounds on lengths and counts above this are refused: each step of one is a rule in the engine. */
const MAX_COUNT = 10_000;

/** Schemas of more nodes, references counted once, are refused. */
const MAX_NODES = 10_000;

/** Characters of all names together, in an object that may have others: each is a rule of what those may be called. */
const MAX_NAMES = 4096;

/** Characters of all constants together; a grammar of them would be too long. */
const MAX_CONSTANTS = 256 * 1024;

/** Where the conversion is: how deep, and through which references without a character in between. */
interface Place {
  readonly path: string;
  readonly depth: number;
  readonly direct: readonly string[];
}

class Converter {
  readonly #rules = new RuleBook();
  readonly #root: unknown;
  readonly #references = new Map<string, string>();
  readonly #ranges = new Map<string, string | undefined>();
  #nodes = 0;
  #constants = 0;

  constructor(root: unknown) {
    this.#root = root;
  }

  print(): string {
    const place = { path: "#", depth: 0, direct: ["#"] };
    // A schema that refers to itself needs a rule for its root before it is read.
    const name = this.#rules.reserve();
    this.#references.set("#", name);
    this.#rules.define(name, this.#expression(this.#root, place));
    return this.#rules.print(name);
  }

  /** Expression of the documents that a schema allows. */
  #expression(schema: unknown, place: Place): string {
    this.#nodes++;
    if (this.#nodes > MAX_NODES || place.depth > MAX_DEPTH) throw unsupported("nesting of this size", place.path);
    if (schema === true) return this.#rules.shared("value");
    if (schema === false) throw unsupported("false", place.path);
    if (!isObject(schema)) throw broken(place.path, "it is not an object");
    checkKeywords(schema, place.path);
    if (schema.$ref !== undefined) return this.#reference(schema.$ref, place);
    if (schema.anyOf !== undefined) return this.#anyOf(schema.anyOf, place);
    if (Object.hasOwn(schema, "const")) return this.#oneOf([schema.const], schema, place);
    if (schema.enum !== undefined) return this.#enum(schema, place);
    const types = typesOf(schema, place.path);
    if (types === undefined) return this.#rules.shared("value");
    return anyOf(types.map((type) => this.#typed(type, schema, place)));
  }

  /** The schema of a part of the document, behind at least one character. */
  #part(schema: unknown, place: Place, ...keys: readonly (string | number)[]): string {
    return this.#expression(schema, { path: under(place.path, ...keys), depth: place.depth + 1, direct: [] });
  }

  #reference(reference: unknown, place: Place): string {
    const target = resolveReference(this.#root, reference, place.path);
    if (place.direct.includes(target.path)) throw broken(under(place.path, "$ref"), "it leads back to itself");
    const known = this.#references.get(target.path);
    if (known !== undefined) return known;
    const name = this.#rules.reserve();
    this.#references.set(target.path, name);
    const direct = [...place.direct, target.path];
    this.#rules.define(name, this.#expression(target.schema, { path: target.path, depth: place.depth + 1, direct }));
    return name;
  }

  #anyOf(branches: unknown, place: Place): string {
    if (!Array.isArray(branches) || branches.length === 0)
      throw broken(under(place.path, "anyOf"), "it has no branches");
    const expressions = branches.map((branch: unknown, at) =>
      this.#expression(branch, { ...place, path: under(place.path, "anyOf", at), depth: place.depth + 1 }),
    );
    return anyOf([...new Set(expressions)]);
  }

  #enum(schema: SchemaObject, place: Place): string {
    if (!Array.isArray(schema.enum) || schema.enum.length === 0) {
      throw broken(under(place.path, "enum"), "it has no values");
    }
    return this.#oneOf(schema.enum, schema, place);
  }

  #oneOf(values: readonly unknown[], schema: SchemaObject, place: Place): string {
    const types = schema.type === undefined ? undefined : typesOf(schema, place.path);
    const fitting = types === undefined ? values : values.filter((value) => types.some((type) => isOf(type, value)));
    if (fitting.length === 0) throw broken(place.path, "none of its values is of its type");
    return anyOf([...new Set(fitting.map((value) => this.#constant(value, place.path)))]);
  }

  #constant(value: unknown, path: string, depth = 0): string {
    const ws = this.#rules.shared("ws");
    this.#nodes++;
    if (this.#nodes > MAX_NODES || depth > MAX_DEPTH) throw unsupported("constants of this size", path);
    if (Array.isArray(value)) {
      const items = value.map((item: unknown) => this.#constant(item, path, depth + 1)).join(` "," ${ws} `);
      return items === "" ? `"[" ${ws} "]"` : `"[" ${ws} ${items} ${ws} "]"`;
    }
    if (!isObject(value)) return this.#literal(JSON.stringify(value) ?? "null");
    const members = Object.entries(value).map(
      ([name, each]) => `${this.#literal(JSON.stringify(name))} ":" ${ws} ${this.#constant(each, path, depth + 1)}`,
    );
    return members.length === 0 ? `"{" ${ws} "}"` : `"{" ${ws} ${members.join(` "," ${ws} `)} ${ws} "}"`;
  }

  #literal(text: string): string {
    this.#constants += text.length;
    if (this.#constants <= MAX_CONSTANTS) return literal(text);
    throw new StatorError("INVALID_GRAMMAR", { detail: `its constants are longer than ${MAX_CONSTANTS} characters` });
  }

  #typed(type: SchemaType, schema: SchemaObject, place: Place): string {
    switch (type) {
      case "object":
        return this.#object(schema, place);
      case "array":
        return this.#array(schema, place);
      case "string":
        return this.#string(schema, place);
      case "number":
      case "integer":
        return this.#number(schema, place, type === "integer");
      case "boolean":
      case "null":
        return this.#rules.shared(type);
    }
  }

  #string(schema: SchemaObject, place: Place): string {
    const min = countOf(schema, "minLength", place.path, MAX_COUNT) ?? 0;
    const max = countOf(schema, "maxLength", place.path, MAX_COUNT);
    if (min === 0 && max === undefined) return this.#rules.shared("string");
    if (max !== undefined && min > max) throw broken(place.path, "minLength is above maxLength");
    return this.#rules.add(`"\\"" ${this.#rules.repeat(this.#rules.shared("char"), min, max)} "\\""`);
  }

  #number(schema: SchemaObject, place: Place, integer: boolean): string {
    const bound = (inclusive: string, exclusive: string, sign: 1 | -1): Bound | undefined => {
      const one = numberOf(schema, inclusive, place.path);
      const other = numberOf(schema, exclusive, place.path);
      if (one === undefined && other === undefined) return undefined;
      if (one === undefined || (other !== undefined && (other - one) * sign >= 0)) {
        return { value: other ?? 0, exclusive: true };
      }
      return { value: one, exclusive: false };
    };
    const low = bound("minimum", "exclusiveMinimum", 1);
    const high = bound("maximum", "exclusiveMaximum", -1);
    if (low === undefined && high === undefined) return this.#rules.shared(integer ? "integer" : "number");
    const key = JSON.stringify([low, high, integer]);
    if (!this.#ranges.has(key)) this.#ranges.set(key, numbersIn(this.#rules, { low, high }, integer));
    const expression = this.#ranges.get(key);
    if (expression === undefined) throw broken(place.path, "no number lies between its bounds");
    return this.#rules.add(expression);
  }

  #array(schema: SchemaObject, place: Place): string {
    const { prefixItems = [], items = true } = schema;
    if (!Array.isArray(prefixItems)) throw broken(under(place.path, "prefixItems"), "it is not an array");
    const expression = arrayExpression(this.#rules, {
      prefix: prefixItems.map((item: unknown, at) => this.#part(item, place, "prefixItems", at)),
      items: items === false ? undefined : this.#part(items, place, "items"),
      min: countOf(schema, "minItems", place.path, MAX_COUNT) ?? 0,
      max: countOf(schema, "maxItems", place.path, MAX_COUNT),
    });
    if (expression === undefined) throw broken(place.path, "no array has a length within its bounds");
    return expression;
  }

  #object(schema: SchemaObject, place: Place): string {
    const { properties = {}, required = [], additionalProperties } = schema;
    if (!isObject(properties)) throw broken(under(place.path, "properties"), "it is not an object");
    if (!Array.isArray(required) || required.some((name) => typeof name !== "string")) {
      throw broken(under(place.path, "required"), "it is not a list of names");
    }
    if (required.length > MAX_NODES || countAbove(properties, MAX_NODES)) {
      throw unsupported(`more than ${MAX_NODES} properties`, place.path);
    }
    const names = new Set<string>(required);
    const listed = Object.entries(properties).map(
      ([name, value]): Property => ({
        name,
        value: this.#part(value, place, "properties", name),
        required: names.delete(name),
      }),
    );
    // A document is held to the properties that are named, unless the schema says that there may be more.
    const isOpen = additionalProperties === undefined ? listed.length === 0 : additionalProperties !== false;
    const extra = isOpen || names.size > 0 ? this.#additional(additionalProperties, place) : undefined;
    for (const name of names) {
      if (extra === undefined)
        throw broken(under(place.path, "required"), `nothing may be called ${name.slice(0, 40)}`);
      listed.push({ name, value: extra, required: true });
    }
    if (isOpen) checkNames(listed, under(place.path, "properties"));
    return objectExpression(this.#rules, listed, isOpen ? extra : undefined);
  }

  #additional(given: unknown, place: Place): string | undefined {
    if (given === false) return undefined;
    return this.#part(given ?? true, place, "additionalProperties");
  }
}

/** Whether an object has more members than that. */
function countAbove(object: SchemaObject, most: number): boolean {
  let count = 0;
  for (const _ in object) if (++count > most) return true;
  return false;
}

function checkNames(listed: readonly Property[], path: string): void {
  const characters = listed.reduce((sum, { name }) => sum + name.length, 0);
  if (characters > MAX_NAMES) throw unsupported(`names of more than ${MAX_NAMES} characters beside others`, path);
}

function isOf(type: SchemaType, value: unknown): boolean {
  switch (type) {
    case "object":
      return isObject(value);
    case "array":
      return Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    case "null":
      return value === null;
    default:
      return typeof value === type;
  }
}

/**
 * GBNF of the documents that a JSON schema allows: object, array, string and number with their bounds, boolean, null,
 * enum, const, anyOf and local references. Properties come in the order of the schema, and only those it names unless
 * `additionalProperties` says otherwise: what the grammar makes is valid, though not everything valid can be made.
 * The same schema gives the same text. Throws UNSUPPORTED_SCHEMA with keyword and place for any other keyword,
 * INVALID_ARGUMENT for a schema that is broken, INVALID_GRAMMAR for one that is too large.
 */
export function jsonSchemaGrammar(schema: unknown): string {
  return new Converter(schema).print();
}

/** GBNF of any JSON object. */
export function jsonObjectGrammar(): string {
  const rules = new RuleBook();
  return rules.print(rules.shared("object"));
}

/** GBNF of one of several texts. Throws INVALID_GRAMMAR when there are none, or too many. */
export function choiceGrammar(choices: readonly string[]): string {
  if (choices.length === 0) throw new StatorError("INVALID_GRAMMAR", { detail: "it has no choices" });
  const rules = new RuleBook();
  return rules.print(rules.add([...new Set(choices)].map(literal).join(" | ")));
}
