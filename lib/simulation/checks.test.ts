import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { beforeAll, describe, expect, it } from "vitest";
import { RequestRecordSchema } from "#gen/stator/frontend/v1/frontend_pb";
import { StatorError } from "#lib/base/errors";
import { readMockModel } from "#lib/engines/mock/mock-engine";
import { type PlainChanges, plainAsk } from "#lib/serving/plain-ask";
import { checkClient, type Truth } from "./checks.ts";
import { Client } from "./client.ts";
import { Oracle } from "./oracle.ts";
import { SimulatedProcess } from "./process.ts";
import { WEIGHTS } from "./weights.ts";
import { World } from "./world.ts";

describe("the checks of a world", () => {
  let oracles: Oracle[];
  let owner: SimulatedProcess;
  beforeAll(async () => {
    const model = await readMockModel(fileURLToPath(new URL("../../models/stator-demo-q8_0.gguf", import.meta.url)));
    oracles = WEIGHTS.map((weights) => new Oracle(model, weights));
    owner = new SimulatedProcess("frontend", new World(0, { model }));
  });

  const decision = { rule: "pinned" } as const;
  const place = { worker: 1n, attempt: 1, cachedTokens: 0, decision, waitedMs: undefined };
  const prompts = [Uint32Array.from({ length: 30 }, (_, at) => at)];

  /** A client that hears what `tell` makes of the right answer; what is wrong with it. */
  function complaints(
    tell: (client: Client, right: number[], other: number[]) => void,
    more: { readonly ask?: PlainChanges; readonly truth?: Partial<Truth>; readonly counted?: number } = {},
  ): string[] {
    const ask = plainAsk({ prompts, maxTokens: 6, ...more.ask });
    const client = new Client(ask, owner);
    const [right, other] = oracles.map((oracle) => [...oracle.answer(ask, 0).tokens]);
    client.onPlaced(place);
    tell(client, right!, other!);
    const usage = { promptTokens: 30, cachedTokens: 0, completionTokens: more.counted ?? 6 };
    const outcome = client.error ? "failed" : "finished";
    if (!client.error) client.onDone(usage);
    const reason = client.error?.reason ?? "";
    const records = [create(RequestRecordSchema, { ...usage, outcome, reason })];
    const truth = { oracles, records, isCalm: false, wasClosed: false, wasStill: false };
    return checkClient(client, { ...truth, ...more.truth }).map((text) => text.replace(/^r1: /, ""));
  }

  const end = { reason: "length", stopToken: undefined } as const;
  const hear = (client: Client, ...frames: number[][]) => {
    for (const frame of frames) client.onTokens(0, Uint32Array.from(frame), undefined);
    client.onEnd(0, end);
  };

  it("have nothing against the right answer, in whatever pieces, of one of the models", () => {
    expect(complaints((client, right) => hear(client, right))).toEqual([]);
    expect(complaints((client, right) => hear(client, right.slice(0, 2), right.slice(2)))).toEqual([]);
    expect(complaints((client, _right, other) => hear(client, other))).toEqual([]);
  });

  it.each<[string, (right: number[], other: number[]) => number[]]>([
    ["a lost token", (right) => right.toSpliced(2, 1)],
    ["a doubled token", (right) => right.toSpliced(2, 0, right[2]!)],
    ["two that changed places", (right) => right.with(1, right[2]!).with(2, right[1]!)],
    ["an answer that went on on other weights", (right, other) => [...right.slice(0, 3), ...other.slice(3)]],
  ])("find %s", (_what, change) => {
    const counted = change([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]).length;
    const found = complaints((client, right, other) => hear(client, change(right, other)), { counted });
    expect(found).toEqual([expect.stringMatching(/^choice 0 says what no model does/)]);
  });

  it("find an answer that ended too early, or by another reason", () => {
    const short = complaints((client, right) => hear(client, right.slice(0, 5)), { counted: 5 });
    expect(short).toEqual(["choice 0 ended by length after 5 tokens"]);
    const other = complaints((client, right) => {
      client.onTokens(0, Uint32Array.from(right), undefined);
      client.onEnd(0, { reason: "end", stopToken: undefined });
    });
    expect(other).toEqual(["choice 0 ended by end after 6 tokens"]);
  });

  it("find usage that is not what was heard, and a record that is missing or one too many", () => {
    expect(complaints((client, right) => hear(client, right), { counted: 7 })).toEqual([
      "its record says completionTokens 7 and not 6",
    ]);
    expect(complaints((client, right) => hear(client, right), { truth: { records: [] } })).toEqual([
      "it has 0 records",
    ]);
  });

  it("find what comes after an end, and twice", () => {
    const twice = complaints((client, right) => {
      hear(client, right);
      client.onEnd(0, end);
      client.onPlaced(place);
    });
    expect(twice).toEqual(["it heard an end of choice 0 after its end", "it heard of an attempt twice"]);
  });

  it("find errors that nobody may get", () => {
    const fail = (error: StatorError) => (client: Client) => client.onError(error);
    const [lost, busy] = [
      new StatorError("STREAM_LOST", { detail: "t" }),
      new StatorError("OVERLOADED", { what: "t" }),
    ];
    expect(complaints(fail(lost), { counted: 0 })).toEqual(["it was told STREAM_LOST"]);
    expect(complaints(fail(lost), { counted: 0, ask: { worker: 1n } })).toEqual([]);
    expect(complaints(fail(busy), { counted: 0 })).toEqual(["it was told OVERLOADED after it had run"]);
    expect(complaints(fail(lost), { counted: 0, ask: { worker: 1n }, truth: { isCalm: true } })).toHaveLength(1);
    expect(complaints(fail(new StatorError("INTERNAL")), { counted: 0 })).toHaveLength(1);
  });
});
