import { expect, it } from "vitest";
import { conformWorker } from "#lib/conform/conform-worker";
import type { Engine } from "#lib/engines/engine";
import { openMock } from "#lib/engines/mock/mock-engine";
import { silentLog as log } from "#lib/host/log";
import { systemClock as clock } from "#lib/host/system-clock";
import { noTracer as tracer } from "#lib/host/telemetry";
import { createMemoryLink } from "#lib/link/memory-channel";
import { DEMO_MODEL } from "../../test/support/engine-driver.ts";
import { LateEngine, NOTHING_KNOWN } from "../../test/support/late-engine.ts";
import { createBoard } from "./board.ts";
import { openLinkEnd } from "./link-end.ts";

/** Runs every check of a worker against links to an engine. */
async function conform(engine: Engine) {
  const nobody = { onFailure() {}, onMetrics() {}, onIdle() {}, onKv() {} };
  const board = createBoard(engine, nobody, { log, tracer });
  const { card } = engine;
  const names = { model: card.model, hasAdapter: () => false };
  const deps = {
    ...{ clock, log, cancel: board.cancel.bind(board) },
    serving: () => ({ engine, board, names }),
    introduce: () => ({
      ...{ instanceId: 1n, incarnation: 2n, models: [card.model], ranks: 1, features: [], draining: false },
      maxRunningRequests: card.maxRunningRequests ?? 0,
      maxWaitingRequests: card.maxWaitingRequests ?? 0,
      totalKvBlocks: BigInt(card.totalBlocks ?? 0),
    }),
  };
  const connect = () => {
    const wire = createMemoryLink(clock);
    openLinkEnd(deps, wire.worker, () => {});
    return wire.caller;
  };
  const checks = await conformWorker({ connect, clock, promptTokens: Uint32Array.of(40, 41, 42, 43, 44) });
  await engine.close();
  expect(board.open, "nothing stays open").toBe(0);
  return { board, checks };
}

const timing = { kind: "linear", stepMs: 0.1, prefillTokenMs: 0, decodeSequenceMs: 0 } as const;

it("an engine that answers later and knows nothing of its size is a worker like any other", {
  timeout: 60_000,
}, async () => {
  const mock = await openMock({ modelPath: DEMO_MODEL, clock, log, timing });
  const { board, checks } = await conform(new LateEngine(mock, NOTHING_KNOWN));
  expect(checks.filter(({ outcome }) => outcome === "failed")).toEqual([]);
  const skipped = checks.flatMap(({ outcome, reason }) => (outcome === "unseen" ? [reason] : []));
  expect(skipped).toContain("nobody knows how many places it has");
  expect(board.ended.failed).toBe(0);
});
