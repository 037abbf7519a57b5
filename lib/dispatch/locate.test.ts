import { expect, it } from "vitest";
import { WorkerRole } from "#gen/stator/discovery/v1/discovery_pb";
import { FakeClock } from "#lib/base/clock";
import { ModelView } from "#lib/discovery/model-view";
import type { Leg, RouteAsk } from "#lib/routing/router";
import { REHEARSAL_TOKENIZER, RehearsalWatch, rehearsalRecords } from "../../test/support/rehearsal/open.ts";
import { promptOf, routeAskOf } from "../../test/support/routing-rig.ts";
import { createLocate } from "./locate.ts";
import type { Seat } from "./seat.ts";

/** Workers by id with their roles; all are ready, and reached, but those that a test takes away. */
function rigOf(roles: Readonly<Record<string, WorkerRole>>) {
  const clock = new FakeClock();
  const watch = new RehearsalWatch();
  for (const [id, workerRole] of Object.entries(roles)) {
    for (const record of rehearsalRecords("m", { id: BigInt(id) })) {
      if (record.value.case === "instance") record.value.value.workerRole = workerRole;
      watch.put(record);
    }
  }
  const away = new Set<bigint>();
  const waits: string[] = [];
  const locate = createLocate({
    view: new ModelView({ watch, clock }),
    seat: (worker) =>
      ({ phase: away.has(worker) ? "lost" : "ready", expectedMs: 0, carries: () => true }) as Partial<Seat> as Seat,
    clock,
    mayWait: () => waits.push("asked") > 0,
    isDraining: () => false,
  });
  const found = (leg?: Leg, more: Partial<RouteAsk> = {}) => {
    const able = locate(routeAskOf(promptOf(1, 1), { tokenizer: REHEARSAL_TOKENIZER, ...more }), leg);
    if (!("kind" in able)) return [...able.keys()];
    return [able.error.message, able.error.row.http, able.final];
  };
  return { found, away, clock, waits };
}

const missing = (role: string) => `No worker with the role ${role} can take a request for m now.`;
const { PREFILL, DECODE, AGGREGATED } = WorkerRole;

it("gives each leg to those that take it: a worker of prompts never a whole answer", () => {
  const { found } = rigOf({ 1: PREFILL, 2: DECODE, 3: AGGREGATED, 4: PREFILL });
  expect([found(), found("whole"), found("decode"), found("prefill")]).toEqual([
    [2n, 3n],
    [2n, 3n],
    [2n, 3n],
    [1n, 4n],
  ]);
  const target = { worker: 4n, rank: undefined };
  expect(found("prefill", { target })).toEqual([4n]);
  expect(found("whole", { target })[0]).toMatch(/0000000000000004/);
  expect(found("prefill", { avoid: new Set([1n]) })).toEqual([4n]);
});

it("names the role that is missing", () => {
  const alone = rigOf({ 1: PREFILL });
  expect(alone.found()).toEqual([missing("decode"), 503, true]);
  const whole = rigOf({ 2: DECODE });
  expect(whole.found("prefill")).toEqual([missing("prefill"), 503, true]);
  const both = rigOf({ 1: PREFILL, 2: DECODE });
  both.clock.advance(60_000);
  both.away.add(1n).add(2n);
  expect([both.found(), both.found("prefill")]).toEqual([
    [missing("decode"), 503, true],
    [missing("prefill"), 503, true],
  ]);
});

it("waits for a worker of the leg that was here a moment ago, and for no other", () => {
  const { found, away, waits } = rigOf({ 1: PREFILL, 2: DECODE });
  away.add(1n);
  expect(found("prefill")).toEqual([missing("prefill"), 503, false]);
  expect(found("prefill", { isNew: false })).toEqual([missing("prefill"), 503, false]);
  expect(waits).toHaveLength(1);
  const alone = rigOf({ 1: PREFILL });
  expect(alone.found()[2]).toBe(true);
  expect(alone.waits).toEqual([]);
});
