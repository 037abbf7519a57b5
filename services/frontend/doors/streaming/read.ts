import { readGenerateBody } from "#lib/api/kserve/json-generate";
import { createParameter } from "#lib/api/kserve/parameters";
import type { DoorReader } from "../door.ts";
import { aboutOf, addressOf } from "../infer/read.ts";
import { type InferForm, readInfer } from "../kserve/read.ts";

/** Reads POST /v2/models/{model}/generate_stream. Who asks there wants to see the answer grow, unless it says otherwise. */
export const reader: DoorReader<InferForm> = {
  module: import.meta.url,
  read(bytes, bounds, around) {
    const request = readGenerateBody(bytes, addressOf(around), bounds);
    const about = aboutOf(around, "allowed");
    const { parameters } = request;
    const isSaid = "stream" in parameters || "streaming" in parameters;
    // Vectors come as a whole, and have no word for it.
    if (about.generate && !isSaid) request.parameters = { ...parameters, stream: createParameter(true) };
    return readInfer(request, about);
  },
};
