import { StatorError } from "#lib/base/errors";
import { choiceGrammar, jsonObjectGrammar, jsonSchemaGrammar } from "./grammar.ts";

/** The form of an answer as it was asked for. A grammar is made of it where the engine is that holds it. */
export type Guidance =
  | { readonly kind: "jsonObject" }
  /** JSON text, a long one as UTF-8. */
  | { readonly kind: "jsonSchema"; readonly schema: string | Uint8Array }
  | { readonly kind: "choice"; readonly choices: readonly string[] }
  /** GBNF with the rule root. */
  | { readonly kind: "ebnfGrammar"; readonly grammar: string }
  | { readonly kind: "regex"; readonly pattern: string }
  | { readonly kind: "structuralTag"; readonly tag: string };

/**
 * GBNF of the answers that guidance allows. Throws UNSUPPORTED_SCHEMA by keyword and path, INVALID_GRAMMAR, INVALID_ARGUMENT
 * for text that is no JSON or a schema that is none, and UNSUPPORTED_FEATURE for a kind that has no converter here.
 */
export function compileGuidance(guidance: Guidance): string {
  switch (guidance.kind) {
    case "jsonObject":
      return jsonObjectGrammar();
    case "jsonSchema":
      return jsonSchemaGrammar(parseSchema(guidance.schema));
    case "choice":
      return choiceGrammar(guidance.choices);
    case "ebnfGrammar":
      return guidance.grammar;
    default:
      throw new StatorError("UNSUPPORTED_FEATURE", {
        feature: `guided.${guidance.kind}`,
        detail: "use json_schema, json_object, ebnf_grammar or choice",
      });
  }
}

function parseSchema(schema: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof schema === "string" ? schema : new TextDecoder().decode(schema)) as unknown;
  } catch (error) {
    throw new StatorError("INVALID_ARGUMENT", { detail: "guided.json_schema: not valid JSON" }, { cause: error });
  }
}
