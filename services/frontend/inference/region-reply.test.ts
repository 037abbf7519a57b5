import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterAll, expect, test } from "vitest";
import {
  ModelInferRequestSchema,
  ModelInferResponseSchema,
  ModelStreamInferResponseSchema,
} from "#gen/inference/infer_pb";
import { printRegionPart } from "#lib/api/kserve/region";
import { StatorError } from "#lib/base/errors";
import { SharedRegions } from "#lib/shared/shared-regions";
import { TestObjects } from "../../../test/support/shared-object.ts";
import type { Reply, Work } from "../doors/reply.ts";
import { createRegionPlaces } from "./region-places.ts";
import { type RegionPlaces, RegionReply } from "./region-reply.ts";

const objects = new TestObjects();
afterAll(() => objects.remove());

/** Notes what it is told. */
class NotedReply implements Reply<string> {
  readonly said: string[] = [];
  readonly requestId = "r";
  readonly route = "kserve";
  readonly arrivedMs = 0;
  firstTokenMs: number | undefined;
  work: Work | undefined;
  closed = false;
  answered = false;
  takes = true;
  readonly backlogBytes = 0;
  onDrain: (() => void) | undefined;
  header(): undefined {}
  set(): void {}
  whole(body: string): void {
    this.#end(`whole ${body}`);
  }
  fail(error: StatorError): void {
    this.#end(`fail ${error.reason}`);
  }
  openEvents(): void {
    this.answered = true;
    this.said.push("open");
  }
  write(event: string): boolean {
    this.said.push(event);
    return this.takes;
  }
  writeAll(events: readonly string[]): boolean {
    return events.every((event) => this.write(event));
  }
  ping(): boolean {
    return true;
  }
  endEvents(error?: StatorError): void {
    this.#end(`end ${error?.reason ?? ""}`);
  }
  whenDrained(drained: () => void): void {
    this.onDrain = drained;
  }
  #end(what: string): void {
    this.said.push(what);
    this.closed = true;
    this.work?.closed();
  }
}

const turn = () => new Promise<void>((resolve) => void setImmediate(resolve));

/** A reply whose placing ends when the test says so. */
function openRig() {
  const inner = new NotedReply();
  const waiting: ((fault?: StatorError) => void)[] = [];
  const counts = { released: 0 };
  const places: RegionPlaces<string> = {
    place: (printed) =>
      new Promise((resolve, reject) => {
        waiting.push((fault) => (fault ? reject(fault) : resolve(`placed ${printed}`)));
      }),
    release: () => void counts.released++,
  };
  const ended: string[] = [];
  const work: Work = { abort: () => ended.push("aborted"), closed: () => ended.push("closed") };
  const next = async (fault?: StatorError): Promise<void> => {
    await turn();
    waiting.shift()?.(fault);
    await turn();
  };
  return { inner, reply: new RegionReply(inner, places), work, ended, next, counts };
}

const FAULT = new StatorError("INVALID_ARGUMENT", { detail: "too long" });

test("events are placed one after the other, and told in their order", async () => {
  const { inner, reply, work, ended, next, counts } = openRig();
  reply.work = work;
  reply.openEvents();
  expect([reply.write("a"), reply.writeAll(["b", "c"])]).toEqual([true, true]);
  reply.endEvents();
  for (const _ of "abc") await next();
  expect(inner.said).toEqual(["open", "placed a", "placed b", "placed c", "end "]);
  expect([ended, counts.released > 0, reply.closed]).toEqual([["closed"], true, true]);
});

test("whoever prints is told to wait, by the client and by what is not placed yet", async () => {
  const { inner, reply, next } = openRig();
  reply.openEvents();
  for (let at = 1; at < 8; at++) expect(reply.write(`${at}`)).toBe(true);
  expect(reply.write("8")).toBe(false);
  let drained = 0;
  reply.whenDrained(
    () => drained++,
    () => {},
  );
  inner.takes = false;
  for (let at = 1; at <= 8; at++) await next();
  expect(drained).toBe(0);
  inner.onDrain?.();
  expect(drained).toBe(1);
  expect(reply.write("9")).toBe(true);
  await next();
  expect(reply.write("10")).toBe(false);
});

test("an output that cannot be placed fails the request, whole or in the middle, and nothing more is told", async () => {
  const one = openRig();
  one.reply.work = one.work;
  one.reply.whole("body");
  expect(one.reply.answered).toBe(true);
  one.reply.fail(FAULT);
  await one.next(FAULT);
  expect(one.inner.said).toEqual(["fail INVALID_ARGUMENT"]);
  const two = openRig();
  two.reply.work = two.work;
  two.reply.openEvents();
  two.reply.writeAll(["a", "b"]);
  await two.next();
  await two.next(FAULT);
  two.reply.write("c");
  two.reply.endEvents();
  await turn();
  expect(two.inner.said).toEqual(["open", "placed a", "end INVALID_ARGUMENT"]);
  for (const { ended, counts } of [one, two]) expect([ended, counts.released > 0]).toEqual([["closed"], true]);
});

test("the places are given back when the client leaves, and where no work ever began", async () => {
  const left = openRig();
  left.reply.work = left.work;
  left.reply.whole("body");
  left.inner.closed = true;
  left.inner.work?.closed();
  await left.next();
  expect([left.ended, left.counts.released > 0]).toEqual([["closed"], true]);
  const early = openRig();
  early.reply.whole("body");
  await early.next();
  expect([early.inner.said, early.counts.released]).toEqual([["whole placed body"], 1]);
  const failed = openRig();
  failed.reply.fail(FAULT);
  expect([failed.inner.said, failed.counts.released]).toEqual([["fail INVALID_ARGUMENT"], 1]);
});

test("answers that are bytes are placed in their region, whole or on a stream", async () => {
  const regions = new SharedRegions();
  const object = objects.create(16);
  regions.register({ name: "out", key: object.key, offsetBytes: 0, lengthBytes: 16 });
  const parameters = printRegionPart({ region: "out", offsetBytes: 4, lengthBytes: 8 });
  const request = create(ModelInferRequestSchema, { outputs: [{ name: "text_output", parameters }] });
  const answer = (...bytes: number[]) =>
    create(ModelInferResponseSchema, {
      outputs: [{ name: "text_output" }],
      rawOutputContents: [Uint8Array.from(bytes)],
    });
  const hold = regions.hold(request);
  if (!hold) throw new Error("nothing is held");
  const whole = createRegionPlaces(hold, "whole");
  const told = fromBinary(
    ModelInferResponseSchema,
    await whole.place(toBinary(ModelInferResponseSchema, answer(1, 2))),
  );
  expect(told.rawOutputContents).toEqual([new Uint8Array(0)]);
  expect(object.read().subarray(4, 6)).toEqual(Buffer.of(1, 2));
  const stream = createRegionPlaces(hold, "onStream");
  const message = create(ModelStreamInferResponseSchema, { inferResponse: answer(3) });
  const event = await stream.place(toBinary(ModelStreamInferResponseSchema, message));
  expect(fromBinary(ModelStreamInferResponseSchema, event).inferResponse?.rawOutputContents).toHaveLength(1);
  expect(object.read()[4]).toBe(3);
  const nothing = new Uint8Array(0);
  expect(await stream.place(nothing)).toBe(nothing);
  const error = toBinary(
    ModelStreamInferResponseSchema,
    create(ModelStreamInferResponseSchema, { errorMessage: "no" }),
  );
  expect(await stream.place(error)).toBe(error);
  stream.release();
  regions.close();
  expect(regions.open).toBe(0);
});
