import { toBinary } from "@bufbuild/protobuf";
import { ModelInferRequestSchema, type ModelInferResponse, ModelInferResponseSchema } from "#gen/inference/infer_pb";
import { checkInferCost } from "#lib/api/kserve/infer-cost";
import { SHARED_MEMORY } from "#lib/api/kserve/parameters";
import { parse } from "#lib/rpc/serialize";
import type { SharedRegions } from "#lib/shared/shared-regions";
import type { Around, Door } from "../doors/door.ts";
import { httpAnswer } from "../doors/infer/print.ts";
import { aboutOf, addressOf } from "../doors/infer/read.ts";
import { INFER_PRINTERS } from "../doors/kserve/print.ts";
import { type InferForm, KSERVE_WORDS, readInfer } from "../doors/kserve/read.ts";
import type { HttpAnswer, Reply } from "../doors/reply.ts";
import type { BodyReader } from "../read/reader.ts";
import { type ServeTools, serve } from "../serve/serve.ts";
import { startHolding } from "./region-places.ts";
import { RegionReply } from "./region-reply.ts";

/** What requests with regions are answered with. All of it is borrowed. */
export interface HttpRegionTools {
  /** Those that requests may name. */
  readonly regions: SharedRegions;
  /** Reads bodies and prints answers. */
  readonly reader: BodyReader;
  /** As for every other door. */
  readonly serving: ServeTools;
}

/** An answer before its outputs are in their regions, and how it goes out. */
type Told = ModelInferResponse | HttpAnswer;

const MARK = SHARED_MEMORY.region;

/** Whether a body has the word by which an input or an output is in a region, wherever that stands. */
export function mayNameRegions(chunks: readonly Buffer[]): boolean {
  let end = Buffer.alloc(0);
  for (const chunk of chunks) {
    if (chunk.includes(MARK)) return true;
    // The word may be cut by two chunks.
    const border = Buffer.concat([end, chunk.subarray(0, MARK.length)]);
    if (border.includes(MARK)) return true;
    end = Buffer.concat([end, chunk.subarray(-MARK.length)]).subarray(-MARK.length);
  }
  return false;
}

/** Serves a request to a model of text whose tensors may be in regions. Throws what is wrong with it; nothing ran then. */
export async function serveRegions(
  chunks: readonly Buffer[],
  { around, reply }: { readonly around: Around; readonly reply: Reply<string, HttpAnswer> },
  { regions, reader, serving }: HttpRegionTools,
): Promise<void> {
  const { message, binary } = await reader.readTensors(chunks, addressOf(around));
  checkInferCost(message);
  const request = parse(ModelInferRequestSchema, message);
  const hold = regions.hold(request);
  await startHolding(hold, reply, async () => {
    const asked = readInfer(hold ? await hold.fill(request) : request, aboutOf(around, "refused"));
    if (reply.closed) return;
    const place = async (told: Told): Promise<Told> => {
      if (typeof told === "string" || "parts" in told) return told;
      const placed = hold ? await hold.place(told) : told;
      return httpAnswer(await reader.printTensors(toBinary(ModelInferResponseSchema, placed), binary));
    };
    const door: Door<InferForm, Told> = { name: reply.route, words: KSERVE_WORDS, printers: INFER_PRINTERS };
    const told = new RegionReply<Told>(reply, { place, release: () => hold?.release() });
    await serve({ asked, conversation: undefined, close() {} }, { door, reply: told }, serving);
  });
}
