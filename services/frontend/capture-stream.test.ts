import { create } from "@bufbuild/protobuf";
import { afterEach, expect, test } from "vitest";
import { CapturedDecisionSchema, CaptureRequestSchema, CaptureResponseSchema } from "#gen/stator/router/v1/router_pb";
import { readF64, readU64 } from "#lib/base/bytes";
import { COLUMNS } from "#lib/routing/rules/candidates";
import { BLOCK, fleetWorker, promptOf, RoutingRig, routeAskOf } from "../../test/support/routing-rig.ts";
import { streamCapture } from "./capture-stream.ts";

let leave = new AbortController();
afterEach(() => leave.abort());

function open(request: { decisions?: boolean; blockTokens?: number } = {}, limits?: { bytes: number }) {
  leave = new AbortController();
  const exact = fleetWorker(3n, { reuseTokens: 64 });
  const rig = new RoutingRig([fleetWorker(1n, { scope: undefined }), fleetWorker(2n), exact]);
  const { router, clock } = rig;
  const parts = { router, clock, version: "1", ...(limits && { captureLimits: limits }) };
  const answers = streamCapture(create(CaptureRequestSchema, request), leave.signal, parts);
  const next = async () => {
    const { value } = await answers.next();
    return value && create(CaptureResponseSchema, value).content;
  };
  const ask = (prompt: Uint32Array) => {
    const asker = { arrivedMs: rig.clock.nowMs() };
    const { ticket } = rig.place({ ...routeAskOf(prompt, { session: "s" }), asker });
    ticket.note({ kind: "ended", choice: 0, tokens: 9 });
    rig.router.done(asker);
  };
  return { rig, answers, next, ask };
}

test("a capture says how and among whom is chosen, and then what is, in the words of the contract", async () => {
  const { rig, next, ask } = open({ decisions: true });
  const header = await next();
  expect(header).toMatchObject({ case: "header", value: { version: "1", blockTokens: BLOCK, rule: "ttft" } });
  expect(header?.value).toMatchObject({ columns: [...COLUMNS], constants: { temperature: 0, hostWeight: 0.75 } });
  expect(header?.value).not.toHaveProperty("constants.itlTargetMs");
  expect(header?.value).toMatchObject({
    ranks: [
      { worker: 1n, rule: "power-of-two" },
      {
        worker: 2n,
        blockTokens: BLOCK,
        reuseTokens: BLOCK,
        totalBlocks: 1_000n,
        rule: "ttft",
        times: { prefillTokenMs: 1 },
        timedPasses: 0n,
      },
      { worker: 3n, blockTokens: BLOCK, reuseTokens: 64 },
    ],
  });
  rig.clock.advance(5);
  ask(promptOf(1, 3, 2));
  const told = await next();
  expect(told).toMatchObject({
    case: "prompt",
    value: { number: 0n, openFrom: 1n, atMs: 5, promptTokens: 50, rule: "ttft" },
  });
  expect(told?.value).toMatchObject({
    answerTokens: [9],
    session: expect.any(BigInt),
    predicted: { firstTokenMs: 50 },
  });
  const { decision, sequenceHashes } = told!.value as { decision: unknown; sequenceHashes: Uint8Array };
  expect(readU64(sequenceHashes)).toHaveLength(3);
  const { workers, columns, timesOf, times } = create(CapturedDecisionSchema, decision as object);
  expect([readU64(workers).length, readF64(columns).length, timesOf.length]).toEqual([3, 3 * COLUMNS.length, 3]);
  expect(times.length).toBeGreaterThan(0);
});

test("each second it is told how it stands, also while nothing happens, and prompts that are not read are lost", async () => {
  const { rig, next, ask } = open({}, { bytes: 2 * 560 });
  await next();
  const state = next();
  rig.clock.advance(1_000);
  expect(await state).toMatchObject({ case: "state", value: { open: 0n, lost: 0n } });
  for (const kind of [1, 2, 3, 4, 5]) ask(promptOf(kind, 2));
  rig.clock.advance(1_000);
  expect(await next()).toMatchObject({ case: "state", value: { open: 2n, lost: 3n, leftOut: 0n } });
  expect([await next(), await next()]).toMatchObject([{ case: "prompt" }, { value: { number: 1n } }]);
  ask(promptOf(6, 2));
  expect(await next()).toMatchObject({ value: { number: 2n } });
});

test("it ends when its reader leaves, whether or not it waits for something", async () => {
  const { rig, answers, next } = open();
  await next();
  const waiting = answers.next();
  leave.abort();
  expect(await waiting).toEqual({ value: undefined, done: true });
  const more = { decisions: false, blockTokens: BLOCK };
  expect([1, 2, 3, 4].map(() => rig.router.capture(more).open)).toEqual([0, 0, 0, 0]);
});

test("blocks that cannot be are refused, and others are as they were asked for", async () => {
  await expect(open({ blockTokens: 65_537 }).next()).rejects.toMatchObject({ reason: "INVALID_ARGUMENT" });
  expect(await open({ blockTokens: 512 }).next()).toMatchObject({ value: { blockTokens: 512 } });
});
