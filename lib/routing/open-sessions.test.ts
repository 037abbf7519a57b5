import { expect, test } from "vitest";
import { fleetWorker, promptOf, RoutingRig, routeAskOf } from "../../test/support/routing-rig.ts";
import { SessionTable } from "./affinity.ts";

const HOME = { worker: 1n, incarnation: 1n, rank: 0 };

test("requests of sessions are open until they end, and those of a forgotten session are not", () => {
  const sessions = new SessionTable({ sessions: 2, ttlMs: 100 });
  sessions.begin(1n, HOME, 0);
  sessions.begin(1n, HOME, 0);
  sessions.begin(2n, HOME, 0);
  expect(sessions.open).toBe(3);
  sessions.end(1n, 5);
  sessions.end(9n, 5);
  expect(sessions.open).toBe(2);
  sessions.begin(3n, HOME, 5);
  expect(sessions).toMatchObject({ forgotten: 1, open: 2 });
  for (let session = 1n; session <= 3n; session++) sessions.end(session, 6);
  expect(sessions.open).toBe(0);
  for (let session = 1n; session <= 3n; session++) sessions.end(session, 7);
  expect(sessions.open).toBe(0);
});

test("what began after its session was forgotten is open until it ends, whatever ended before", () => {
  const sessions = new SessionTable({ sessions: 1, ttlMs: 100 });
  sessions.begin(1n, HOME, 0);
  sessions.begin(2n, HOME, 0);
  sessions.begin(1n, HOME, 0);
  expect(sessions).toMatchObject({ forgotten: 2, open: 1 });
  sessions.end(1n, 1);
  sessions.end(1n, 2);
  expect(sessions.open).toBe(0);
});

test("a router's requests of sessions end with their choices, however those end", () => {
  const rig = new RoutingRig([fleetWorker(1n), fleetWorker(2n)]);
  const { router } = rig;
  const place = (session: string | undefined) =>
    rig.place(routeAskOf(promptOf(1, 2), { session, choices: [0, 1], choicesPerPrompt: 2 }));
  const first = place("s");
  place(undefined);
  expect(router.openSessionRequests).toBe(2);
  first.ticket.note({ kind: "ended", choice: 0 });
  expect(router.openSessionRequests).toBe(1);
  router.follow(new Map());
  first.ticket.cancel();
  expect(router.openSessionRequests).toBe(0);
});
