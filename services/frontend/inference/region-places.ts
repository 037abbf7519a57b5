import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { ModelInferResponseSchema, ModelStreamInferResponseSchema } from "#gen/inference/infer_pb";
import type { RegionHold } from "#lib/shared/region-hold";
import type { RegionPlaces } from "./region-reply.ts";

/**
 * Places for answers that are bytes: of a ModelInferResponse each, or on a stream of a ModelStreamInferResponse. An answer
 * of no bytes has nothing to place. The hold is released with the places.
 */
export function createRegionPlaces(hold: RegionHold, as: "whole" | "onStream"): RegionPlaces<Uint8Array> {
  return {
    async place(bytes) {
      if (bytes.byteLength === 0) return bytes;
      if (as === "whole") {
        const placed = await hold.place(fromBinary(ModelInferResponseSchema, bytes));
        return toBinary(ModelInferResponseSchema, placed);
      }
      const message = fromBinary(ModelStreamInferResponseSchema, bytes);
      if (!message.inferResponse) return bytes;
      const inferResponse = await hold.place(message.inferResponse);
      return toBinary(ModelStreamInferResponseSchema, { ...message, inferResponse });
    },
    release: () => hold.release(),
  };
}
