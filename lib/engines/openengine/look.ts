import { HealthState } from "#gen/openengine/v1/lifecycle_pb";
import type { Control } from "#gen/openengine/v1/openengine_pb";
import type { LoadInfo } from "#gen/openengine/v1/server_pb";
import { asStatorError } from "#lib/base/errors";
import { plainReason } from "#lib/discovery/plain-reason";
import type { Client } from "#lib/rpc/client";
import type { EngineStanding } from "../engine.ts";

/** Where an engine is in its life, as it was found. */
export async function lookAt(
  control: Client<typeof Control>,
  { address, timeoutMs }: { readonly address: string; readonly timeoutMs: number },
): Promise<EngineStanding> {
  try {
    const { state, checks } = await control.health({}, { timeoutMs });
    const message = checks.find((check) => check.state !== HealthState.READY && check.message !== "")?.message ?? "";
    return standingOf(state, message.slice(0, MOST_MESSAGE), address);
  } catch (caught) {
    const error = asStatorError(caught);
    // One that answers is there, also when it knows no health.
    if (error.row.grpc === GRPC_UNIMPLEMENTED) return READY;
    return { state: "away", reason: `The engine at ${address} does not answer: ${plainReason(error.message)}.` };
  }
}

const READY: EngineStanding = { state: "ready", reason: "" };
const MOST_MESSAGE = 500;
const GRPC_UNIMPLEMENTED = 12;

/** A state that is newer than this code says nothing against it. */
function standingOf(state: HealthState, message: string, address: string): EngineStanding {
  const why = message === "" ? "." : `: ${message}`;
  switch (state) {
    case HealthState.DRAINING:
      return { state: "draining", reason: `The engine at ${address} is shutting down${why}` };
    case HealthState.STARTING:
      return { state: "away", reason: `The engine at ${address} is starting${why}` };
    case HealthState.NOT_READY:
      return { state: "away", reason: `The engine at ${address} does not serve${why}` };
    default:
      return READY;
  }
}

/** How busy an engine is, as far as it says it. */
export interface EngineLoad {
  /** Requests in its batch, whoever asked. */
  readonly running: number | undefined;
  /** Requests that wait, whoever asked. */
  readonly queued: number | undefined;
  /** KV blocks in use. */
  readonly usedBlocks: number | undefined;
  /** KV blocks there are. */
  readonly totalBlocks: number | undefined;
  /** Prompt tokens of waiting requests. */
  readonly waitingTokens: number | undefined;
}

/** An engine that says nothing. */
export const NO_LOAD: EngineLoad = {
  running: undefined,
  queued: undefined,
  usedBlocks: undefined,
  totalBlocks: undefined,
  waitingTokens: undefined,
};

/** What an engine said. */
export function readLoad(info: LoadInfo): EngineLoad {
  const count = (value: bigint | undefined) => (value === undefined ? undefined : Number(value));
  return {
    running: info.runningRequests,
    queued: info.queuedRequests,
    usedBlocks: count(info.usedKvBlocks),
    totalBlocks: count(info.totalKvBlocks),
    waitingTokens: count(info.waitingTokens),
  };
}

/** Whether two say the same. */
export function sameLoad(one: EngineLoad, other: EngineLoad): boolean {
  return (Object.keys(one) as (keyof EngineLoad)[]).every((key) => one[key] === other[key]);
}
