import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { CancelMode, InputPartSchema, type LinkRequest } from "#gen/stator/worker/v1/link_pb";
import { readU32 } from "#lib/base/bytes";
import { submitOf } from "../../test/support/link-rig.ts";
import { takeOutbox } from "./caller-outbox.ts";
import { type CallerOutbox, createCallerState, emptyOutbox } from "./caller-state.ts";
import { LINK_LIMITS } from "./limits.ts";
import { partBytes, submitBytes } from "./split.ts";

function take(box: Partial<CallerOutbox>, maxMessageBytes = LINK_LIMITS.maxMessageBytes): LinkRequest[] {
  const about = { caller: "test/1", features: ["a"], expect: {}, nowMs: 0 };
  const state = createCallerState({ limits: { ...LINK_LIMITS, maxMessageBytes }, ...about });
  state.outbox = { ...emptyOutbox(), ...box };
  const messages = takeOutbox(state);
  expect(state.outbox).toEqual(emptyOutbox());
  return messages;
}

const submit = () => submitOf([1, 2, 3]);
const part = () => create(InputPartSchema, { handle: 1, promptText: "xyz" });

it("says nothing when nothing waits, and everything of a turn in one message", () => {
  expect(take({})).toEqual([]);
  const lists = { submits: [submit()], parts: [part()], stop: [1], kill: [2], pings: [3n] };
  const messages = take({ hello: true, goodbye: true, ...lists });
  expect(messages).toMatchObject([
    {
      hello: { minimumRevision: 1, maximumRevision: 1, caller: "test/1", features: ["a"] },
      ...{ submits: [{}], parts: [{}], ping: { nonce: 3n }, goodbye: {} },
      cancels: [{ mode: CancelMode.STOP }, { mode: CancelMode.KILL }],
    },
  ]);
});

it("fills a message up to the limit and not beyond, each thing by its weight", () => {
  const two = 2 * submitBytes(submit());
  expect(take({ submits: [submit(), submit()] }, two)).toHaveLength(1);
  expect(take({ submits: [submit(), submit()] }, two - 1)).toHaveLength(2);
  expect(take({ submits: [submit(), submit(), submit()] }, two).map(({ submits }) => submits.length)).toEqual([2, 1]);
  const both = submitBytes(submit()) + partBytes(part());
  expect(take({ submits: [submit()], parts: [part()] }, both)).toHaveLength(1);
  expect(take({ submits: [submit()], parts: [part()] }, both - 1)).toHaveLength(2);
  // A Hello takes 256 bytes, a Cancel its handles and 16, a Ping and a Goodbye 16.
  expect(take({ hello: true, submits: [submit()] }, 256 + submitBytes(submit()))).toHaveLength(1);
  expect(take({ hello: true, submits: [submit()] }, 255 + submitBytes(submit()))).toHaveLength(2);
  expect(take({ stop: [1], kill: [2, 3] }, 20 + 24)).toHaveLength(1);
  expect(take({ stop: [1], kill: [2, 3] }, 20 + 23)).toHaveLength(2);
  expect(take({ pings: [1n], goodbye: true, stop: [1] }, 20 + 32)).toHaveLength(1);
  expect(take({ pings: [1n], goodbye: true, stop: [1] }, 20 + 31)).toHaveLength(2);
});

it("keeps the order: what comes later never goes into an earlier message, though it would fit", () => {
  const long = () => submitOf(Array.from({ length: 500 }, (_, at) => at));
  const messages = take({ submits: [submit(), long(), submit()] }, submitBytes(long()));
  expect(messages.map(({ submits }) => submits.map(({ promptTokenIds }) => promptTokenIds.length))).toEqual([
    [12],
    [2_000],
    [12],
  ]);
});

it("puts one Ping into a message", () => {
  const messages = take({ pings: [1n, 2n, 3n], goodbye: true });
  expect(messages.map(({ ping, goodbye }) => [ping?.nonce, goodbye !== undefined])).toEqual([
    [1n, false],
    [2n, false],
    [3n, true],
  ]);
});

it("names at most 16,384 handles in one Cancel", () => {
  const handles = (count: number) => Array.from({ length: count }, (_, at) => at + 1);
  const named = (count: number) =>
    take({ kill: handles(count) }).flatMap(({ cancels }) => cancels.map((cancel) => [...readU32(cancel.handles)]));
  expect(named(16_384).map(({ length }) => length)).toEqual([16_384]);
  expect(named(16_385).map(({ length }) => length)).toEqual([16_384, 1]);
  expect(named(16_385)[1]).toEqual([16_385]);
});
