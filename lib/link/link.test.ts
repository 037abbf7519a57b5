import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";
import {
  CancelMode,
  FinishReason,
  FinishSchema,
  GuidanceForm,
  GuidanceSchema,
  type LinkRequest,
  RequestKind,
  StepSchema,
  type Submit,
  SubmitSchema,
} from "#gen/stator/worker/v1/link_pb";
import { readU32, writeU32 } from "#lib/base/bytes";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { openCallerLink } from "./caller-link.ts";
import type { LinkLimits } from "./limits.ts";
import type { CallerLink, RequestListener, WorkerLink } from "./link.ts";
import { createMemoryLink, type MemoryLink } from "./memory-channel.ts";
import { openWorkerLink } from "./worker-link.ts";

function submitOf(promptTokens: number[], more: MessageInitShape<typeof SubmitSchema> = {}): Submit {
  return create(SubmitSchema, {
    requestId: "r",
    kind: RequestKind.GENERATE,
    model: "m",
    promptTokenIds: writeU32(promptTokens),
    ...more,
  });
}

class Told implements RequestListener {
  readonly said: string[] = [];
  readonly tokens: number[] = [];
  onAccepted(cached: number, ahead: number) {
    this.said.push(`accepted ${cached} ${ahead}`);
  }
  onTokens(tokens: Uint32Array, start: number, end: number) {
    this.tokens.push(...tokens.subarray(start, end));
  }
  onText(text: string) {
    this.said.push(`text ${text}`);
  }
  onEmbedding(values: Float32Array) {
    this.said.push(`embedding ${values.length}`);
  }
  onFinish(finish: { reason: string; error: StatorError | undefined }) {
    this.said.push(`finish ${finish.error?.reason ?? finish.reason}`);
  }
  onLost(error: StatorError, accepted: boolean) {
    this.said.push(`lost ${error.reason} ${accepted}`);
  }
}

class Pair {
  readonly clock = new FakeClock();
  readonly wire: MemoryLink;
  readonly caller: CallerLink;
  readonly worker: WorkerLink;
  readonly states: string[] = [];
  readonly submits: Submit[] = [];
  readonly cancels: { handles: number[]; mode: CancelMode }[] = [];
  ended: (StatorError | undefined)[] = [];
  take: (submit: Submit) => { cachedTokens: number; queuedAhead: number } = () => ({ cachedTokens: 0, queuedAhead: 0 });

  constructor(
    limits: Partial<LinkLimits> = {},
    expected: { incarnation?: bigint } = {},
    features: readonly string[] = [],
  ) {
    this.wire = createMemoryLink(this.clock);
    const shared = { clock: this.clock, limits };
    this.worker = openWorkerLink(this.wire.worker, {
      ...shared,
      sink: {
        onSubmit: (submit) => {
          this.submits.push(submit);
          return this.take(submit);
        },
        onCancel: (handles, mode) => void this.cancels.push({ handles: [...handles], mode }),
        onEnd: (error) => void this.ended.push(error),
      },
      introduce: () => ({
        instanceId: 1n,
        incarnation: 7n,
        models: ["m"],
        maxRunningRequests: 4,
        maxWaitingRequests: 4,
        totalKvBlocks: 64n,
        ranks: 1,
        features: [...features],
        draining: false,
      }),
    });
    this.caller = openCallerLink(this.wire.caller, {
      ...shared,
      ...expected,
      caller: "test/1",
      features,
      listener: {
        onState: (state, reason) => void this.states.push(reason ? `${state} ${reason.reason}` : state),
        onWelcome: () => {},
        onStep: () => {},
        onNotice: () => {},
      },
    });
    this.clock.settle();
  }

  step(more: { entries?: [number, number][]; ends?: number[] }): void {
    const { entries = [], ends = [] } = more;
    this.worker.step(
      create(StepSchema, {
        durationUs: 1000,
        handles: writeU32(entries.map(([handle]) => handle)),
        tokens: writeU32(entries.map(([, token]) => token)),
        finishes: ends.map((handle) => create(FinishSchema, { handle, reason: FinishReason.END })),
      }),
    );
  }
}

