import { readGenerateBody } from "#lib/api/kserve/json-generate";
import type { DoorReader } from "../door.ts";
import { aboutOf, addressOf } from "../infer/read.ts";
import { type InferForm, readInfer } from "../kserve/read.ts";

/** Reads POST /v2/models/{model}/generate. */
export const reader: DoorReader<InferForm> = {
  module: import.meta.url,
  read: (bytes, bounds, around) =>
    readInfer(readGenerateBody(bytes, addressOf(around), bounds), aboutOf(around, "refused")),
};
