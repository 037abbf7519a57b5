import { expect, it } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { RehearsalWatch, rehearsalRecords } from "../../test/support/rehearsal/open.ts";
import { ModelView } from "./model-view.ts";

function rig(startMs?: number) {
  const clock = new FakeClock();
  const watch = new RehearsalWatch();
  const view = new ModelView({ watch, clock, startMs });
  let calls = 0;
  const end = view.subscribe(() => void calls++);
  return { clock, watch, view, end, calls: () => calls };
}

it("tells everybody of each change, once it has been read", () => {
  const { watch, view, end, calls } = rig();
  expect(calls()).toBe(1);
  watch.put(...rehearsalRecords("m"));
  expect([calls(), view.known("m").ready.size, view.ready("m").name]).toEqual([2, 1, "m"]);
  end();
  watch.put(...rehearsalRecords("m"));
  expect(calls()).toBe(2);
});

it("expects the first worker for a while, and says when it does not any more", () => {
  const { clock, view, calls } = rig(100);
  clock.advance(99);
  expect(() => view.known("m")).toThrow(/is loading/);
  clock.advance(1);
  expect(calls()).toBe(2);
  expect(() => view.known("m")).toThrow(/does not exist/);
});

it("expects nobody else once a worker is there", () => {
  const { clock, watch, view } = rig(100);
  watch.put(...rehearsalRecords("m"));
  expect(() => view.known("other")).toThrow(/does not exist/);
  expect(clock.pending).toBe(0);
});

it("tells nothing more when it is closed", () => {
  const { clock, watch, view, calls } = rig(100);
  view.close();
  watch.put(...rehearsalRecords("m"));
  expect([calls(), clock.pending, view.models.names.size]).toEqual([1, 0, 0]);
});
