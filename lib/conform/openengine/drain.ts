import { ErrorCode } from "#gen/openengine/v1/error_pb";
import { HealthState } from "#gen/openengine/v1/lifecycle_pb";
import type { Check } from "../check.ts";
import { claimed, expect, seen } from "../failure.ts";
import type { DrainSeen, EngineBench } from "./engine-bench.ts";
import { CODE, type RunningCall, tell } from "./engine-caller.ts";

/** Tokens of the answer that runs while the engine is told: long enough to be asked beside it. */
const RUNNING_TOKENS = 100;

/** Tells an engine to end while it has a request, and asks it things until that is over. */
export async function drain(bench: EngineBench, tellIt: () => void): Promise<DrainSeen> {
  const { caller } = bench;
  const { maxOutputTokens = RUNNING_TOKENS } = bench.facts.model;
  const running = await caller.start(bench.greedy(Math.min(RUNNING_TOKENS, maxOutputTokens))).begun();
  tellIt();
  const states: HealthState[] = [];
  const later: RunningCall[] = [];
  await caller.poll(async () => {
    const state = await caller.control.health({}).then(
      (health) => health.state,
      () => undefined,
    );
    if (state !== undefined && state !== states.at(-1)) states.push(state);
    // Between the word and its effect there is a moment in which a request is still taken, and rightly.
    if (state === HealthState.DRAINING) later.push(await caller.ask(bench.greedy(1)));
    return running.status !== undefined || state === undefined;
  });
  await running.over();
  return { states, running, later };
}

/** The end of an engine, which comes last: only whoever can tell it to end can ask for these. */
export const DRAIN_CHECKS: readonly Check<EngineBench>[] = [
  {
    name: "says that it drains while it finishes what it has",
    sentence: "Finishes what it has and takes nothing new.",
    of: "HEALTH_STATE_DRAINING",
    async run(bench) {
      const { states } = await drainOf(bench);
      const heard = states.filter((state) => state !== HealthState.READY);
      seen(states.length > 0, "it was over before it could be asked");
      expect(heard.includes(HealthState.DRAINING), `Health told the states ${states.join(", ") || "none"} meanwhile`);
    },
  },
  {
    name: "takes nothing new while it drains",
    sentence: "The engine takes no new work because it is shutting down.",
    of: "ERROR_CODE_DRAINING",
    async run(bench) {
      const { later } = await drainOf(bench);
      seen(later.length > 0, "it never said that it drains");
      for (const { status, messages } of later) {
        const error = messages.find(({ event }) => event.case === "error")?.event;
        const isRefused =
          status?.code !== CODE.ok || (error?.case === "error" && error.value.code === ErrorCode.DRAINING);
        expect(isRefused, "a request that came while it drained was answered");
      }
    },
  },
  {
    name: "answers to the end what it had when it was told to drain",
    sentence: "Finishes what it has and takes nothing new.",
    of: "HEALTH_STATE_DRAINING",
    async run(bench) {
      const { running } = await drainOf(bench);
      expect(running.status?.code === CODE.ok, `the request that ran ended with ${tell(running.status)}`);
      const ended = running.messages.at(-1)?.event.case;
      expect(ended === "finished" || ended === "error", `its last message is ${ended ?? "none"}`);
    },
  },
];

async function drainOf({ drained }: EngineBench): Promise<DrainSeen> {
  claimed(drained, "nobody said how it is told to end (--pid)");
  return drained();
}
