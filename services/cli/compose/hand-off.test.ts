import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CancelMode, RequestKind } from "#gen/stator/worker/v1/link_pb";
import { PayloadService } from "#gen/stator/worker/v1/payload_pb";
import { writeU32 } from "#lib/base/bytes";
import { SeededChance } from "#lib/base/chance";
import { loadNative } from "#lib/native/addon";
import { openClient } from "#lib/rpc/open-client";
import { handOver, LegCaller } from "../../../test/support/leg-caller.ts";
import { buildNixlSim } from "../../../test/support/nixl.ts";
import { createWorker, type ServingWorker } from "./library.ts";

const nixl = loadNative().addon ? { "transfer.nixl": buildNixlSim() } : {};
const OPTIONS = { engine: "mock", "mock.speed": 0, "grpc.port": 0, "transfer.lease-ms": 60_000, ...nixl } as const;
const workers: ServingWorker[] = [];
const callers: LegCaller[] = [];
const chance = new SeededChance(14n);

beforeAll(async () => {
  for (const role of ["prefill", "decode", "aggregated"] as const) {
    const worker = await createWorker({ ...OPTIONS, role });
    workers.push(worker);
    callers.push(new LegCaller(worker.address));
  }
  await Promise.all(callers.map(({ ready }) => ready));
});

afterAll(async () => {
  for (const caller of callers) caller.close();
  for (const worker of workers) await worker.close();
});

const draw = (below: number) => Math.floor(chance.next() * below);
const promptOf = (tokens: number) => writeU32(Array.from({ length: tokens }, () => 10 + draw(400)));
const ask = (more = {}) => ({
  model: workers[0]!.card.model,
  promptTokenIds: promptOf(100),
  stopping: { maxTokens: 24 },
  ...more,
});

describe("an answer in two legs", () => {
  it.each([
    ["greedy", {}],
    ["drawn, with a seed and a choice", { sampling: { temperature: 1, seed: 5n }, choice: 3 }],
    ["with penalties and a salt", { sampling: { temperature: 0.8, seed: 6n, frequencyPenalty: 1 }, cacheSalt: "salt" }],
    ["with log-probabilities", { outputs: { logprobs: true, topLogprobs: 3 } }],
    ["of a prompt shorter than a block", { promptTokenIds: promptOf(5) }],
    ["of a prompt of whole blocks", { promptTokenIds: promptOf(64) }],
    ["that goes on from an earlier attempt", { generatedTokenIds: writeU32([20, 21, 22]) }],
  ])("is the one of a worker that does it all: %s", async (_, more) => {
    const [prefill, decode, whole] = callers as [LegCaller, LegCaller, LegCaller];
    const request = ask(more);
    const wanted = await whole.run(request);
    const { generatedTokenIds = new Uint8Array(0) } = request as { generatedTokenIds?: Uint8Array };
    const first = await prefill.run({ ...request, kind: RequestKind.PREFILL });
    expect(first.tokens).toHaveLength(1);
    const generated = new Uint8Array([...generatedTokenIds, ...writeU32(first.tokens)]);
    const second = await decode.run({ ...request, generatedTokenIds: generated, session: first.session! });
    expect([...first.tokens, ...second.tokens]).toEqual(wanted.tokens);
    expect([...first.logprobs, ...second.logprobs]).toEqual(wanted.logprobs);
    expect([...first.tops, ...second.tops]).toEqual(wanted.tops);
    expect([second.end, second.completionTokens]).toEqual([wanted.end, wanted.completionTokens]);
    const prompt = (request.promptTokenIds.length + generatedTokenIds.length) / 4;
    expect(second.transfer).toMatchObject({ blocks: Math.floor(prompt / 16), heldBlocks: 0, reason: "" });
  });

  it("meets in a room, whoever is first", async () => {
    const [prefill, decode, whole] = callers as [LegCaller, LegCaller, LegCaller];
    const [host = "", port = ""] = workers[0]!.address.split(":");
    for (const isDecodeFirst of [true, false]) {
      const request = ask({ sampling: { temperature: 1, seed: 8n }, promptTokenIds: promptOf(300) });
      const room = { number: chance.id(), host, port: Number(port) };
      const legs = [
        () => prefill.run({ ...request, kind: RequestKind.PREFILL, room }),
        () => decode.run({ ...request, room }),
      ];
      const running = (isDecodeFirst ? legs.reverse() : legs).map((leg) => leg());
      const [first, second] = await Promise.all(isDecodeFirst ? running.reverse() : running);
      expect(second).toMatchObject({ end: "length", transfer: { blocks: 18, reason: "" } });
      const wanted = await whole.run(request);
      expect([...first!.tokens, ...second!.tokens]).toEqual(wanted.tokens);
    }
  });

  it("brings only what is lacking, and computes what nobody keeps any more", async () => {
    const [prefill, decode, whole] = callers as [LegCaller, LegCaller, LegCaller];
    const request = ask();
    const once = await handOver(prefill, decode, request);
    const twice = await handOver(prefill, decode, request);
    expect(twice.second?.transfer).toMatchObject({ blocks: 0, heldBlocks: 6, reason: "" });
    const other = { ...ask(), cacheSalt: "late" };
    const first = await prefill.run({ ...other, kind: RequestKind.PREFILL });
    const { client, close } = openClient(PayloadService, workers[0]!.address);
    await client.release({ sessionIds: [first.session!.sessionId] });
    close();
    await expect.poll(() => prefill.step?.openSessions, { timeout: 5000 }).toBe(0);
    const late = await decode.run({ ...other, generatedTokenIds: writeU32(first.tokens), session: first.session! });
    expect(late.transfer).toMatchObject({ blocks: 0, reason: "NOT_FOUND" });
    expect([once.tokens, twice.tokens]).toEqual([twice.tokens, (await whole.run(request)).tokens]);
    expect([...first.tokens, ...late.tokens]).toEqual((await whole.run(other)).tokens);
  });

  it
    .skipIf(loadNative().unavailable !== undefined)
    .each(["shared-memory", "process-memory", "nixl", "tcp", "grpc"] as const)(
    "is the same by the way %s, which an option forces",
    async (rung) => {
      const [prefill, , whole] = callers as [LegCaller, LegCaller, LegCaller];
      const worker = await createWorker({ ...OPTIONS, role: "decode", "transfer.rung": rung });
      const decode = new LegCaller(worker.address);
      await decode.ready;
      const request = ask({ sampling: { temperature: 1, seed: 9n } });
      const { tokens, second } = await handOver(prefill, decode, request);
      expect(second?.transfer).toMatchObject({ rung, blocks: 6, reason: "" });
      expect(tokens).toEqual((await whole.run(request)).tokens);
      decode.close();
      await worker.close();
    },
  );

  it("keeps nothing of what its engine refuses", async () => {
    const [prefill] = callers as [LegCaller];
    const guidance = { grammar: 'root ::= "a"' };
    const refused = await prefill.run({ ...ask({ guidance }), kind: RequestKind.PREFILL });
    expect(refused).toMatchObject({ end: "UNSUPPORTED_FEATURE", tokens: [], session: undefined });
  });

  it("may be cancelled while it waits for a room, with one end", async () => {
    const [, decode] = callers as [LegCaller, LegCaller];
    const [host = "", port = ""] = workers[0]!.address.split(":");
    const leg = decode.start(ask({ room: { number: 99n, host, port: Number(port) } }));
    decode.link.cancel(leg.handle, CancelMode.KILL);
    expect(await leg.done).toMatchObject({ end: "cancelled", tokens: [] });
  });
});
