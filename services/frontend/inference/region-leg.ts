import { toBinary } from "@bufbuild/protobuf";
import { ModelInferRequestSchema } from "#gen/inference/infer_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { checkInferCost } from "#lib/api/kserve/infer-cost";
import { printId } from "#lib/base/bytes";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { TensorPlace } from "#lib/dispatch/tensor-dispatcher";
import { createClient } from "#lib/rpc/client";
import { parse } from "#lib/rpc/serialize";
import type { StreamHandlers } from "#lib/rpc/stream";
import type { PassedRegions, RegionUse } from "#lib/shared/passed-regions";
import { placeBytes } from "./region-places.ts";

/** Where a request with regions goes, and what it is there. */
export interface RegionLegOptions {
  /** Those of this process. Borrowed. */
  readonly regions: PassedRegions;
  /** Answers are ModelStreamInferResponses; else one ModelInferResponse. */
  readonly isStream: boolean;
  /** The worker, and the way to it. */
  readonly place: Pick<TensorPlace, "worker" | "transport">;
}

/**
 * The way of one request that names regions of shared memory, to its worker and back: names of the worker's own in place
 * of bytes where it sees the same memory, bytes where it does not.
 */
export class RegionLeg {
  /** What is sent in place of the request. */
  readonly bytes: Uint8Array;
  readonly #use: RegionUse;
  readonly #isStream: boolean;
  /** Settles when all answers so far were told. Never rejects. */
  #told = Promise.resolve();

  private constructor(use: RegionUse, isStream: boolean) {
    this.bytes = toBinary(ModelInferRequestSchema, use.request);
    this.#use = use;
    this.#isStream = isStream;
  }

  /** Makes a request ready for its worker; release what comes. Throws what is wrong with it or its regions. */
  static async enter(bytes: Uint8Array, { regions, isStream, place }: RegionLegOptions): Promise<RegionLeg> {
    checkInferCost(bytes);
    const peer = {
      key: `${printId(place.worker)} at ${place.transport.target}`,
      client: createClient(GRPCInferenceService, place.transport),
    };
    const use = await regions.enter(parse(ModelInferRequestSchema, bytes), peer);
    if (!use) throw new StatorError("INVALID_ARGUMENT", { detail: "The request names no region of shared memory" });
    return new RegionLeg(use, isStream);
  }

  /** The same handlers, which hear each answer when its outputs are where they belong, and the end behind the last one. */
  behind(handlers: Pick<StreamHandlers<Uint8Array>, "onMessage" | "onEnd">): StreamHandlers<Uint8Array> {
    let failure: StatorError | undefined;
    return {
      onMessage: (bytes) => {
        this.#told = this.#told.then(async () => {
          if (failure) return;
          try {
            handlers.onMessage(await this.#place(bytes));
          } catch (caught) {
            failure = asStatorError(caught);
          }
        });
      },
      onEnd: (error) => {
        this.#told = this.#told.then(() => {
          this.release(error !== undefined);
          handlers.onEnd(failure ?? error);
        });
      },
    };
  }

  /** The request has ended; once is enough. `refused`: by its worker, which may have forgotten the regions. */
  release(refused = false): void {
    this.#use.release(refused);
  }

  #place(bytes: Uint8Array): Promise<Uint8Array> {
    return placeBytes(bytes, this.#isStream ? "onStream" : "whole", (response) => this.#use.answer(response));
  }
}
