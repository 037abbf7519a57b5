import { afterEach, describe, expect, it } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { CallContext } from "#lib/rpc/call";
import { noMetadata } from "#lib/rpc/metadata";
import type { DuplexChannel, StreamHandlers } from "#lib/rpc/stream";
import { encodeBytes } from "../../../test/support/rehearsal/byte-text.ts";
import { RehearsalDispatcher, type RehearsalOptions } from "../../../test/support/rehearsal/dispatcher.ts";
import { InferenceRehearsal, openInference } from "../../../test/support/rehearsal/inference.ts";
import type { FrontendLimits } from "../limits.ts";
import { GrpcReply } from "./reply.ts";
import { StreamCall } from "./stream-call.ts";

const closes: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closes.splice(0)) await close();
});

/** A frontend whose worker says the text of a prompt again. */
async function open(
  options: Partial<RehearsalOptions> & { limits?: Partial<FrontendLimits> } = {},
): Promise<{ dispatcher: RehearsalDispatcher; inference: InferenceRehearsal }> {
  const { limits, ...others } = options;
  const reply: RehearsalOptions["reply"] = ({ input }) => ({ tokens: input.prompts[0]!.subarray(1) });
  const dispatcher = new RehearsalDispatcher({ running: true, reply, ...others });
  const inference = await openInference(dispatcher, { limits });
  closes.push(() => inference.close());
  return { dispatcher, inference };
}

const metric = async ({ rehearsal }: InferenceRehearsal, pattern: RegExp) =>
  Number(pattern.exec(await rehearsal.metrics.print())?.[1] ?? Number.NaN);

