import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { CancelMode, RequestKind, SubmitSchema } from "#gen/stator/worker/v1/link_pb";
import { writeU32 } from "#lib/base/bytes";
import { createPracticeWorker, practiceToken } from "#lib/conform/practice-worker";
import { systemClock } from "#lib/host/system-clock";
import { openCallerLink } from "#lib/link/caller-link";
import type { RequestListener } from "#lib/link/link";
import { grpcRig } from "./rigs.ts";

/** Each in a message of its own. The long form of the tests makes them 100,000. */
const CANCELS = Math.min(100_000, 10_000 * Number(process.env.TEST_SCALE ?? 1));
const PER_TURN = 50;
const INNOCENT_TOKENS = 400;

const silent: RequestListener = {
  onAccepted() {},
  onTokens() {},
  onText() {},
  onEmbedding() {},
  onFinish() {},
  onLost() {},
};

it(`an innocent stream survives ${CANCELS} cancels on its link over gRPC, and every slot returns`, async () => {
  const worker = createPracticeWorker({
    ...{ instanceId: 1n, incarnation: 1n, model: "m", clock: systemClock, stepMs: 5, maxRequests: 100_000 },
  });
  const rig = await grpcRig()((channel) => void worker.serve(channel));
  const ready = Promise.withResolvers<void>();
  const states: string[] = [];
  const link = openCallerLink(rig.connect(), {
    caller: "test",
    clock: systemClock,
    listener: {
      onState(state) {
        states.push(state);
        ready.resolve();
      },
      ...{ onWelcome() {}, onStep() {}, onNotice() {} },
    },
  });
  await ready.promise;
  const submit = (maxTokens: number) =>
    create(SubmitSchema, {
      ...{ requestId: "r", kind: RequestKind.GENERATE, model: "m", promptTokenIds: writeU32([1, 2]) },
      stopping: { maxTokens },
    });
  const tokens: number[] = [];
  const ended = Promise.withResolvers<string>();
  link.submit(submit(INNOCENT_TOKENS), {
    ...silent,
    onTokens: (ids, start, end) => void tokens.push(...ids.subarray(start, end)),
    onFinish: (finish) => ended.resolve(finish.reason),
    onLost: ended.reject,
  });
  let finished = 0;
  const counted = { ...silent, onFinish: () => void finished++ };
  for (let at = 0; at < CANCELS; at += PER_TURN) {
    const handles = Array.from({ length: PER_TURN }, () => link.submit(submit(10_000), counted));
    await turn();
    for (const handle of handles) {
      link.cancel(handle, at % 100 === 0 ? CancelMode.STOP : CancelMode.KILL);
      await turn();
    }
  }
  expect(await ended.promise).toBe("length");
  expect(tokens).toEqual(
    Array.from({ length: INNOCENT_TOKENS }, (_, at) => practiceToken(Uint32Array.of(1, 2), 0, at)),
  );
  for (let at = 0; at < 1_000 && link.openRequests > 0; at++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(finished).toBe(CANCELS);
  expect(link.openRequests).toBe(0);
  expect(worker.openRequests).toBe(0);
  expect(states).toEqual(["ready"]);
  link.close();
  await rig.close();
}, 120_000);

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
