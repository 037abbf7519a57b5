import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { type Node, parseSync } from "oxc-parser";
import { describe, expect, it } from "vitest";
import type { Fields, Shape } from "./field.ts";
import { CHAT_FIELDS } from "./openai/chat-fields.ts";
import { COMPLETION_FIELDS } from "./openai/completion-fields.ts";
import { EMBEDDING_FIELDS } from "./openai/embedding-fields.ts";

const RESOURCES = path.join(path.dirname(createRequire(import.meta.url).resolve("openai")), "resources");

/** Members of a declared interface, or the type of an alias, by name with its namespaces. */
type Declarations = Map<string, Node>;

/** Collects every declaration of the client's files that requests are made of. */
function declarations(): Declarations {
  const found: Declarations = new Map();
  const visit = (nodes: readonly Node[], prefix: string): void => {
    for (const node of nodes) {
      const declaration = node.type === "ExportNamedDeclaration" ? node.declaration : node;
      if (declaration?.type === "TSInterfaceDeclaration" || declaration?.type === "TSTypeAliasDeclaration") {
        found.set(prefix + declaration.id.name, declaration as Node);
      }
      if (declaration?.type === "TSModuleDeclaration" && declaration.body && declaration.id.type === "Identifier") {
        visit((declaration.body as unknown as { body: Node[] }).body, `${prefix}${declaration.id.name}.`);
      }
    }
  };
  for (const file of ["shared", "completions", "embeddings", "chat/completions/completions"]) {
    const name = path.join(RESOURCES, `${file}.d.ts`);
    visit(parseSync(name, readFileSync(name, "utf8")).program.body as unknown as Node[], "");
  }
  return found;
}

function nameOf(node: Node): string {
  if (node.type === "Identifier") return node.name;
  return node.type === "TSQualifiedName" ? `${nameOf(node.left as Node)}.${nameOf(node.right as Node)}` : "";
}

/** Walks a type and reports the path of every field in it. */
class FieldWalk {
  readonly paths = new Set<string>();
  readonly #declared: Declarations;

  constructor(declared: Declarations) {
    this.#declared = declared;
  }

  /** The fields of an interface under a path; `open` are the names on the way, against cycles. */
  interface(name: string, under: string, open: readonly string[] = []): void {
    if (open.includes(name)) return;
    const declared = this.#declared.get(name);
    if (!declared) throw new Error(`The client declares no ${name}`);
    if (declared.type === "TSTypeAliasDeclaration") {
      this.#type(declared.typeAnnotation as Node, under, [...open, name]);
    }
    if (declared.type !== "TSInterfaceDeclaration") return;
    for (const base of declared.extends ?? []) this.interface(nameOf(base.expression as Node), under, [...open, name]);
    this.#members(declared.body.body as unknown as Node[], under, [...open, name]);
  }

  #members(members: readonly Node[], under: string, open: readonly string[]): void {
    for (const member of members) {
      if (member.type !== "TSPropertySignature" || member.key.type !== "Identifier") continue;
      const at = under ? `${under}.${member.key.name}` : member.key.name;
      this.paths.add(at);
      if (member.typeAnnotation) this.#type(member.typeAnnotation.typeAnnotation as Node, at, open);
    }
  }

  #type(node: Node, under: string, open: readonly string[]): void {
    if (node.type === "TSUnionType") for (const one of node.types) this.#type(one as Node, under, open);
    else if (node.type === "TSTypeLiteral") this.#members(node.members as unknown as Node[], under, open);
    else if (node.type === "TSArrayType") this.#type(node.elementType as Node, under, open);
    else if (node.type === "TSTypeReference") this.#reference(node, under, open);
  }

  #reference(node: Extract<Node, { type: "TSTypeReference" }>, under: string, open: readonly string[]): void {
    const name = nameOf(node.typeName as Node);
    if (name === "Array") {
      this.#type(node.typeArguments!.params[0] as Node, under, open);
      return;
    }
    const short = name.replace(/^(?:Shared|ChatCompletionsAPI|CompletionsAPI)\./, "");
    // A name is looked up in the namespaces around it, the innermost first.
    const around = open.at(-1)?.split(".") ?? [];
    for (let depth = around.length; depth >= 0; depth--) {
      const full = [...around.slice(0, depth), short].join(".");
      if (!this.#declared.has(full)) continue;
      this.interface(full, under, open);
      return;
    }
    if (!["Record", "FunctionParameters", "Metadata"].includes(short))
      throw new Error(`Cannot resolve ${name} in ${open.at(-1)}`);
  }
}

/** Whether the table knows a path: a field of its own, or something inside a field that is taken or refused as a whole. */
function knows(fields: Fields, parts: readonly string[]): boolean {
  const field = Object.hasOwn(fields, parts[0]!) ? fields[parts[0]!] : undefined;
  if (!field) return false;
  return parts.length === 1 || field.use === "refused" || knowsInside(field.shape, parts.slice(1));
}

function knowsInside(shape: Shape, parts: readonly string[]): boolean {
  switch (shape.is) {
    case "any":
    case "map":
      return true;
    case "object":
      return knows(shape.fields, parts);
    case "list":
      return knowsInside(shape.of, parts);
    case "union":
      return shape.of.some((one) => knowsInside(one, parts));
    case "tagged":
      // A refused kind carries its own field, named like the kind: {type: "file", file: …}.
      if (parts[0] === shape.by || Object.hasOwn(shape.refusals, parts[0]!)) return true;
      return Object.values(shape.cases).some((fields) => knows(fields, parts));
    default:
      return false;
  }
}

const ROUTES = [
  ["ChatCompletionCreateParamsBase", CHAT_FIELDS, 130],
  ["CompletionCreateParamsBase", COMPLETION_FIELDS, 18],
  ["EmbeddingCreateParams", EMBEDDING_FIELDS, 5],
] as const;

describe("request fields of the pinned openai client", () => {
  const declared = declarations();
  for (const [name, fields, least] of ROUTES) {
    it(`are all in the table: ${name}`, () => {
      const walk = new FieldWalk(declared);
      walk.interface(name, "");
      expect(walk.paths.size).toBeGreaterThanOrEqual(least);
      expect([...walk.paths].filter((one) => !knows(fields, one.split(".")))).toEqual([]);
    });
  }
});