describe("a stream of requests", () => {
  it("runs them side by side, each in its own order, and ends when the last is over", async () => {
    const { inference, dispatcher } = await open({ running: false });
    const stream = inference.stream();
    const ids = ["a", "b", "c"];
    stream.send(...ids.map((id) => ({ id, text: `text ${id}`, stream: true })));
    stream.send({ id: "whole", text: "all at once" });
    await expect.poll(() => dispatcher.open).toBe(4);
    stream.halfClose();
    for (let step = 0; dispatcher.open > 0; step++) {
      dispatcher.step();
      await new Promise(setImmediate);
      if (step === 3) {
        await expect.poll(() => ids.map((id) => stream.text(id))).toEqual(["text", "text", "text"]);
      }
    }
    expect(await stream.ended).toBeUndefined();
    expect([...ids, "whole"].map((id) => stream.text(id))).toEqual(["text a", "text b", "text c", "all at once"]);
    expect(stream.finishes).toEqual(["a stop", "b stop", "c stop", "whole stop"]);
    expect(stream.errors).toEqual([]);
    expect(await metric(inference, /open_streams\{route="kserve"\} (\d+)/)).toBe(0);
    expect(await metric(inference, /requests_total\{route="kserve",outcome="ok"\} (\d+)/)).toBe(4);
  });

  it("tells each token in a message of its own while nothing lags", async () => {
    const { inference, dispatcher } = await open({ running: false });
    const stream = inference.stream();
    stream.send({ id: "1", text: "abc", stream: true }, { id: "2", text: "xyz", stream: true });
    await expect.poll(() => dispatcher.open).toBe(2);
    for (let told = 1; told <= 3; told++) {
      dispatcher.step();
      await expect.poll(() => [stream.text("1").length, stream.text("2").length]).toEqual([told, told]);
    }
    const texts = stream.answers.filter(({ inferResponse }) => inferResponse?.outputs.length === 1);
    expect(texts.map(({ inferResponse }) => inferResponse!.rawOutputContents[0]!.length)).toEqual([5, 5, 5, 5, 5, 5]);
  });

  it("tells an error with the id in its words, and goes on", async () => {
    const { inference } = await open();
    const stream = inference.stream();
    stream.send(
      { id: "x", model: "nobody" },
      { id: "y", version: "2" },
      { id: "", model: "none" },
      { id: "z", text: "ok" },
    );
    stream.halfClose();
    expect(await stream.ended).toBeUndefined();
    expect(stream.errors).toEqual([
      expect.stringMatching(/^\[request id: x\] Request for unknown model: 'nobody' is not found/),
      expect.stringMatching(/^\[request id: y\] Version 2 of the model rehearsal was not found/),
      expect.stringMatching(/^Request for unknown model: 'none' is not found/),
    ]);
    expect(stream.answers[0]!.inferResponse).toMatchObject({ modelName: "nobody", id: "x", outputs: [] });
    expect(stream.text("z")).toBe("ok");
    expect(await metric(inference, /errors_total\{route="kserve",reason="MODEL_NOT_FOUND"\} (\d+)/)).toBe(2);
  });

  it("tells an error that comes behind some tokens in a message too", async () => {
    const error = new StatorError("ENGINE_FAILED", { detail: "it broke" });
    const { inference } = await open({ reply: () => ({ tokens: encodeBytes("ab"), error }) });
    const stream = inference.stream();
    stream.send({ id: "1", stream: true }, { id: "2" });
    stream.halfClose();
    expect(await stream.ended).toBeUndefined();
    expect(stream.text("1")).toBe("ab");
    expect(stream.errors.sort()).toEqual([
      "[request id: 1] The engine failed: it broke.",
      "[request id: 2] The engine failed: it broke.",
    ]);
    expect(stream.finishes).toEqual([]);
  });

  it("ends with the status of the first error where its metadata asks for that", async () => {
    const { inference, dispatcher } = await open({ running: false });
    const stream = inference.stream({ metadata: { triton_grpc_error: "true" } });
    stream.send({ id: "1", text: "ab", stream: true });
    await expect.poll(() => dispatcher.open).toBe(1);
    stream.send({ id: "2", model: "nobody" });
    const error = await stream.ended;
    expect(error).toMatchObject({ reason: "MODEL_NOT_FOUND", facts: { model: "nobody" } });
    expect(stream.answers).toEqual([]);
    await expect.poll(() => dispatcher.open).toBe(0);
  });

  it("runs so many at once and reads no further until one is over", async () => {
    const { inference, dispatcher } = await open({ running: false, limits: { streamRequests: 2 } });
    const stream = inference.stream();
    const ids = Array.from({ length: 20 }, (_, at) => `r${at}`);
    stream.send(...ids.map((id) => ({ id, text: id, stream: true })));
    stream.halfClose();
    let most = 0;
    await expect.poll(() => dispatcher.open).toBe(2);
    const isOver = () => stream.finishes.length === ids.length;
    while (!isOver()) {
      most = Math.max(most, dispatcher.open);
      dispatcher.step();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(most).toBe(2);
    expect(await stream.ended).toBeUndefined();
    expect(stream.finishes).toEqual(ids.map((id) => `${id} stop`));
  });

  it("shares the places of all doors: one that has none tells RESOURCE_EXHAUSTED's words and the stream goes on", async () => {
    const { inference, dispatcher } = await open({ running: false, limits: { concurrentRequests: 1 } });
    const stream = inference.stream();
    stream.send({ id: "1", text: "a" }, { id: "2" });
    await expect
      .poll(() => stream.errors)
      .toEqual([expect.stringMatching(/^\[request id: 2\] Every place for requests/)]);
    dispatcher.step();
    await expect.poll(() => stream.text("1")).toBe("a");
    stream.send({ id: "3", text: "b" });
    await expect.poll(() => dispatcher.open).toBe(1);
    dispatcher.step();
    await expect.poll(() => stream.text("3")).toBe("b");
    stream.halfClose();
    expect(await stream.ended).toBeUndefined();
    expect(await metric(inference, /active_requests (\d+)/)).toBe(0);
  });

  it("is refused beyond the number of streams", async () => {
    const { inference } = await open({ limits: { streams: 1 } });
    const first = inference.stream();
    first.send({ id: "1", text: "a" });
    await expect.poll(() => first.text("1")).toBe("a");
    const second = inference.stream();
    expect(await second.ended).toMatchObject({ reason: "OVERLOADED" });
    first.halfClose();
    await first.ended;
    const third = inference.stream();
    third.halfClose();
    expect(await third.ended).toBeUndefined();
  });

  it("frees every place at once when its client leaves", async () => {
    const { inference, dispatcher } = await open({ running: false });
    const stream = inference.stream();
    stream.send(...Array.from({ length: 50 }, (_, at) => ({ id: `${at}`, text: "abc", stream: at % 2 === 0 })));
    await expect.poll(() => dispatcher.open).toBe(50);
    dispatcher.step();
    stream.cancel(new StatorError("CANCELLED"));
    await expect.poll(() => dispatcher.open).toBe(0);
    expect(dispatcher.cancelled).toBe(50);
    expect(await metric(inference, /active_requests (\d+)/)).toBe(0);
    expect(await metric(inference, /open_streams\{route="kserve"\} (\d+)/)).toBe(0);
    expect(await metric(inference, /requests_total\{route="kserve",outcome="aborted"\} (\d+)/)).toBe(50);
  });

  it("finishes what runs while the frontend drains, takes nothing new and ends", async () => {
    const { inference, dispatcher } = await open({ running: false });
    const [busy, idle] = [inference.stream(), inference.stream()];
    busy.send({ id: "1", text: "ab", stream: true });
    idle.send({ id: "0", text: "a" });
    await expect.poll(() => dispatcher.open).toBe(2);
    dispatcher.step();
    await expect.poll(() => idle.text("0")).toBe("a");
    const closed = inference.rehearsal.frontend.close({ drainMs: 20_000 });
    expect(await idle.ended).toMatchObject({ reason: "DRAINING" });
    busy.send({ id: "2" });
    await expect.poll(() => busy.errors).toEqual([expect.stringMatching(/^\[request id: 2\] .*shutting down/)]);
    expect(await inference.client.serverReady({})).toMatchObject({ ready: false });
    dispatcher.step();
    expect(await busy.ended).toMatchObject({ reason: "DRAINING" });
    expect([busy.text("1"), busy.finishes]).toEqual(["ab", ["1 stop"]]);
    await closed;
  });

  it("tells what the end of a drain cuts off", async () => {
    const { inference, dispatcher } = await open({ running: false });
    const stream = inference.stream();
    stream.send({ id: "1", text: "ab", stream: true });
    await expect.poll(() => dispatcher.open).toBe(1);
    dispatcher.step();
    await inference.rehearsal.frontend.close({ drainMs: 0 });
    expect(await stream.ended).toMatchObject({ reason: "DRAINING" });
    expect(stream.errors).toEqual([expect.stringMatching(/^\[request id: 1\] .*shutting down/)]);
    expect(dispatcher.cancelled).toBe(1);
  });

  it("whose client reads nothing holds nobody else, and loses nothing", async () => {
    const tokens = encodeBytes("x".repeat(2000));
    const { inference, dispatcher } = await open({ reply: () => ({ tokens }), tokensPerStep: 50 });
    const slow = inference.stream();
    slow.pause();
    const ids = Array.from({ length: 40 }, (_, at) => `${at}-${"y".repeat(200)}`);
    slow.send(...ids.map((id) => ({ id, maxTokens: 2000, stream: true })));
    await expect.poll(() => dispatcher.requests.length, { timeout: 20_000 }).toBe(40);
    const other = new InferenceRehearsal(inference.rehearsal, inference.server);
    const quick = other.stream();
    quick.send({ id: "q", maxTokens: 2000, stream: true });
    quick.halfClose();
    expect(await quick.ended).toBeUndefined();
    expect(quick.text("q").length).toBe(2000);
    expect(slow.finishes.length).toBeLessThan(40);
    slow.resume();
    slow.halfClose();
    expect(await slow.ended).toBeUndefined();
    expect(ids.map((id) => slow.text(id).length)).toEqual(ids.map(() => 2000));
    other.channel.close();
  });
});

/** A channel whose other end a test is. */
class FakeChannel implements DuplexChannel<Uint8Array, Uint8Array> {
  readonly sent: Uint8Array[] = [];
  bufferedBytes = 0;
  full = false;
  paused = false;
  ended: { readonly error: StatorError | undefined } | undefined;
  handlers: StreamHandlers<Uint8Array> | undefined;

  send(bytes: Uint8Array): boolean {
    this.sent.push(bytes);
    return !this.full;
  }

  receive(handlers: StreamHandlers<Uint8Array>): void {
    this.handlers = handlers;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  end(error?: StatorError): void {
    this.ended = { error };
  }
}

/** A stream over a fake channel, whose requests are replies that a test answers. */
function openStream(mostRequests = 10) {
  const channel = new FakeChannel();
  const clock = new FakeClock();
  const abort = new AbortController();
  const closed: StreamCall[] = [];
  const replies: GrpcReply[] = [];
  const call = { metadata: noMetadata, signal: abort.signal } as unknown as CallContext;
  const stream: StreamCall = new StreamCall(channel, call, {
    mostRequests,
    patience: { clock, slowMs: 1000 },
    onClosed: (one) => closed.push(one),
    begin(bytes, carrier) {
      const id = Buffer.from(bytes).toString();
      const reply = new GrpcReply({
        ...{ carrier, route: "kserve", requestId: id, id, model: "m", arrivedMs: 0, bytesIn: 1 },
        onClosed: () => carrier.remove(reply),
      });
      replies.push(reply);
      carrier.add(reply);
    },
  });
  stream.receive();
  const take = (...ids: string[]) => {
    for (const id of ids) channel.handlers!.onMessage(Buffer.from(id));
  };
  return { channel, clock, abort, closed, replies, stream, take };
}

const MESSAGE = Uint8Array.of(1, 2, 3);

describe("a stream whose client takes too little", () => {
  it("is ended when it had its time, and a second more for each 4 KiB", () => {
    const { channel, clock, closed, replies, take } = openStream();
    take("a", "b");
    const [a, b] = replies;
    channel.full = true;
    channel.bufferedBytes = 8192;
    const heard: string[] = [];
    for (const reply of [a!, b!]) {
      reply.openEvents();
      expect(reply.write(MESSAGE)).toBe(false);
      reply.whenDrained(
        () => heard.push("drained"),
        () => heard.push("cut"),
      );
    }
    clock.advance(2999);
    expect(heard).toEqual([]);
    clock.advance(1);
    expect(heard).toEqual(["cut", "cut"]);
    expect(channel.ended?.error?.reason).toBe("SLOW_CLIENT");
    expect(replies.map(({ outcome, error }) => [outcome, error?.reason])).toEqual([
      ["slow_client", "SLOW_CLIENT"],
      ["slow_client", "SLOW_CLIENT"],
    ]);
    expect(closed.length).toBe(1);
  });

  it("goes on when it takes what waits in time", () => {
    const { channel, clock, replies, take } = openStream();
    take("a");
    channel.full = true;
    replies[0]!.openEvents();
    replies[0]!.write(MESSAGE);
    const heard: string[] = [];
    replies[0]!.whenDrained(
      () => heard.push("drained"),
      () => heard.push("cut"),
    );
    clock.advance(999);
    channel.handlers!.onDrain?.();
    expect(heard).toEqual(["drained"]);
    clock.advance(5000);
    expect([heard, channel.ended]).toEqual([["drained"], undefined]);
  });
});

describe("what waits of an answer", () => {
  it("is what it sent itself and all before that, and nothing that others sent later", () => {
    const { channel, replies, take } = openStream();
    take("a", "b");
    const [a, b] = replies;
    expect(a!.backlogBytes).toBe(0);
    a!.write(MESSAGE);
    channel.bufferedBytes = 3;
    expect([a!.backlogBytes, b!.backlogBytes]).toEqual([3, 0]);
    b!.write(MESSAGE);
    channel.bufferedBytes = 6;
    expect([a!.backlogBytes, b!.backlogBytes]).toEqual([3, 6]);
    channel.bufferedBytes = 3;
    expect([a!.backlogBytes, b!.backlogBytes]).toEqual([0, 3]);
  });
});

describe("the end of a stream", () => {
  it("with an error comes behind what was told, within the time that a client has", () => {
    const { channel, clock, replies, stream, take } = openStream();
    take("a");
    stream.drain();
    channel.bufferedBytes = 5;
    replies[0]!.whole(MESSAGE);
    clock.advance(500);
    expect(channel.ended).toBeUndefined();
    channel.bufferedBytes = 0;
    clock.advance(10);
    expect(channel.ended?.error?.reason).toBe("DRAINING");
    const stuck = openStream();
    stuck.take("a");
    stuck.stream.drain();
    stuck.channel.bufferedBytes = 5;
    stuck.replies[0]!.whole(MESSAGE);
    stuck.clock.advance(999);
    expect(stuck.channel.ended).toBeUndefined();
    stuck.clock.advance(1);
    expect(stuck.channel.ended?.error?.reason).toBe("DRAINING");
  });

  it("is that of its client: nothing is told behind it", () => {
    const { channel, abort, replies, closed, take } = openStream(1);
    take("a", "b");
    expect([channel.paused, replies.length]).toEqual([true, 1]);
    abort.abort();
    expect(replies.map(({ outcome }) => outcome)).toEqual(["aborted"]);
    replies[0]!.whole(MESSAGE);
    take("c");
    expect([channel.sent, replies.length, closed.length]).toEqual([[], 1, 1]);
  });
});

it("begins what was read early as soon as there is a place, and reads on then", () => {
  const { channel, replies, take } = openStream(1);
  take("a", "b", "c");
  replies[0]!.whole(MESSAGE);
  expect([replies.map(({ id }) => id), channel.paused]).toEqual([["a", "b"], true]);
  replies[1]!.whole(MESSAGE);
  replies[2]!.whole(MESSAGE);
  expect([replies.length, channel.paused, channel.ended]).toEqual([3, false, undefined]);
  take("d", ...Array.from({ length: 64 }, () => "e"));
  expect(channel.ended).toBeUndefined();
  take("f");
  expect(channel.ended?.error?.reason).toBe("LIMIT");
});
