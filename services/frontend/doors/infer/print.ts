import type { ModelInferResponse } from "#gen/inference/infer_pb";
import { type InferAnswer, isBinary, printInferAnswer } from "#lib/api/kserve/json-answer";
import type { PrintedAnswer } from "../../read/printed-answer.ts";
import type { DoorPrinters } from "../door.ts";
import { wholePrinter } from "../kserve/whole.ts";
import type { HttpAnswer } from "../reply.ts";
import { type HttpInferForm, LENGTH_HEADER } from "./read.ts";

/** Prints the answers of POST /v2/models/{model}/infer. */
export const printers: DoorPrinters<HttpInferForm, string, HttpAnswer> = wholePrinter(
  (response: ModelInferResponse, { binary }: HttpInferForm, printed) => {
    return httpAnswer(printInferAnswer(response, binary, printed));
  },
  ({ binary }) => !isBinary(binary, "embedding"),
);

/** An answer as it goes out: JSON, or JSON with tensors behind it. */
export function httpAnswer({ json, contents }: InferAnswer | PrintedAnswer): HttpAnswer {
  if (contents.length > 0) {
    const headers = { [LENGTH_HEADER]: String(Buffer.byteLength(json)) };
    return { contentType: "application/octet-stream", headers, parts: [json, ...contents] };
  }
  return typeof json === "string" ? json : { contentType: "application/json", headers: {}, parts: [json] };
}
