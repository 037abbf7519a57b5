import type { ModelInferResponse } from "#gen/inference/infer_pb";
import type { PrintedElements } from "#lib/api/kserve/json-answer";
import { printFloats } from "#lib/api/openai/bodies";
import type { DoorPrinters } from "../door.ts";
import { INFER_PRINTERS } from "./print.ts";
import type { InferForm } from "./read.ts";

/** Makes what goes out of a whole answer. */
export type PrintWhole<Form, Whole> = (response: ModelInferResponse, form: Form, printed?: PrintedElements) => Whole;

/**
 * Printers of answers that are told as a whole, in a form of JSON. Vectors that go out as JSON are printed as they come: all
 * of them at once would hold the loop.
 */
export function wholePrinter<Form extends InferForm, Whole>(
  print: PrintWhole<Form, Whole>,
  isJson: (form: Form) => boolean,
): Required<Pick<DoorPrinters<Form, never, Whole>, "body" | "embeddings">> {
  const { body, embeddings } = INFER_PRINTERS;
  return {
    body(plan, form) {
      const printer = body(plan, form);
      return {
        begin: (placement) => printer.begin(placement),
        prompt: (choice, position, logprobs) => printer.prompt(choice, position, logprobs),
        choice: (choice, said) => printer.choice(choice, said),
        body: (usage) => print(printer.body(usage), form),
      };
    },
    embeddings(plan, form) {
      const printer = embeddings(plan, form);
      const rows = isJson(form) ? new Array<string>(plan.choices) : undefined;
      return {
        embedding(choice, values) {
          printer.embedding(choice, values);
          if (rows) rows[choice] = printFloats(values).slice(1, -1);
        },
        body: (usage) => print(printer.body(usage), form, rows && new Map([["embedding", `[${rows.join(",")}]`]])),
      };
    },
  };
}
