import { GuidanceForm, type Guidance as GuidanceMessage } from "#gen/stator/worker/v1/link_pb";
import { StatorError } from "#lib/base/errors";
import type { Guidance } from "#lib/text/grammar/guidance";

const FORMS = {
  ebnfGrammar: GuidanceForm.GRAMMAR,
  jsonObject: GuidanceForm.JSON_OBJECT,
  jsonSchema: GuidanceForm.JSON_SCHEMA,
  choice: GuidanceForm.CHOICE,
  regex: GuidanceForm.REGEX,
  structuralTag: GuidanceForm.STRUCTURAL_TAG,
} as const satisfies Record<Guidance["kind"], GuidanceForm>;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Guidance as a link carries it to a worker that has the features parts and guidance. Keeps a schema that is bytes. */
export function printGuidance(guidance: Guidance): GuidanceMessage {
  const text = textOf(guidance);
  return {
    $typeName: "stator.worker.v1.Guidance",
    grammar: "",
    form: FORMS[guidance.kind],
    text: typeof text === "string" ? encoder.encode(text) : text,
  };
}

/** A grammar as it is carried to a worker without the feature parts, which knows no other form. */
export function printOldGrammar(grammar: string): GuidanceMessage {
  return { $typeName: "stator.worker.v1.Guidance", grammar, form: GuidanceForm.UNSPECIFIED, text: new Uint8Array(0) };
}

function textOf(guidance: Guidance): string | Uint8Array {
  switch (guidance.kind) {
    case "ebnfGrammar":
      return guidance.grammar;
    case "jsonObject":
      return "";
    case "jsonSchema":
      return guidance.schema;
    case "choice":
      return JSON.stringify(guidance.choices);
    case "regex":
      return guidance.pattern;
    case "structuralTag":
      return guidance.tag;
  }
}

/** The guidance of a message. Copies it. Throws INVALID_ARGUMENT by the name of the field. */
export function readGuidance({ grammar, form, text }: GuidanceMessage): Guidance {
  switch (form) {
    case GuidanceForm.UNSPECIFIED:
      if (grammar === "") throw new StatorError("INVALID_ARGUMENT", { detail: "guidance.form: expected one" });
      return { kind: "ebnfGrammar", grammar };
    case GuidanceForm.GRAMMAR:
      return { kind: "ebnfGrammar", grammar: decode(text) };
    case GuidanceForm.JSON_OBJECT:
      return { kind: "jsonObject" };
    case GuidanceForm.JSON_SCHEMA:
      return { kind: "jsonSchema", schema: decode(text) };
    case GuidanceForm.CHOICE:
      return { kind: "choice", choices: readChoices(decode(text)) };
    case GuidanceForm.REGEX:
      return { kind: "regex", pattern: decode(text) };
    case GuidanceForm.STRUCTURAL_TAG:
      return { kind: "structuralTag", tag: decode(text) };
    default:
      throw new StatorError("INVALID_ARGUMENT", { detail: `guidance.form: ${form} is not known to this worker` });
  }
}

function readChoices(text: string): string[] {
  try {
    const choices = JSON.parse(text) as unknown;
    if (Array.isArray(choices) && choices.every((choice) => typeof choice === "string")) return choices;
  } catch {
    // Said below, in the words of the field.
  }
  throw new StatorError("INVALID_ARGUMENT", { detail: "guidance.text: expected a JSON array of texts" });
}

function decode(text: Uint8Array): string {
  try {
    return decoder.decode(text);
  } catch (error) {
    throw new StatorError("INVALID_ARGUMENT", { detail: "guidance.text: not valid UTF-8" }, { cause: error });
  }
}
