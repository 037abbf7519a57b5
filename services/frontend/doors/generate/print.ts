import { printGenerateAnswer } from "#lib/api/kserve/json-generate";
import { wholePrinter } from "../kserve/whole.ts";

/** Prints the answers of POST /v2/models/{model}/generate. */
export const printers = wholePrinter(
  (response, _, printed) => printGenerateAnswer(response, printed),
  () => true,
);
