import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { AcceptedSchema, type LinkResponse, LinkResponseSchema, StepSchema } from "#gen/stator/worker/v1/link_pb";
import { StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import type { WorkerChannel } from "#lib/link/link";
import { createMemoryLink } from "#lib/link/memory-channel";
import { conformWorker } from "./conform-worker.ts";
import { createPracticeWorker } from "./practice-worker.ts";
import { RawCaller } from "./raw-caller.ts";

/** A worker that breaks one promise: what it sends is bent on the way. */
function bent(channel: WorkerChannel, bend: (message: LinkResponse) => LinkResponse[]): WorkerChannel {
  return {
    send: (message) => {
      for (const each of bend(message)) channel.send(each);
      return true;
    },
    get bufferedBytes() {
      return channel.bufferedBytes;
    },
    receive: (handlers) => channel.receive(handlers),
    end: (error) => channel.end(error),
  };
}

const BROKEN: readonly (readonly [string, string, (message: LinkResponse) => LinkResponse[]])[] = [
  [
    "repeats Welcome",
    "answers Hello with a complete Welcome",
    (message) => (message.welcome ? [message, message] : [message]),
  ],
  [
    "never answers Ping",
    "answers each Ping",
    (message) => [create(LinkResponseSchema, { ...message, pong: undefined })],
  ],
  [
    "accepts nothing",
    "accepts, delivers in order",
    (message) => [create(LinkResponseSchema, { ...message, accepted: create(AcceptedSchema) })],
  ],
  [
    "ends twice",
    "accepts, delivers in order",
    (message) => (message.step?.finishes.length ? [message, message] : [message]),
  ],
  [
    "loses terminal frames",
    "ends a stopped request",
    (message) => [
      create(LinkResponseSchema, {
        ...message,
        step: message.step && create(StepSchema, { ...message.step, finishes: [] }),
      }),
    ],
  ],
  [
    "counts wrongly",
    "accepts, delivers in order",
    (message) => {
      for (const finish of message.step?.finishes ?? []) finish.completionTokens++;
      return [message];
    },
  ],
];

describe("the conformance suite", () => {
  it.each(BROKEN)("finds a worker that %s", async (_what, check, bend) => {
    const worker = createPracticeWorker({
      ...{ instanceId: 1n, incarnation: 1n, model: "m", clock: systemClock, stepMs: 1, maxRequests: 32 },
    });
    const checks = await conformWorker({
      connect() {
        const wire = createMemoryLink(systemClock);
        worker.serve(bent(wire.worker, bend));
        return wire.caller;
      },
      clock: systemClock,
      timeoutMs: 300,
      only: (name) => name.startsWith(check),
    });
    expect(checks).toMatchObject([{ outcome: "failed" }]);
    expect(checks[0]?.reason).not.toBe("");
  });

  it("cuts off a worker that floods, by a bound", async () => {
    const worker = createPracticeWorker({
      ...{ instanceId: 1n, incarnation: 1n, model: "m", clock: systemClock, stepMs: 1, maxRequests: 32 },
    });
    const wire = createMemoryLink(systemClock);
    worker.serve(bent(wire.worker, (message) => Array(50).fill(message)));
    const caller = new RawCaller(wire.caller, {
      ...{ clock: systemClock, timeoutMs: 1_000, model: undefined, mostMessages: 20 },
    });
    await caller.greet();
    await expect(caller.ask(1, {})).rejects.toThrow("it floods: more than 20 messages came on one link");
    expect(caller.messages.length).toBe(20);
  });

  it("says in one sentence that a worker cannot be reached", async () => {
    const asked = conformWorker({
      connect() {
        const wire = createMemoryLink(systemClock);
        wire.worker.end(new StatorError("UNAVAILABLE", { what: "127.0.0.1:1", detail: "connection refused" }));
        return wire.caller;
      },
      clock: systemClock,
    });
    await expect(asked).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  });
});
