import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type ModelInferResponse,
  ModelInferResponseSchema,
  ModelStreamInferResponseSchema,
} from "#gen/inference/infer_pb";
import type { RegionHold } from "#lib/shared/region-hold";
import type { Reply } from "../doors/reply.ts";
import type { RegionPlaces } from "./region-reply.ts";

/** What the bytes of an answer are: a ModelInferResponse, or a ModelStreamInferResponse. */
export type AnswerBytes = "whole" | "onStream";

/** Brings the outputs of an answer to where they belong, and returns what is told in its place. Throws what is wrong. */
type PlaceAnswer = (response: ModelInferResponse) => Promise<ModelInferResponse>;

/** The same for an answer that is bytes. One of no bytes has nothing to place, nor has one that tells an error. */
export async function placeBytes(bytes: Uint8Array, as: AnswerBytes, place: PlaceAnswer): Promise<Uint8Array> {
  if (bytes.byteLength === 0) return bytes;
  if (as === "whole") {
    return toBinary(ModelInferResponseSchema, await place(fromBinary(ModelInferResponseSchema, bytes)));
  }
  const message = fromBinary(ModelStreamInferResponseSchema, bytes);
  if (message.errorMessage !== "" || !message.inferResponse) return bytes;
  const inferResponse = await place(message.inferResponse);
  return toBinary(ModelStreamInferResponseSchema, { ...message, inferResponse });
}

/** Places for answers that are bytes. The hold is released with the places. */
export function createRegionPlaces(hold: RegionHold, as: AnswerBytes): RegionPlaces<Uint8Array> {
  return {
    place: (bytes) => placeBytes(bytes, as, (response) => hold.place(response)),
    release: () => hold.release(),
  };
}

/**
 * Starts the answer of a request while its regions are held. The work that begins gives them back with its end; where none
 * began, because it threw or the client left meanwhile, they are given back here.
 */
export async function startHolding(
  hold: Pick<RegionHold, "release"> | undefined,
  reply: Pick<Reply<never>, "closed">,
  start: () => Promise<void>,
): Promise<void> {
  try {
    await start();
    if (reply.closed) hold?.release();
  } catch (error) {
    hold?.release();
    throw error;
  }
}