describe("a link", () => {
  let pair: Pair;
  beforeEach(() => {
    pair = new Pair();
  });

  it("welcomes, accepts, delivers in order and ends each handle once", () => {
    expect(pair.states).toEqual(["ready"]);
    expect(pair.worker.caller).toBe("test/1");
    const [a, b] = [new Told(), new Told()];
    const first = pair.caller.submit(submitOf([1, 2, 3]), a);
    const second = pair.caller.submit(submitOf([4]), b);
    pair.clock.settle();
    expect(pair.submits.map((submit) => [...readU32(submit.promptTokenIds)])).toEqual([[1, 2, 3], [4]]);
    pair.step({ entries: [[first, 10], [second, 20]] }); // biome-ignore format: one line a step
    pair.step({ entries: [[first, 11]], ends: [first] });
    pair.clock.settle();
    pair.step({ entries: [[second, 21], [second, 22]], ends: [second] }); // biome-ignore format: one line a step
    pair.clock.settle();
    expect(a.tokens).toEqual([10, 11]);
    expect(b.tokens).toEqual([20, 21, 22]);
    expect(a.said).toEqual(["accepted 0 0", "finish end"]);
    expect(b.said).toEqual(["accepted 0 0", "finish end"]);
    expect(pair.caller.openRequests).toBe(0);
    expect(pair.worker.openRequests).toBe(0);
  });

  it("sends a turn's first cancel at once with the submits that wait, and its other cancels in one message at the turn's end", () => {
    const sent: LinkRequest[] = [];
    const { send } = pair.wire.caller;
    pair.wire.caller.send = function (message) {
      sent.push(message);
      return send.call(this, message);
    };
    const handles = [1, 2, 3].map((token) => pair.caller.submit(submitOf([token]), new Told()));
    expect(sent).toHaveLength(0);
    for (const handle of handles) pair.caller.cancel(handle, CancelMode.STOP);
    expect(sent.map(({ submits }) => submits.length)).toEqual([3]);
    pair.clock.settle();
    expect(sent.map(({ cancels }) => cancels.length)).toEqual([1, 1]);
    expect(pair.cancels.flatMap(({ handles: named }) => named)).toEqual(handles);
    // The next turn's first cancel leaves at once again.
    pair.caller.cancel(handles[0] as number, CancelMode.KILL);
    expect(sent).toHaveLength(3);
  });

  it("ends refused requests with a terminal frame, not accepted", () => {
    pair.take = () => {
      throw new StatorError("OVERLOADED", { what: "m" });
    };
    const told = new Told();
    pair.caller.submit(submitOf([1]), told);
    pair.clock.settle();
    expect(told.said).toEqual(["finish OVERLOADED"]);
    expect(pair.worker.openRequests).toBe(0);
  });

  it("splits a long prompt and puts it together again", () => {
    const prompt = Array.from({ length: 300_000 }, (_, at) => at);
    pair.caller.submit(submitOf(prompt), new Told());
    pair.caller.submit(submitOf([], { promptText: "né😀".repeat(60_000) }), new Told());
    pair.clock.settle();
    expect([...readU32(pair.submits[0]?.promptTokenIds ?? new Uint8Array())]).toEqual(prompt);
    expect(pair.submits[1]?.promptText).toBe("né😀".repeat(60_000));
  });

  it("splits an answer of hundreds of thousands of tokens and a long form, and puts them together again", () => {
    const long = new Pair({}, {}, ["parts"]);
    const generatedTokenIds = writeU32(Array.from({ length: 300_000 }, (_, at) => at));
    const text = Buffer.from("né😀".repeat(60_000));
    const guidance = create(GuidanceSchema, { form: GuidanceForm.GRAMMAR, text });
    long.caller.submit(submitOf([1, 2], { generatedTokenIds, guidance, promptText: "a" }), new Told());
    long.clock.settle();
    const [submit] = long.submits;
    expect([...readU32(submit?.promptTokenIds ?? new Uint8Array())]).toEqual([1, 2]);
    expect(submit).toMatchObject({ promptText: "a", moreInput: false, guidance: { form: GuidanceForm.GRAMMAR } });
    expect(Buffer.compare(submit?.generatedTokenIds ?? new Uint8Array(), generatedTokenIds)).toBe(0);
    expect(Buffer.compare(submit?.guidance?.text ?? new Uint8Array(), text)).toBe(0);
  });

  it("refuses a request whose fixed part is longer than a message, and what a worker of an older build cannot take", () => {
    const cacheSalt = "x".repeat(300 * 1024);
    expect(() => pair.caller.submit(submitOf([1], { cacheSalt }), new Told())).toThrow(/takes more than 262144 bytes/);
    const generatedTokenIds = new Uint8Array(300 * 1024);
    expect(() => pair.caller.submit(submitOf([1], { generatedTokenIds }), new Told())).toThrow(/older build/);
    expect(pair.caller.openRequests).toBe(0);
  });

  it("merges steps while the caller does not read, and loses nothing", () => {
    const told = new Told();
    const handle = pair.caller.submit(submitOf([1]), told);
    pair.clock.settle();
    pair.wire.freeze("caller");
    for (let token = 0; token < 40_000; token++) {
      pair.step({ entries: Array.from({ length: 4 }, () => [handle, token] as [number, number]) });
      pair.clock.turn();
    }
    pair.step({ ends: [handle] });
    expect(pair.worker.counters.steps).toBe(40_001);
    pair.wire.thaw("caller");
    pair.clock.advance(200);
    expect(told.tokens.length).toBe(160_000);
    expect(told.tokens.every((token, at) => token === at >> 2)).toBe(true);
    expect(told.said).toEqual(["accepted 0 0", "finish end"]);
    expect(pair.worker.counters.mergedSteps).toBeGreaterThan(20_000);
    expect(pair.caller.counters.mergedSteps).toBe(pair.worker.counters.mergedSteps);
  });

  it("tells lost requests whether they were accepted, and ends both sides", () => {
    const [a, b] = [new Told(), new Told()];
    pair.caller.submit(submitOf([1]), a);
    pair.clock.settle();
    pair.wire.freeze("worker");
    pair.caller.submit(submitOf([2]), b);
    pair.clock.settle();
    pair.wire.cut();
    pair.clock.settle();
    expect(a.said).toEqual(["accepted 0 0", "lost STREAM_LOST true"]);
    expect(b.said).toEqual(["lost STREAM_LOST false"]);
    expect(pair.states).toEqual(["ready", "closed UNAVAILABLE"]);
    expect(pair.ended.map((error) => error?.reason)).toEqual(["UNAVAILABLE"]);
    expect(pair.clock.pending).toBe(0);
  });

  it("refuses another incarnation", () => {
    const other = new Pair({}, { incarnation: 8n });
    expect(other.states).toEqual(["closed CONTRACT_MISMATCH"]);
    expect(other.ended).toHaveLength(1);
  });

  it("drops and counts frames of an abandoned request, and forgets it at its Finish", () => {
    const told = new Told();
    const handle = pair.caller.submit(submitOf([1]), told);
    pair.clock.settle();
    pair.caller.abandon(handle);
    expect(pair.caller.openRequests).toBe(0);
    pair.clock.settle();
    expect(pair.cancels).toEqual([{ handles: [handle], mode: CancelMode.KILL }]);
    pair.step({ entries: [[handle, 5]] });
    pair.step({ ends: [handle] });
    pair.clock.settle();
    expect(told.said).toEqual(["accepted 0 0"]);
    expect(pair.caller.counters.droppedFrames).toBe(2);
  });

  it("suspects a worker that does not answer, and trusts it again when it does", () => {
    pair.wire.freeze("worker");
    pair.clock.advance(2_500);
    expect(pair.states).toEqual(["ready", "suspect WORKER_STALLED"]);
    pair.wire.thaw("worker");
    pair.clock.advance(500);
    expect(pair.states).toEqual(["ready", "suspect WORKER_STALLED", "ready"]);
  });

  it("suspects a worker whose engine stands still though its event loop answers", () => {
    const told = new Told();
    const handle = pair.caller.submit(submitOf([1]), told);
    pair.clock.settle();
    pair.step({ entries: [[handle, 1]] });
    pair.clock.advance(4_800);
    expect(pair.states).toEqual(["ready"]);
    pair.clock.advance(600);
    expect(pair.states).toEqual(["ready", "suspect WORKER_STALLED"]);
    pair.caller.abandon(handle);
    pair.clock.advance(300);
    expect(pair.states.at(-1)).toBe("ready");
  });

  it("takes nothing new while draining, and finishes what it has", () => {
    const told = new Told();
    const handle = pair.caller.submit(submitOf([1]), told);
    pair.clock.settle();
    pair.worker.notice({ draining: true, modelsChanged: false, models: [] });
    const late = new Told();
    pair.caller.submit(submitOf([2]), late);
    pair.clock.settle();
    expect(late.said).toEqual(["finish DRAINING"]);
    expect(() => pair.caller.submit(submitOf([2]), late)).toThrow(/shutting down/);
    pair.step({ ends: [handle] });
    pair.clock.settle();
    expect(told.said).toEqual(["accepted 0 0", "finish end"]);
    expect(pair.states).toEqual(["ready", "draining"]);
  });

  it("measures a ping, and rejects it when the link ends", async () => {
    const answered = pair.caller.ping();
    pair.clock.settle();
    expect(await answered).toBe(0);
    pair.wire.freeze("worker");
    const never = pair.caller.ping();
    pair.caller.close();
    await expect(never).rejects.toMatchObject({ reason: "STREAM_LOST" });
  });

  it("closes in order: the worker kills what was open", () => {
    const told = new Told();
    pair.caller.submit(submitOf([1]), told);
    pair.clock.settle();
    pair.caller.close();
    pair.clock.settle();
    expect(told.said).toEqual(["accepted 0 0", "lost STREAM_LOST true"]);
    expect(pair.ended).toEqual([undefined]);
    expect(pair.clock.pending).toBe(0);
  });

  it("lets a listener abandon another request from inside a delivery", () => {
    const late = new Told();
    const early = new (class extends Told {
      override onTokens(): void {
        pair.caller.abandon(second);
      }
    })();
    const first = pair.caller.submit(submitOf([1]), early);
    const second: number = pair.caller.submit(submitOf([2]), late);
    pair.clock.settle();
    pair.step({ entries: [[first, 1], [second, 2]], ends: [second] }); // biome-ignore format: one line a step
    pair.clock.settle();
    expect(late.said).toEqual(["accepted 0 0"]);
    expect(late.tokens).toEqual([]);
  });
});
