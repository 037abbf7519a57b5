import { HealthState } from "#gen/openengine/v1/lifecycle_pb";
import { printId } from "#lib/base/bytes";
import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { asStatorError } from "#lib/base/errors";
import { asPeerSaid } from "#lib/rpc/error-detail";
import type { ByteTransport } from "#lib/rpc/transport";
import type { Check, Found } from "../check.ts";
import { expect, Failure } from "../failure.ts";
import { type Opened, type RunBounds, runChecks } from "../run-checks.ts";
import { ANSWER_CHECKS } from "./answer-checks.ts";
import { DESCRIBE_CHECKS } from "./describe-checks.ts";
import { DRAIN_CHECKS, drain } from "./drain.ts";
import { END_CHECKS } from "./end-checks.ts";
import { type DrainSeen, EngineBench, type EngineBenchParts, type EngineFacts } from "./engine-bench.ts";
import { CODE, EngineCaller, type RunningCall, statusOf, tell } from "./engine-caller.ts";
import { EVENT_CHECKS } from "./event-checks.ts";
import { LOAD_CHECKS } from "./load-checks.ts";
import { LORA_CHECKS } from "./lora-checks.ts";
import { REFUSAL_CHECKS } from "./refusal-checks.ts";
import { SAMPLING_CHECKS } from "./sampling-checks.ts";
import { STOP_CHECKS } from "./stop-checks.ts";

/** The longest answers that are asked for have some ten thousand messages. */
const MOST_MESSAGES = 500_000;
const MOST_KEPT_BYTES = 16 * 1024 * 1024;

/** Asked first, while the engine may still be loading. */
const READY_CHECK = {
  name: "is ready only when it takes requests",
  sentence: "Whether the engine serves.",
  of: "Control.Health",
} as const;

/** Every promise of openengine.v1, in the order in which they are asked. The last ones end the engine. */
export const ENGINE_CHECKS: readonly Check<EngineBench>[] = [
  ...DESCRIBE_CHECKS,
  ...ANSWER_CHECKS,
  ...STOP_CHECKS,
  ...SAMPLING_CHECKS,
  ...REFUSAL_CHECKS,
  ...EVENT_CHECKS,
  ...LORA_CHECKS,
  ...LOAD_CHECKS,
  ...END_CHECKS,
  ...DRAIN_CHECKS,
];

/** What the checks use of the engine under test. */
export interface ConformEngineOptions {
  /** A session of its own to the engine, at each call. The run closes it. */
  readonly connect: () => ByteTransport;
  /** Borrowed; waits and `tookMs` go by it. */
  readonly clock: Clock;
  /** Names requests, so that two runs at once do not meet. */
  readonly chance: Chance;
  /** Served name; the engine's first unless given. */
  readonly model?: string;
  /** Absolute path of an adapter at the engine's host; leaves out what needs one unless given. */
  readonly adapterPath?: string;
  /** Whether equal greedy requests give equal tokens; false leaves out the checks that compare answers. */
  readonly exact?: boolean;
  /** Tells the process to end, as an operator does; leaves out the checks of that unless given. It is done last. */
  readonly tellToEnd?: () => void;
  /** Longest wait for one thing; 10 s unless given. */
  readonly timeoutMs?: number;
  /** Longest wait for an engine that is still loading when the run begins; 60 s unless given. */
  readonly readyMs?: number;
  /** Messages of one call beyond are a flood; 500,000 unless given. */
  readonly mostMessages?: number;
  /** Bytes that an engine may keep for a caller that does not read; 16 MiB unless given. */
  readonly mostKeptBytes?: number;
  /** Of one check and of all; RUN_BOUNDS where they are not given. */
  readonly bounds?: Partial<RunBounds>;
  /** Which checks to run, by name; all unless given. */
  readonly only?: (name: string) => boolean;
  /** Called as each check ends. */
  readonly onFound?: (found: Found) => void;
}

/**
 * Runs every promise of openengine.v1 against an engine, one after the other, each over a session of its own. The engine is
 * to be otherwise idle. Throws UNAVAILABLE when it cannot be reached at all.
 */
export async function conformEngine(options: ConformEngineOptions): Promise<Found[]> {
  const { clock, bounds, only, onFound } = options;
  const run: EngineRun = {
    options,
    names: nameRequests(options.chance),
    facts: undefined,
    sample: undefined,
    drained: undefined,
  };
  const broken = await watchOpening(run);
  const opening: Check<EngineBench> = {
    ...READY_CHECK,
    async run() {
      expect(broken === undefined, broken ?? "");
    },
  };
  return runChecks({
    checks: [opening, ...ENGINE_CHECKS],
    open: () => openBench(run),
    gone: () => whyGone(run),
    ...{ clock, bounds, only, onFound },
  });
}

