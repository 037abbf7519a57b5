import type { ModelInferResponse } from "#gen/inference/infer_pb";
import { printGenerateAnswer } from "#lib/api/kserve/json-generate";
import { EVENT_STREAM, printEvent } from "#lib/api/sse";
import type { DoorPrinters } from "../door.ts";
import { printErrorSentence } from "../kserve/error.ts";
import { INFER_PRINTERS } from "../kserve/print.ts";
import type { InferForm } from "../kserve/read.ts";
import { wholePrinter } from "../kserve/whole.ts";
import type { HttpAnswer } from "../reply.ts";

/** Prints the answers of POST /v2/models/{model}/generate_stream: an event for each, one alone for an answer as a whole. */
export const printers: DoorPrinters<InferForm, string, HttpAnswer> = {
  ...wholePrinter<InferForm, HttpAnswer>(
    (response, _, printed) => {
      const event = printEvent(printGenerateAnswer(response, printed));
      return { contentType: EVENT_STREAM, headers: {}, parts: [event] };
    },
    () => true,
  ),
  events(plan, form) {
    const printer = INFER_PRINTERS.events(plan, form);
    return {
      begin: (placement) => printer.begin(placement),
      prompt: (choice, position, logprobs) => printer.prompt(choice, position, logprobs),
      text: (choice, text, soFar) => printAnswer(printer.text(choice, text, soFar)),
      token: (choice, part, soFar) => printAnswer(printer.token(choice, part, soFar)),
      end: (choice, finish, soFar) => printAnswer(printer.end(choice, finish, soFar)),
      done: (usage) => printEvent(printGenerateAnswer(printer.done(usage))),
      failed: (error) => printEvent(printErrorSentence(error)),
    };
  },
};

function printAnswer(response: ModelInferResponse | undefined): string | undefined {
  return response && printEvent(printGenerateAnswer(response));
}
