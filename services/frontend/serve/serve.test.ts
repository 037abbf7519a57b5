import { afterEach, describe, expect, it } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { compileStops } from "#lib/text/stop";
import { createByteText, encodeBytes } from "../../../test/support/rehearsal/byte-text.ts";
import { RehearsalDispatcher, type RehearsalOptions } from "../../../test/support/rehearsal/dispatcher.ts";
import type { Asked, Door } from "../doors/door.ts";
import { PLAIN_ASK, PLAIN_ASKED, PLAIN_WORDS } from "../doors/plain.ts";
import type { Reply, Work } from "../doors/reply.ts";
import { DEFAULT_LIMITS } from "../limits.ts";
import { Pacer } from "./pacer.ts";
import { type ServeTools, serve } from "./serve.ts";

/** What a call of messages gets, in place of text. */
type Message = { readonly text: string } | { readonly end: string } | { readonly tokens: number };

/** A door without bytes: its messages are objects, as those of gRPC are. */
const CALLS: Door<undefined, Message> = {
  name: "calls",
  words: { ...PLAIN_WORDS, input: "prompt" },
  printers: {
    events: () => ({
      begin() {},
      prompt() {},
      text: (_, text) => ({ text }),
      token: (_, { text }) => ({ text }),
      end: (_, end) => ({ end }),
      done: ({ completionTokens }) => ({ tokens: completionTokens }),
      failed: ({ message }) => ({ end: message }),
    }),
    body: () => {
      const texts: string[] = [];
      return {
        begin() {},
        prompt() {},
        choice: (_, { text }) => void texts.push(text),
        body: () => ({ text: texts.join() }),
      };
    },
  },
};

/** A call of messages, with its metadata. */
class Call implements Reply<Message> {
  readonly requestId = "r1";
  readonly route = "calls";
  readonly arrivedMs = 0;
  firstTokenMs: number | undefined;
  work: Work | undefined;
  closed = false;
  answered = false;
  readonly backlogBytes = 0;
  readonly heard: (Message | string)[] = [];
  readonly trailers: string[] = [];
  readonly metadata: Readonly<Record<string, string>> = {};

  constructor(metadata: Readonly<Record<string, string>> = {}) {
    this.metadata = metadata;
  }

  header(name: string): string | undefined {
    return this.metadata[name];
  }

  set(name: string): void {
    this.trailers.push(name);
  }

  whole(body: Message): void {
    this.heard.push(body, "end");
  }

  fail({ reason }: StatorError): void {
    this.heard.push(reason);
  }

  openEvents(): void {
    this.answered = true;
  }

  write(event: Message): boolean {
    return this.heard.push(event) > 0;
  }

  writeAll(events: readonly Message[]): boolean {
    return this.heard.push(...events) > 0;
  }

  ping(): boolean {
    return true;
  }

  endEvents(error?: StatorError): void {
    this.heard.push(error?.reason ?? "end");
  }

  whenDrained(): void {}
}

const clock = new FakeClock();
const pacer = new Pacer({ clock, lagging: () => false, tendMs: 1000 });
afterEach(() => expect(pacer.open).toBe(0));

/** A door that tells ids, and says nothing of ends and errors. */
const QUIET: typeof CALLS = {
  ...CALLS,
  printers: {
    events: () => ({
      begin() {},
      prompt() {},
      text: () => undefined,
      token: (_, { token }) => token && { text: String(token.id) },
      end: () => undefined,
      done: ({ completionTokens }) => ({ tokens: completionTokens }),
      failed: () => undefined,
    }),
  },
};

type AskOptions = Partial<RehearsalOptions> & { readonly call?: Call; readonly door?: typeof CALLS };

async function ask(more: Partial<Asked<undefined>>, options: AskOptions = {}) {
  const { call = new Call(), door = CALLS, reply = () => ({ tokens: encodeBytes("hi") }) } = options;
  const dispatcher = new RehearsalDispatcher({ ...options, reply });
  const missing = {};
  const features = {
    ...{ generate: true, embed: false, grammar: false, logprobs: true, promptLogprobs: false },
    missing,
  };
  const tools: ServeTools = {
    findModel: (name) => ({
      ...{
        name,
        tokenizer: "",
        input: "tokens",
        contextTokens: 20,
        defaultSampling: { temperature: 0.5 },
        text: createByteText(),
      },
      features: { ...features, maxTopLogprobs: 1, embeddingSize: 0 },
    }),
    compileStops,
    mostScoredTokens: 10,
    drawSeed: () => 7n,
    unixMs: () => 0,
    dispatcher,
    answers: { clock, limits: DEFAULT_LIMITS, log: silentLog, pacer, onUsage() {} },
  };
  const plain = { ...PLAIN_ASK, model: "m", input: { kind: "text", texts: ["ab"] } } as const;
  const asked = { ...PLAIN_ASKED, ask: plain, ignored: [], form: undefined, ...more };
  await serve({ asked, conversation: undefined, close() {} }, { door, reply: call }, tools);
  for (let step = 0; step < 5; step++) {
    dispatcher.step();
    clock.advance(1);
  }
  return { call, dispatcher, request: dispatcher.requests.at(-1) };
}

