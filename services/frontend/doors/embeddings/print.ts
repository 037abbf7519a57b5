import { printEmbeddings, printFloats } from "#lib/api/openai/bodies";
import { viewBytes } from "#lib/base/bytes";
import type { DoorPrinters } from "../door.ts";
import type { EmbeddingForm } from "./read.ts";

/** Prints the answers of POST /v1/embeddings. */
export const printers: DoorPrinters<EmbeddingForm, string> = {
  embeddings({ ask, choices }, { base64 }) {
    const printed = new Array<string>(choices).fill("");
    return {
      embedding(choice, values) {
        printed[choice] = base64 ? printBase64(values) : printFloats(values);
      },
      body: ({ promptTokens }) => printEmbeddings(ask.model, printed, promptTokens),
    };
  },
};

function printBase64(values: Float32Array): string {
  const { buffer, byteOffset, byteLength } = viewBytes(values);
  return `"${Buffer.from(buffer, byteOffset, byteLength).toString("base64")}"`;
}
