import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  ModelStatisticsRequest,
  ModelStatisticsResponseSchema,
  ModelStatisticsSchema,
  StatisticDurationSchema,
} from "#gen/inference/statistics_pb";
import type { ModelTotals } from "#lib/serving/ledger";
import { checkVersion, MODEL_VERSION } from "../doors/kserve/describe.ts";
import { isOfTensors, type ServerAbout } from "./about.ts";

/**
 * What models did, as this frontend's ledger has it, whatever door the requests came in at: one entry for a name, and
 * without a name one for each that is known here, in order. Throws MODEL_NOT_FOUND, and NOT_FOUND for a version.
 */
export function modelStatistics(
  { models, ledger }: Pick<ServerAbout, "models" | "ledger">,
  { name, version }: Pick<ModelStatisticsRequest, "name" | "version">,
): MessageInitShape<typeof ModelStatisticsResponseSchema> {
  const names = namesOf(models);
  if (name === "") return { modelStats: names.map((each) => statisticsOf(each, ledger.model(each))) };
  // It is here or away; of any other `find` tells what becomes of it.
  if (!names.includes(name)) models.find(name);
  if (!isOfTensors(models, name)) checkVersion(name, version);
  return { modelStats: [statisticsOf(name, ledger.model(name))] };
}

function namesOf(models: ServerAbout["models"]): string[] {
  const { listed, away } = models.list();
  return [...listed, ...away].map(({ id }) => id).sort();
}

/**
 * Time up to the first token counts as that of the input, and behind it as the model's: an answer is told while it is
 * made, so nothing is left for the output. Cancelled requests are failed ones, as Triton counts them.
 */
function statisticsOf(name: string, totals: ModelTotals | undefined): MessageInitShape<typeof ModelStatisticsSchema> {
  const { finished = NONE, cancelled = NONE, failed = NONE, firstTokenMs = 0, lastUnixMs = 0 } = totals ?? {};
  const { requests } = finished;
  return {
    name,
    version: MODEL_VERSION,
    lastInference: BigInt(lastUnixMs),
    inferenceCount: BigInt(requests),
    executionCount: BigInt(requests),
    inferenceStats: {
      success: timed(requests, finished.totalMs),
      fail: timed(failed.requests + cancelled.requests, failed.totalMs + cancelled.totalMs),
      queue: timed(requests, 0),
      computeInput: timed(requests, firstTokenMs),
      computeInfer: timed(requests, finished.totalMs - firstTokenMs),
      computeOutput: timed(requests, 0),
      cacheHit: timed(0, 0),
      cacheMiss: timed(0, 0),
    },
  };
}

const NONE = { requests: 0, totalMs: 0 };

function timed(count: number, totalMs: number): MessageInitShape<typeof StatisticDurationSchema> {
  return { count: BigInt(count), ns: BigInt(Math.round(Math.max(0, totalMs) * 1e6)) };
}
