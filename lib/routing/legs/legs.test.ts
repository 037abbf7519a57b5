import { describe, expect, it } from "vitest";
import {
  errorOf,
  fleetWorker,
  promptOf,
  RoutingRig,
  type RoutingRigOptions,
  routeAskOf,
} from "../../../test/support/routing-rig.ts";
import type { FleetWorker } from "../fleet.ts";
import type { RouteAnswer } from "../router.ts";
import type { Disaggregation } from "./disaggregation.ts";

const KV = { tokenBytes: 1_000, format: "f" };
const prefill = (worker: bigint, more: Partial<FleetWorker> = {}) =>
  fleetWorker(worker, { role: "prefill", kv: KV, ...more });
/** An answer more makes each token of the others later. */
const decode = (worker: bigint, more: Partial<FleetWorker> = {}) =>
  fleetWorker(worker, { role: "decode", kv: KV, times: { decodeSequenceMs: 0.1 }, ...more });

function rigOf(workers: readonly FleetWorker[], split: Partial<Disaggregation> = {}, more: RoutingRigOptions = {}) {
  return new RoutingRig(workers, { split: { bypass: "none", ...split }, ...more });
}

/** `leg worker: choices` of each place, with the worker ahead of it; or the sentence of the error. */
function shown(answer: RouteAnswer): string[] {
  if (answer.kind === "unplaced") return [answer.error.message];
  return answer.places.map(({ leg = "whole", target, choices, ahead }) => {
    const second = ahead ? ` ahead ${ahead.target.worker}` : "";
    return `${leg} ${target.worker}${second}: ${choices.join(" ")}`;
  });
}

describe("an answer with two legs", () => {
  it("has its prompt where prompts are computed, and goes on where answers are made", () => {
    const rig = rigOf([prefill(1n), decode(2n), decode(3n)]);
    const prompt = promptOf(1, 8);
    const first = rig.place(routeAskOf(prompt, { choices: [0, 1], choicesPerPrompt: 2 }));
    expect(shown(first.answer)).toEqual(["prefill 1: 0 1"]);
    // One answer runs at the second: the other one is less busy.
    const busy = rig.place(routeAskOf(promptOf(2, 8), { stage: "hand-off", prefilledBy: 1n }));
    busy.ticket.note({ kind: "first token", choice: 0 });
    const [taken] = busy.answer.kind === "placed" ? busy.answer.places : [];
    const next = rig.place(routeAskOf(prompt, { stage: "hand-off", prefilledBy: 1n }));
    expect(shown(next.answer)).toEqual([`decode ${taken?.target.worker === 2n ? 3n : 2n}: 0`]);
    expect(rig.router.openChoices).toBe(4);
    for (const { ticket } of [first, busy, next]) ticket.cancel();
    expect([rig.router.openChoices, rig.router.openReservations]).toEqual([0, 0]);
  });

  it("is made whole where nobody computes prompts alone, and of asks for anything else", () => {
    expect(shown(rigOf([decode(1n)]).place(routeAskOf(promptOf(1, 4))).answer)).toEqual(["whole 1: 0"]);
    const rig = rigOf([prefill(1n), decode(2n)]);
    for (const kind of ["embed", "score", "encode"] as const) {
      expect(shown(rig.place(routeAskOf(promptOf(1, 4), { kind })).answer)).toEqual(["whole 2: 0"]);
    }
    expect(shown(rig.place(routeAskOf(new Uint32Array(0), { texts: ["a"] })).answer)).toEqual(["whole 2: 0"]);
    // Of less than a block nothing could be handed over.
    expect(shown(rig.place(routeAskOf(promptOf(1, 0, 15))).answer)).toEqual(["whole 2: 0"]);
  });

  it("is refused by the role that is missing, where prompts are never to be computed with answers", () => {
    const refusal = (role: string) => `No worker with the role ${role} can take a request for m now.`;
    const rig = rigOf([prefill(1n), decode(2n)], { enforce: true });
    expect(shown(rig.place(routeAskOf(promptOf(1, 0, 15))).answer)).toEqual(["prefill 1: 0"]);
    rig.unable.add(1n);
    const { answer } = rig.place(routeAskOf(promptOf(1, 4)));
    expect([shown(answer), errorOf(answer).row.http]).toEqual([[refusal("prefill")], 503]);
    expect(shown(rig.place(routeAskOf(promptOf(1, 4), { kind: "score" })).answer)).toEqual(["whole 2: 0"]);
  });

  it("goes past a worker for prompts that may not take work, and back to it when it may", () => {
    const rig = rigOf([prefill(1n), decode(2n)]);
    const placed = (avoid: bigint[] = []) =>
      shown(rig.place(routeAskOf(promptOf(1, 4), { avoid: new Set(avoid) })).answer);
    expect([placed(), placed([1n])]).toEqual([["prefill 1: 0"], ["whole 2: 0"]]);
    rig.unable.add(1n);
    expect(placed()).toEqual(["whole 2: 0"]);
    rig.unable.delete(1n);
    expect(placed()).toEqual(["prefill 1: 0"]);
    rig.pass(1n, { pinnedBlocks: 500, totalBlocks: 1_000 });
    expect(placed()).toEqual(["whole 2: 0"]);
    rig.pass(1n, { pinnedBlocks: 499, totalBlocks: 1_000 });
    expect(placed()).toEqual(["prefill 1: 0"]);
    // What it said once does not count for ever: it may have nothing more to say.
    rig.pass(1n, { pinnedBlocks: 500, totalBlocks: 1_000 });
    rig.clock.advance(2_010);
    expect(placed()).toEqual(["prefill 1: 0"]);
  });

  it("is never split between workers whose blocks differ", () => {
    const other = { tokenBytes: 1_000, format: "g" };
    const placed = (...workers: FleetWorker[]) => shown(rigOf(workers).place(routeAskOf(promptOf(1, 4))).answer);
    expect(placed(prefill(1n, { kv: other }), decode(2n))).toEqual(["whole 2: 0"]);
    expect(placed(prefill(1n, { weights: "v" }), decode(2n))).toEqual(["whole 2: 0"]);
    expect(placed(prefill(1n, { kv: other }), prefill(3n), decode(2n))).toEqual(["prefill 3: 0"]);
    const rig = rigOf([prefill(1n), decode(2n, { kv: other }), decode(3n)]);
    rig.place(routeAskOf(promptOf(2, 8), { target: { worker: 3n, rank: undefined } }));
    const { answer } = rig.place(routeAskOf(promptOf(1, 4), { stage: "hand-off", prefilledBy: 1n }));
    expect(shown(answer), "though it is busier").toEqual(["decode 3: 0"]);
  });
});
