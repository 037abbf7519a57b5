import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { GuidanceForm, GuidanceSchema } from "#gen/stator/worker/v1/link_pb";
import type { Guidance } from "#lib/text/grammar/guidance";
import { printGuidance, printOldGrammar, readGuidance } from "./guidance.ts";

const text = (of: string) => Buffer.from(of);

it.each<[Guidance, GuidanceForm, string]>([
  [{ kind: "ebnfGrammar", grammar: 'root ::= "ü"' }, GuidanceForm.GRAMMAR, 'root ::= "ü"'],
  [{ kind: "jsonObject" }, GuidanceForm.JSON_OBJECT, ""],
  [{ kind: "jsonSchema", schema: '{"const":"😀"}' }, GuidanceForm.JSON_SCHEMA, '{"const":"😀"}'],
  [{ kind: "choice", choices: ["a", '"'] }, GuidanceForm.CHOICE, '["a","\\""]'],
  [{ kind: "regex", pattern: "a+" }, GuidanceForm.REGEX, "a+"],
  [{ kind: "structuralTag", tag: '{"tags":[]}' }, GuidanceForm.STRUCTURAL_TAG, '{"tags":[]}'],
])("carries %o as it was asked", (guidance, form, written) => {
  const message = printGuidance(guidance);
  expect(message).toMatchObject({ form, grammar: "" });
  expect(Buffer.from(message.text).toString()).toBe(written);
  expect(readGuidance(message)).toEqual(guidance);
});

it("carries a schema that is bytes as they are", () => {
  const schema = text('{"type":"null"}');
  expect(printGuidance({ kind: "jsonSchema", schema }).text).toBe(schema);
});

it("carries a grammar to a worker of an older build, and reads one of an older frontend", () => {
  const message = printOldGrammar('root ::= "a"');
  expect(message).toMatchObject({ grammar: 'root ::= "a"', form: GuidanceForm.UNSPECIFIED, text: { length: 0 } });
  expect(readGuidance(message)).toEqual({ kind: "ebnfGrammar", grammar: 'root ::= "a"' });
});

it.each<[MessageInitShape<typeof GuidanceSchema>, string]>([
  [{}, "guidance.form: expected one"],
  [{ form: 99 as GuidanceForm }, "guidance.form: 99 is not known to this worker"],
  [{ form: GuidanceForm.GRAMMAR, text: Uint8Array.of(0xff) }, "guidance.text: not valid UTF-8"],
  [{ form: GuidanceForm.CHOICE, text: text("[1]") }, "guidance.text: expected a JSON array of texts"],
  [{ form: GuidanceForm.CHOICE, text: text("{}") }, "guidance.text: expected a JSON array of texts"],
  [{ form: GuidanceForm.CHOICE, text: text("[") }, "guidance.text: expected a JSON array of texts"],
])("refuses %o", (init, words) => {
  expect(() => readGuidance(create(GuidanceSchema, init))).toThrow(
    expect.objectContaining({ reason: "INVALID_ARGUMENT", message: `${words}.` }),
  );
});
