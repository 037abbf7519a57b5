import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  type ModelInferResponse,
  ModelInferResponseSchema,
  ModelStreamInferResponseSchema,
} from "#gen/inference/infer_pb";
import { StatorError } from "#lib/base/errors";
import type { AnswerToken } from "#lib/serving/answer";
import type { AnswerPlan } from "../doors/door.ts";
import { INFER_PRINTERS } from "../doors/kserve/print.ts";
import type { InferForm } from "../doors/kserve/read.ts";
import { encodedPrinters, encodeOnStream, encodeWhole } from "./encoded-printers.ts";
import { StreamedText } from "./streamed-text.ts";

const hex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString("hex");
const FORM: InferForm = {
  ...{ id: "r1", model: "m", kind: "text", contents: "raw" },
  ...{ outputs: ["text_output", "finish_reason"], finalResponse: false },
};
const USAGE = { promptTokens: 3, cachedTokens: 1, completionTokens: 2 };
const TOKEN: AnswerToken = { id: 7, text: "a", bytes: Uint8Array.of(97), logprob: -0.5, top: [], offset: 0 };

/** What the door prints of everything that can happen, and what goes out of it. */
function printAll(form: InferForm, choices: number): [string | undefined, string | undefined][] {
  const plan = { choices } as AnswerPlan;
  const inner = INFER_PRINTERS.events!(plan, form);
  const outer = encodedPrinters(INFER_PRINTERS, encodeOnStream).events!(plan, form);
  const pairs: [ModelInferResponse | undefined, Uint8Array | undefined][] = [];
  for (const text of ["a", "", "é😀", "x".repeat(123), "x".repeat(124), "y".repeat(20_000), "\ud800", "b"]) {
    for (let choice = 0; choice < choices; choice++) {
      pairs.push([inner.text(choice, text, undefined), outer.text(choice, text, undefined)]);
      if (text !== "b") continue;
      pairs.push([
        inner.token(choice, { text, token: TOKEN }, undefined),
        outer.token(choice, { text, token: TOKEN }, undefined),
      ]);
      pairs.push([inner.end(choice, "length", undefined), outer.end(choice, "length", undefined)]);
    }
  }
  pairs.push([inner.done(USAGE), outer.done(USAGE)]);
  return pairs.map(([message, bytes]) => [hex(message && encodeOnStream(message)), hex(bytes)]);
}

describe("an answer on a stream", () => {
  const forms: readonly [string, InferForm][] = [
    ["text", FORM],
    ["text that says which is the last", { ...FORM, finalResponse: true }],
    ["text alone", { ...FORM, outputs: ["text_output"] }],
    ["its finish alone", { ...FORM, outputs: ["finish_reason"] }],
    ["typed text", { ...FORM, contents: "typed" }],
    ["text and tokens", { ...FORM, outputs: ["text_output", "token_ids", "finish_reason"] }],
    ["a name of none", { ...FORM, id: "" }],
  ];
  it.each(forms)("has the bytes of what its door prints: %s", (_, form) => {
    for (const choices of [1, 3]) {
      for (const [expected, told] of printAll(form, choices)) expect(told).toBe(expected);
    }
  });

  it("tells errors in a message of its own", () => {
    const printer = encodedPrinters(INFER_PRINTERS, encodeOnStream).events!({ choices: 1 } as AnswerPlan, FORM);
    expect(printer.failed(new StatorError("CANCELLED"))).toBeUndefined();
  });
});

it("as a whole is the message itself", () => {
  const printer = encodedPrinters(INFER_PRINTERS, encodeWhole).body!({ choices: 1 } as AnswerPlan, FORM);
  printer.choice(0, { finish: "stop", text: "hi", tokens: [] });
  const answer = fromBinary(ModelInferResponseSchema, printer.body(USAGE)!);
  expect(answer).toMatchObject({ id: "r1", modelName: "m", modelVersion: "1" });
  expect(Buffer.from(answer.rawOutputContents[0]!).toString("hex")).toBe("020000006869");
});

describe("messages that differ in their text", () => {
  const answer = create(ModelInferResponseSchema, {
    ...{ modelName: "m", modelVersion: "1", id: "r1" },
    parameters: { triton_final_response: { parameterChoice: { case: "boolParam", value: false } } },
    outputs: [{ name: "text_output", datatype: "BYTES", shape: [1n] }],
    rawOutputContents: [Buffer.from("020000006869", "hex")],
  });

  it("have the bytes that clients of the protocol know", () => {
    expect(hex(StreamedText.like(answer)?.print("hi"))).toBe(
      "12480a016d1201311a027231221b0a15747269746f6e5f66696e616c5f726573706f6e7365120208002a170a0b746578745f6f7574707574120542595445531a01013206020000006869",
    );
    const empty = fromBinary(ModelStreamInferResponseSchema, StreamedText.like(answer)!.print(""));
    expect(toBinary(ModelInferResponseSchema, empty.inferResponse!)).toEqual(
      toBinary(ModelInferResponseSchema, { ...answer, rawOutputContents: [new Uint8Array(4)] }),
    );
  });

  it("are not made of answers that tell more, or otherwise", () => {
    const [output] = answer.outputs;
    const others: ModelInferResponse[] = [
      { ...answer, outputs: [output!, output!] },
      { ...answer, outputs: [{ ...output!, shape: [2n] }] },
      { ...answer, outputs: [{ ...output!, datatype: "INT32" }] },
      { ...answer, rawOutputContents: [] },
      { ...answer, outputs: [] },
    ];
    expect(others.map((one) => StreamedText.like(one))).toEqual(others.map(() => undefined));
  });
});