/** What the checks of one run share. */
interface EngineRun {
  readonly options: ConformEngineOptions;
  readonly names: () => string;
  /** Once it has been asked. */
  facts: EngineFacts | undefined;
  /** Once somebody wanted to see it. */
  sample: Promise<RunningCall> | undefined;
  /** Once somebody wanted to see it. */
  drained: Promise<DrainSeen> | undefined;
}

function nameRequests(chance: Chance): () => string {
  const run = printId(chance.id());
  let next = 0;
  return () => `conform-${run}-${++next}`;
}

function openCaller({ options, names }: EngineRun): { readonly caller: EngineCaller; close(): void } {
  const { clock, timeoutMs = 10_000, mostMessages = MOST_MESSAGES } = options;
  const transport = options.connect();
  const caller = new EngineCaller(transport, { clock, timeoutMs, mostMessages, names });
  return {
    caller,
    close() {
      caller.close();
      transport.close();
    },
  };
}

/**
 * Waits until the engine says that it is ready, and asks it to keep its word at that moment. Why it does not; undefined when
 * it does. Throws UNAVAILABLE when nobody is there.
 */
async function watchOpening(run: EngineRun): Promise<string | undefined> {
  const { caller, close } = openCaller(run);
  const { readyMs = 60_000 } = run.options;
  let state: HealthState = HealthState.UNSPECIFIED;
  try {
    const isReady = await caller.poll(async () => {
      ({ state } = await caller.control.health({}));
      return state === HealthState.READY || state === HealthState.DEGRADED;
    }, readyMs);
    if (!isReady) return `Health told state ${state} for ${readyMs} ms`;
    const bench = new EngineBench(partsOf(run, caller, await askFacts(run, caller)));
    const { status } = await caller.ask(bench.greedy(1));
    return status?.code === CODE.ok ? undefined : `Health says that it is ready, and a request gets ${tell(status)}`;
  } catch (caught) {
    if (caught instanceof Failure) return caught.message;
    const error = asStatorError(caught);
    // What the engine itself says is an answer.
    if (asPeerSaid(error) === undefined) throw error;
    return `${state === HealthState.UNSPECIFIED ? "Health" : "Health says that it is ready, and a call"} gets ${tell(statusOf(error))}`;
  } finally {
    close();
  }
}

/** What the engine says of itself, asked once it can be. */
async function askFacts(run: EngineRun, { control }: EngineCaller): Promise<EngineFacts> {
  if (!run.facts) {
    const server = await control.getServerInfo({});
    const model = await control.getModelInfo({ model: run.options.model ?? server.supportedModels[0] ?? "" });
    run.facts = { server, model };
  }
  return run.facts;
}

function partsOf(run: EngineRun, caller: EngineCaller, facts: EngineFacts): EngineBenchParts {
  const { exact = true, adapterPath, tellToEnd, mostKeptBytes = MOST_KEPT_BYTES } = run.options;
  const drained = tellToEnd && (() => (run.drained ??= drainOnce(run, tellToEnd)));
  const sample = () => (run.sample ??= askSample(run, new EngineBench(parts)));
  const parts: EngineBenchParts = { caller, facts, exact, adapterPath, sample, mostKeptBytes, drained };
  return parts;
}

/** One that fails is asked for again by the next check. */
async function askSample(run: EngineRun, bench: EngineBench): Promise<RunningCall> {
  try {
    return await bench.caller.whole(bench.greedy());
  } catch (error) {
    run.sample = undefined;
    throw error;
  }
}

async function openBench(run: EngineRun): Promise<Opened<EngineBench>> {
  const { caller, close } = openCaller(run);
  try {
    const facts = await askFacts(run, caller);
    return { bench: new EngineBench(partsOf(run, caller, facts)), close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Over a session that outlives the check which asked first. */
async function drainOnce(run: EngineRun, tellToEnd: () => void): Promise<DrainSeen> {
  const { bench, close } = await openBench(run);
  try {
    return await drain(bench, tellToEnd);
  } finally {
    await close();
  }
}

async function whyGone(run: EngineRun): Promise<string | undefined> {
  const { caller, close } = openCaller(run);
  try {
    await caller.control.health({});
    return undefined;
  } catch (caught) {
    const error = asStatorError(caught);
    const isThere = asPeerSaid(error) !== undefined && error.reason !== "DEADLINE";
    // One that was told to end is gone because of it.
    return isThere || run.drained ? undefined : error.message;
  } finally {
    close();
  }
}
