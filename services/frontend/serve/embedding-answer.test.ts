import { expect, it } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { plainAsk } from "#lib/serving/plain-ask";
import { createByteText } from "../../../test/support/rehearsal/byte-text.ts";
import { printers } from "../doors/embeddings/print.ts";
import type { Reply } from "../doors/reply.ts";
import { DEFAULT_LIMITS } from "../limits.ts";
import { EmbeddingAnswer } from "./embedding-answer.ts";
import { Pacer } from "./pacer.ts";

const usage = { promptTokens: 6, cachedTokens: 0, completionTokens: 0 };

/** An answer of two inputs, and what was heard of it. */
function open() {
  const heard: unknown[] = [];
  const reply = {
    ...{ route: "embeddings", work: undefined },
    set() {},
    whole: (body: string) => heard.push(JSON.parse(body)),
    fail: ({ reason }: StatorError) => heard.push(reason),
  };
  const plan = {
    ...{ ask: plainAsk({ kind: "embed", model: "m" }), text: createByteText(), createdUnixSeconds: 0, choices: 2 },
    ...{ stops: undefined, leads: undefined, scored: false, promptOnly: false, soFar: false },
  };
  const clock = new FakeClock();
  const pacer = new Pacer({ clock, lagging: () => false, tendMs: 1000 });
  const onUsage = (route: string) => heard.push(route);
  const tools = { clock, limits: DEFAULT_LIMITS, log: silentLog, pacer, onUsage };
  const printer = printers.embeddings!(plan, { base64: true });
  const answer = new EmbeddingAnswer(plan, { printer, reply: reply as unknown as Reply<string> }, tools);
  answer.attach({ usage, cancel: () => heard.push("cancel"), finishChoice() {} });
  return { answer, heard };
}

it("tells embeddings in the order of their inputs, and counts what they used", () => {
  const { answer, heard } = open();
  for (const choice of [1, 0]) {
    answer.onEmbedding(choice, Float32Array.of(choice + 1));
    answer.onEnd(choice);
  }
  answer.onDone(usage);
  const [body, route] = heard as [{ data: { embedding: string }[] }, string];
  expect([body.data.map(({ embedding }) => embedding), route]).toEqual([["AACAPw==", "AAAAQA=="], "embeddings"]);
});

it("an input without an embedding fails all, once", () => {
  const { answer, heard } = open();
  answer.onEnd(1);
  answer.onError(new StatorError("INTERNAL"));
  answer.onDone(usage);
  expect(heard).toEqual(["STREAM_LOST"]);
});

it("ends with its client, and tells one that stays why", () => {
  const left = open();
  left.answer.closed();
  left.answer.onDone(usage);
  expect(left.heard).toEqual(["cancel"]);
  const told = open();
  told.answer.abort(new StatorError("DRAINING", { what: "it" }));
  told.answer.closed();
  expect(told.heard).toEqual(["cancel", "DRAINING"]);
});