describe("an answer that no HTTP exchange carries", () => {
  it("is the same events, as messages", async () => {
    const { call } = await ask({ stream: true, ignored: ["color"] });
    expect(call.heard).toEqual([{ text: "h" }, { text: "i" }, { end: "stop" }, { tokens: 2 }, "end"]);
    expect(call.trailers).toContain("x-stator-ignored");
    expect(call.trailers).toContain("x-stator-decision");
  });

  it("is one message as a whole", async () => {
    expect((await ask({})).call.heard).toEqual([{ text: "hi" }, "end"]);
  });

  it("is an error before anything was told, and one more message behind it", async () => {
    const error = new StatorError("ENGINE_FAILED", { detail: "it" });
    const failing = (text: string) => ({ reply: () => ({ tokens: encodeBytes(text), error }) });
    expect((await ask({ stream: true }, failing(""))).call.heard).toEqual(["ENGINE_FAILED"]);
    const { call } = await ask({ stream: true }, failing("h"));
    expect(call.heard).toEqual([{ text: "h" }, { end: error.message }, "ENGINE_FAILED"]);
  });
});

describe("what a printer has nothing to tell of", () => {
  const byToken = { stream: true, byToken: true };

  it("is no event; tokens are told one by one without log-probabilities", async () => {
    const { call } = await ask(byToken, { door: QUIET });
    expect(call.heard).toEqual([{ text: "104" }, { text: "105" }, { tokens: 2 }, "end"]);
    expect((await ask({ stream: true }, { door: QUIET })).call.heard).toEqual([{ tokens: 2 }, "end"]);
  });

  it("is told by the carrier where it is an error", async () => {
    const error = new StatorError("ENGINE_FAILED", { detail: "it" });
    const reply = () => ({ tokens: encodeBytes("h"), error });
    expect((await ask(byToken, { door: QUIET, reply })).call.heard).toEqual([{ text: "104" }, "ENGINE_FAILED"]);
    expect((await ask({ stream: true }, { door: QUIET, reply })).call.heard).toEqual(["ENGINE_FAILED"]);
  });
});

it("an ask has the deadline that its door read, or none", async () => {
  const plain = { ...PLAIN_ASK, model: "m", input: { kind: "text", texts: ["ab"] } } as const;
  expect((await ask({ ask: { ...plain, deadlineMs: 40 } })).request!.deadlineMs).toBe(40);
  expect((await ask({ ask: plain })).request!.deadlineMs).toBeUndefined();
});

it("what an ask leaves out is the model's to say, and metadata says where it runs", async () => {
  const call = new Call({ "x-stator-worker": "a", traceparent: `00-${"1".repeat(32)}-${"2".repeat(16)}-01` });
  const { request } = await ask({}, { call });
  expect(request).toMatchObject({
    ...{ requestId: "r1", route: "calls", target: { worker: 10n }, traceparent: call.metadata.traceparent },
    sampling: { temperature: 0.5, seed: 7n },
    stopping: { maxTokens: 17 },
  });
  const lost = new Call({ traceparent: "mine" });
  expect((await ask({}, { call: lost })).request!.traceparent).toBeUndefined();
  await expect(ask({}, { call: new Call({ "x-stator-worker": "?" }) })).rejects.toMatchObject({
    reason: "INVALID_FIELD",
  });
});

it("metadata names the session before the body does, and a name has its length", async () => {
  const session = (name: string) => new Call({ "x-stator-session": name });
  expect((await ask({}, { call: session("s") })).request!.wishes).toMatchObject({ session: "s", requiredTaints: [] });
  expect((await ask({}, { call: session("") })).request!.wishes.session).toBeUndefined();
  await ask({}, { call: session("s".repeat(256)) });
  await expect(ask({}, { call: session("s".repeat(257)) })).rejects.toThrow("has 257 characters");
});

it("a caller that left while its prompt was encoded gets no worker", async () => {
  const call = new Call();
  call.closed = true;
  expect((await ask({}, { call })).request).toBeUndefined();
});
