import { describe, expect, it } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { silentLog } from "#lib/host/log";
import { plainAsk } from "#lib/serving/plain-ask";
import { createByteText, encodeBytes } from "../../../test/support/rehearsal/byte-text.ts";
import { printers } from "../doors/chat/print.ts";
import type { Reply } from "../doors/reply.ts";
import { DEFAULT_LIMITS, type FrontendLimits } from "../limits.ts";
import { Pacer } from "./pacer.ts";
import { StreamAnswer } from "./stream-answer.ts";

/** An answer to one choice, with a reply that keeps what is written, and no pacer but the test. */
function open(limits: Partial<FrontendLimits>) {
  const clock = new FakeClock();
  const written: string[] = [];
  const reply = {
    ...{ arrivedMs: 0, answered: false, backlogBytes: 0, firstTokenMs: undefined, requestId: "r", route: "chat" },
    openEvents() {
      reply.answered = true;
    },
    write: (text: string) => written.push(text) > 0,
    writeAll: (texts: string[]) => written.push(...texts) > 0,
  };
  const plan = {
    ...{ ask: plainAsk({ maxTokens: 100 }), text: createByteText(), createdUnixSeconds: 1, choices: 1 },
    ...{ stops: undefined, leads: undefined, scored: false, promptOnly: false, soFar: false },
  };
  const tools = {
    ...{ clock, limits: { ...DEFAULT_LIMITS, ...limits }, log: silentLog, onUsage() {} },
    pacer: new Pacer({ clock, lagging: () => false, tendMs: 1_000 }),
  };
  const printer = printers.events!(plan, { includeUsage: false, explain: false });
  const answer = new StreamAnswer(plan, { printer, reply: reply as unknown as Reply<string> }, tools);
  answer.attach({ usage: { promptTokens: 3, cachedTokens: 0, completionTokens: 0 }, cancel() {}, finishChoice() {} });
  const texts = () =>
    written
      .splice(0)
      .join("")
      .split("\n\n")
      .filter((event) => event.startsWith("data: {"))
      .map((event) => JSON.parse(event.slice(6)).choices[0].delta.content ?? "");
  return { answer, texts, say: (text: string) => answer.onTokens(0, encodeBytes(text), undefined) };
}

describe("tokens of a stream that lags", () => {
  it("wait for others for the bound and no longer; the first one of a choice never waits", () => {
    const { answer, texts, say } = open({ joinMs: 10, joinTokens: 8 });
    say("a");
    expect(answer.flush(0, true)).toBe(Number.POSITIVE_INFINITY);
    expect(texts()).toEqual(["a"]);
    say("b");
    expect(answer.flush(5, true)).toBe(15);
    say("c");
    expect(answer.flush(14, true)).toBe(15);
    expect(texts()).toEqual([]);
    expect(answer.flush(15, true)).toBe(Number.POSITIVE_INFINITY);
    expect(texts()).toEqual(["bc"]);
    // The next wait begins with the next token.
    say("d");
    expect(answer.flush(40, true)).toBe(50);
  });

  it("go out when as many as the bound have come, and no more of them in one event", () => {
    const { answer, texts, say } = open({ joinMs: 10, joinTokens: 3 });
    say("a");
    answer.flush(0, true);
    texts();
    say("bc");
    answer.flush(1, true);
    expect(texts()).toEqual([]);
    say("d");
    answer.flush(2, true);
    expect(texts()).toEqual(["bcd"]);
    say("efghijk");
    answer.flush(3, true);
    expect(texts()).toEqual(["efg", "hij", "k"]);
  });

  it("do not wait when nothing lags", () => {
    const { answer, texts, say } = open({ joinMs: 10 });
    for (const text of ["a", "b"]) {
      say(text);
      answer.flush(0, false);
    }
    expect(texts()).toEqual(["a", "b"]);
  });

  it("wait all the same where that is asked for", () => {
    const { answer, texts, say } = open({ joinMs: 10, alwaysJoin: true });
    for (const text of ["a", "b"]) {
      say(text);
      answer.flush(0, false);
    }
    expect(texts()).toEqual(["a"]);
  });
});
