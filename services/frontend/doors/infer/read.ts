import type { JsonBounds } from "#lib/api/json-bounds";
import { type BinaryOutputs, type InferAddress, readInferBody } from "#lib/api/kserve/json-request";
import type { Around, DoorReader } from "../door.ts";
import { checkVersion } from "../kserve/describe.ts";
import { type InferAbout, type InferForm, readInfer } from "../kserve/read.ts";

/** What an answer over HTTP is printed by. */
export interface HttpInferForm extends InferForm {
  /** Which of its outputs come behind the JSON. */
  readonly binary: BinaryOutputs;
}

/** Says how much of a body is JSON, where raw tensors follow. */
export const LENGTH_HEADER = "inference-header-content-length";

/** What path and headers of a request say. Throws MODEL_NOT_FOUND for a version that no model has. */
export function addressOf({ parts, headers }: Around): InferAddress {
  const { model = "", version = "" } = parts;
  checkVersion(model, version);
  return { model, version, headerLength: headers[LENGTH_HEADER] };
}

/** What is known of a request before it is read. What nobody knows of the model is tried. */
export function aboutOf({ features }: Around, stream: InferAbout["stream"]): InferAbout {
  return { generate: features?.generate !== false, embed: features?.embed !== false, stream };
}

/** Reads POST /v2/models/{model}/infer. */
export const reader: DoorReader<HttpInferForm> = {
  module: import.meta.url,
  read(bytes: Uint8Array, bounds: JsonBounds | undefined, around) {
    const { request, binary } = readInferBody(bytes, addressOf(around), bounds);
    const asked = readInfer(request, aboutOf(around, "refused"));
    return { ...asked, form: { ...asked.form, binary } };
  },
};
