import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import { ErrorCode } from "#gen/openengine/v1/error_pb";
import { FinishReason, type GenerateRequestSchema } from "#gen/openengine/v1/generation_pb";
import { AbortStatus } from "#gen/openengine/v1/lifecycle_pb";
import { StatorError } from "#lib/base/errors";
import type { GenerateRequest } from "#lib/engines/engine";
import { settle, WorkerRig } from "../../../test/support/worker-rig.ts";

const rigs: WorkerRig[] = [];

async function started(...args: ConstructorParameters<typeof WorkerRig>): Promise<WorkerRig> {
  const rig = new WorkerRig(...args);
  rigs.push(rig);
  await rig.start();
  return rig;
}

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.worker.close();
});

type Init = MessageInitShape<typeof GenerateRequestSchema>;
const ASK: Init = { requestId: "r", input: { case: "tokenIds", value: { ids: [1, 2, 3] } } };

describe("a generation", () => {
  it("gives deltas, one end per output, and usage with the last message alone", async () => {
    const rig = await started();
    const call = await rig.generate({ ...ASK, sampling: { numSequences: 2 } });
    const [a, b] = rig.engine.ids as [number, number];
    rig.engine.step({ tokens: { [a]: [10], [b]: [20] } });
    rig.engine.step({ tokens: { [a]: [11, 12] }, finishes: [{ id: b, reason: "length" }] });
    rig.engine.step({ finishes: [{ id: a, reason: "end", stopToken: 2, cachedTokens: 2, completionTokens: 3 }] });
    await settle();
    const said = call.messages.map(({ event }) => {
      if (event.case === "token")
        return `${event.value.outputIndex}: ${event.value.tokens.map((each) => each.tokenId)}`;
      return event.case === "finished" ? `${event.value.outputIndex} ended by ${event.value.reason}` : event.case;
    });
    expect(said).toEqual([
      "0: 10",
      "1: 20",
      `1 ended by ${FinishReason.LENGTH}`,
      "0: 11,12",
      `0 ended by ${FinishReason.STOP}`,
    ]);
    expect(call.messages.map(({ requestId }) => requestId)).toEqual(Array(5).fill("r"));
    expect(call.messages.slice(0, 4).map(({ usage }) => usage)).toEqual(Array(4).fill(undefined));
    expect(call.messages[4]).toMatchObject({
      usage: { promptTokens: 3, completionTokens: 4, totalTokens: 7, cachedPromptTokens: 2 },
      event: { value: { stopMatch: { match: { case: "eosTokenId", value: 2 } } } },
    });
    expect(call.status).toBe("OK");
  });

  it("passes everything on that was asked", async () => {
    const rig = await started();
    await rig.generate(
      {
        ...ASK,
        sampling: {
          temperature: 0.5,
          topP: 0.9,
          topK: -1,
          minP: 0.1,
          frequencyPenalty: 1,
          presencePenalty: -1,
          repetitionPenalty: 1.5,
          seed: 5n,
          numSequences: 2,
        },
        stopping: {
          maxTokens: 9,
          minTokens: 1,
          ignoreEos: true,
          conditions: [{ condition: { case: "stopTokenId", value: 7 } }],
        },
        response: { returnOutputLogprobs: true, outputCandidates: { selection: { case: "topN", value: 3 } } },
        kv: { cacheSalt: "salt" },
        guided: { guide: { case: "ebnfGrammar", value: 'root ::= "a"' } },
      },
      { "openengine-priority": "-3" },
    );
    const [first, second] = [...rig.engine.open.values()] as GenerateRequest[];
    expect(first).toMatchObject({
      promptTokens: Uint32Array.of(1, 2, 3),
      choice: 0,
      sampling: { temperature: 0.5, topP: 0.9, topK: 0, minP: 0.1, frequencyPenalty: 1, presencePenalty: -1, seed: 5n },
      stopping: { maxTokens: 9, minTokens: 1, ignoreEos: true, stopTokens: Uint32Array.of(7) },
      topLogprobs: 3,
      cacheSalt: "salt",
      guidance: { kind: "ebnfGrammar", grammar: 'root ::= "a"' },
      priority: -3,
    });
    expect(second).toMatchObject({ choice: 1, sampling: first!.sampling });
  });

  it("goes on with an answer of which a caller of ours says where it is", async () => {
    const rig = await started();
    const extra = { stator_generated_tokens: 2, stator_choice: 3, other: "ignored" };
    await rig.generate({ ...ASK, extra, stopping: { maxTokens: 4, minTokens: 1 } });
    const [request] = [...rig.engine.open.values()] as GenerateRequest[];
    expect(request).toMatchObject({
      ...{ promptTokens: Uint32Array.of(1), generatedTokens: Uint32Array.of(2, 3), choice: 3 },
      stopping: { maxTokens: 6, minTokens: 3 },
    });
    for (const wrong of [3, -1, 0.5, "2"]) {
      const call = await rig.generate({ ...ASK, requestId: "w", extra: { stator_generated_tokens: wrong } });
      expect(call).toMatchObject({ status: "INVALID_ARGUMENT", messages: [] });
    }
  });

  it("gives tokens with log-probabilities one by one, however many a step has", async () => {
    const rig = await started();
    const call = await rig.generate({ ...ASK, response: { returnOutputLogprobs: true } });
    const [id] = rig.engine.ids as [number];
    const none = { topTokens: new Uint32Array(0), topValues: new Float32Array(0) };
    rig.engine.step({ tokens: { [id]: [10, 11] }, logprobs: [{ id, chosen: Float32Array.of(-1, -2), ...none }] });
    rig.engine.step({ tokens: { [id]: [12] }, logprobs: [{ id, chosen: Float32Array.of(-3), ...none }] });
    await settle();
    const said = call.messages.map(({ event }) => {
      return event.case === "token" ? event.value.tokens.map(({ tokenId, logprob }) => [tokenId, logprob]) : [];
    });
    expect(said).toEqual([[[10, -1]], [[11, -2]], [[12, -3]]]);
  });

  it("fills in what was left open, with draws of its own", async () => {
    const rig = await started();
    await rig.generate({ requestId: "a", input: { case: "prompt", value: "hi" } });
    await rig.generate({ requestId: "b", input: { case: "prompt", value: "hi" } });
    const [one, two] = [...rig.engine.open.values()] as GenerateRequest[];
    expect(one).toMatchObject({
      promptTokens: Uint32Array.of(104, 105),
      sampling: { temperature: 1, topP: 1, topK: 0 },
    });
    expect(one!.stopping).toMatchObject({ maxTokens: 512, minTokens: 0, ignoreEos: false });
    expect(one!.topLogprobs).toBeUndefined();
    expect(one!.sampling.seed).not.toBe(two!.sampling.seed);
  });

  it("draws as the model does by itself where the request does not say", async () => {
    const rig = await started({ defaultSampling: { temperature: 0.7, top_k: -1, min_p: 0.1 } });
    await rig.generate({ ...ASK, sampling: { temperature: 0 } });
    const [request] = [...rig.engine.open.values()] as GenerateRequest[];
    expect(request!.sampling).toMatchObject({ temperature: 0, topK: 0, minP: 0.1, topP: 1 });
  });

  it("keeps a stop token in the output when asked, and says which one it was", async () => {
    const rig = await started();
    const call = await rig.generate({ ...ASK, stopping: { includeStopInOutput: true } });
    const [id] = rig.engine.ids as [number];
    rig.engine.step({
      tokens: { [id]: [10] },
      finishes: [{ id, reason: "stop_token", stopToken: 7, completionTokens: 1 }],
    });
    await settle();
    expect(call.messages).toMatchObject([
      { event: { case: "token", value: { tokens: [{ tokenId: 10 }, { tokenId: 7 }] } } },
      { event: { value: { stopMatch: { match: { case: "stopTokenId", value: 7 } } } }, usage: { completionTokens: 2 } },
    ]);
  });
});

describe("a refused generation", () => {
  const wrong: [string, Init, string][] = [
    ["no request id", { ...ASK, requestId: "" }, "INVALID_ARGUMENT"],
    ["no input", { requestId: "r" }, "INVALID_ARGUMENT"],
    ["no sequences", { ...ASK, sampling: { numSequences: 0 } }, "INVALID_ARGUMENT"],
    ["too many sequences", { ...ASK, sampling: { numSequences: 129 } }, "INVALID_ARGUMENT"],
    ["a hot temperature", { ...ASK, sampling: { temperature: 3 } }, "INVALID_ARGUMENT"],
    ["no temperature at all", { ...ASK, sampling: { temperature: Number.NaN } }, "INVALID_ARGUMENT"],
    ["no tokens", { ...ASK, stopping: { maxTokens: 0 } }, "INVALID_ARGUMENT"],
    ["a minimum above the limit", { ...ASK, stopping: { maxTokens: 2, minTokens: 3 } }, "INVALID_ARGUMENT"],
    ["a condition that says nothing", { ...ASK, stopping: { conditions: [{}] } }, "INVALID_ARGUMENT"],
    [
      "an empty stop text",
      { ...ASK, stopping: { conditions: [{ condition: { case: "stopText", value: "" } }] } },
      "INVALID_ARGUMENT",
    ],
    ["another model", { ...ASK, model: "other" }, "MODEL_NOT_FOUND"],
    ["an unknown adapter", { ...ASK, loraName: "pirate" }, "NOT_FOUND"],
    ["a guide that says nothing", { ...ASK, guided: {} }, "INVALID_ARGUMENT"],
    ["a regular expression", { ...ASK, guided: { guide: { case: "regex", value: "a" } } }, "UNSUPPORTED_FEATURE"],
    ["a broken schema", { ...ASK, guided: { guide: { case: "jsonSchema", value: "{" } } }, "INVALID_ARGUMENT"],
    ["no choices", { ...ASK, guided: { guide: { case: "choice", value: { choices: [] } } } }, "INVALID_GRAMMAR"],
    [
      "a grammar engine by name",
      { ...ASK, guided: { guide: { case: "jsonObject", value: {} }, backend: "xgrammar" } },
      "UNSUPPORTED_FEATURE",
    ],
    ["a picture", { ...ASK, media: [{ source: { case: "url", value: "http://a" } }] }, "UNSUPPORTED_FEATURE"],
    ["a hand-off", { ...ASK, kv: { session: { sessionId: "s" } } }, "UNSUPPORTED_FEATURE"],
    ["the cache passed by", { ...ASK, kv: { bypassPrefixCache: true } }, "UNSUPPORTED_FEATURE"],
    ["prompt log-probabilities", { ...ASK, response: { returnPromptLogprobs: true } }, "UNSUPPORTED_FEATURE"],
    [
      "the whole vocabulary",
      { ...ASK, response: { returnOutputLogprobs: true, outputCandidates: { selection: { case: "all", value: {} } } } },
      "UNSUPPORTED_FEATURE",
    ],
  ];

  it.each(wrong)("(%s) is a status without a message, and nothing ran", async (_, request, reason) => {
    const rig = await started();
    const call = await rig.generate(request);
    expect(call).toMatchObject({ status: reason, messages: [] });
    expect(rig.engine.open.size).toBe(0);
    expect((await rig.generate({ ...ASK, requestId: "r" })).status, "its name is free").toBeUndefined();
  });

  it("(by its headers) is a status too", async () => {
    const rig = await started();
    for (const [name, value] of [
      ["openengine-priority", "x"],
      ["openengine-target-dp-rank", "1"],
    ] as const) {
      expect(await rig.generate(ASK, { [name]: value })).toMatchObject({ status: "INVALID_ARGUMENT", messages: [] });
    }
  });

  it("(because its name is taken) leaves the other one alone", async () => {
    const rig = await started();
    const first = await rig.generate(ASK);
    const second = await rig.generate(ASK);
    expect(second).toMatchObject({ status: "ALREADY_EXISTS", messages: [] });
    expect(rig.engine.open.size).toBe(1);
    const [id] = rig.engine.ids as [number];
    rig.engine.step({ finishes: [{ id, reason: "length" }] });
    await settle();
    expect(first.status).toBe("OK");
    expect((await rig.generate(ASK)).status).toBeUndefined();
  });

  it("of an engine that takes text is a prompt and pieces of text, counted by the engine", async () => {
    const rig = await started({ input: "text", artifacts: [] });
    rig.engine.text = undefined;
    const wrong = [ASK, { ...ASK, input: undefined }];
    for (const ask of wrong) expect((await rig.generate(ask)).status).toBe("INVALID_ARGUMENT");
    const prompt = { ...ASK, input: { case: "prompt", value: "Once" } } as const;
    const logprobs = { returnOutputLogprobs: true };
    expect((await rig.generate({ ...prompt, response: logprobs })).status).toBe("UNSUPPORTED_FEATURE");
    const conditions = [{ condition: { case: "stopText", value: "end" } }] as const;
    const call = await rig.generate({
      ...prompt,
      sampling: { numSequences: 2 },
      stopping: { conditions: [...conditions] },
    });
    const [a, b] = rig.engine.ids as [number, number];
    expect(rig.engine.open.get(a)).toMatchObject({ promptText: "Once", promptTokens: new Uint32Array(0) });
    rig.engine.step({
      texts: [
        { id: a, text: " upon" },
        { id: b, text: " to the e" },
        { id: b, text: "nd of it" },
      ],
    });
    expect(rig.engine.cancels).toEqual([{ ids: [b], mode: "stop" }]);
    const numbers = { promptTokens: 2, completionTokens: 9, cachedTokens: 1 };
    rig.engine.step({
      finishes: [
        { id: b, reason: "cancelled", ...numbers },
        { id: a, reason: "end", ...numbers },
      ],
    });
    await settle();
    const texts = call.messages.map(({ event }) => (event.case === "token" ? event.value.text : event.case));
    expect(texts).toEqual([" upon", " to the ", "finished", "finished"]);
    expect(call.messages.at(-1)!.usage).toMatchObject({
      ...{ promptTokens: 2, completionTokens: 11, cachedPromptTokens: 1, totalTokens: 13 },
    });
    const { supportsTextInput, supportsTokenIdsInput } = await rig.control.getModelInfo({});
    expect([supportsTextInput, supportsTokenIdsInput]).toEqual([true, false]);
  });

  it("that is refused later gets a status as long as nothing was sent, and else an error behind what was", async () => {
    const rig = await started();
    rig.engine.answersLater = true;
    const overloaded = new StatorError("OVERLOADED", { what: "the server" });
    const call = await rig.generate({ ...ASK, sampling: { numSequences: 2 } });
    const [a, b] = rig.engine.ids as [number, number];
    rig.engine.admit(a);
    rig.engine.refuseLate(b, overloaded);
    await settle();
    expect(call).toMatchObject({ status: "OVERLOADED", messages: [] });
    expect(rig.engine.cancels).toEqual([{ ids: [a], mode: "kill" }]);
    rig.engine.step({ finishes: [{ id: a, reason: "cancelled" }] });
    const begun = await rig.generate({ ...ASK, sampling: { numSequences: 2 } });
    const [c, d] = rig.engine.ids as [number, number];
    rig.engine.admit(c);
    rig.engine.step({ tokens: { [c]: [7] } });
    rig.engine.refuseLate(d, overloaded);
    await settle();
    expect(begun.status).toBe("OK");
    expect(begun.messages.map(({ event }) => event.case)).toEqual(["token", "error"]);
  });

  it("(at its third sequence) kills the first two and says nothing of them", async () => {
    const rig = await started();
    const { engine } = rig;
    const submit = engine.submit.bind(engine);
    engine.submit = (request) => {
      if (engine.open.size === 2) throw new StatorError("OVERLOADED", { what: "the engine" });
      return submit(request);
    };
    const call = await rig.generate({ ...ASK, sampling: { numSequences: 3 } });
    expect(call).toMatchObject({ status: "OVERLOADED", messages: [] });
    expect(engine.cancels).toEqual([{ ids: engine.ids, mode: "kill" }]);
    const late = engine.ids;
    engine.submit = submit;
    const again = await rig.generate(ASK);
    engine.step({ finishes: late.map((id) => ({ id, reason: "cancelled" as const })) });
    await settle();
    expect(again.status, "the same name again, and the old end does not reach it").toBeUndefined();
    expect((await rig.generate(ASK)).status).toBe("ALREADY_EXISTS");
  });
});

describe("a generation that fails after it was accepted", () => {
  it("ends with one error and OK behind what had come, and its other sequences stop", async () => {
    const rig = await started();
    const call = await rig.generate({ ...ASK, sampling: { numSequences: 2 } });
    const [a, b] = rig.engine.ids as [number, number];
    const error = new StatorError("ENGINE_FAILED", { detail: "a bad block" });
    rig.engine.step({ tokens: { [b]: [5] }, finishes: [{ id: a, reason: "failed", error }] });
    expect(rig.engine.cancels).toEqual([{ ids: [b], mode: "stop" }]);
    rig.engine.step({ tokens: { [b]: [6] } });
    rig.engine.finishCancelled();
    await settle();
    expect(call.messages).toMatchObject([
      { event: { case: "token", value: { outputIndex: 1, tokens: [{ tokenId: 5 }] } } },
      {
        event: { case: "error", value: { code: ErrorCode.INTERNAL, message: error.message, retryable: true } },
        usage: { promptTokens: 3, completionTokens: 1, totalTokens: 4 },
      },
    ]);
    expect(call.status).toBe("OK");
  });

  it("does not take the name of a later one along", async () => {
    const rig = await started();
    await rig.generate({ ...ASK, sampling: { numSequences: 2 } });
    const [a] = rig.engine.ids as [number];
    rig.engine.step({
      finishes: [{ id: a, reason: "failed", error: new StatorError("OVERLOADED", { what: "blocks" }) }],
    });
    const again = await rig.generate(ASK);
    rig.engine.finishCancelled();
    expect(again.status).toBeUndefined();
    expect(await rig.control.abort({ target: { case: "requestId", value: "r" } })).toMatchObject({
      status: AbortStatus.ABORTED,
    });
  });

  it("because its caller does not read frees its slots at once, and its memory in a while", async () => {
    const rig = await started();
    const { engine, clock } = rig;
    const flood = (id: number) => {
      for (let step = 0; step < 200_000 && engine.cancels.length === 0; step++) engine.step({ tokens: { [id]: [1] } });
    };
    const slow = await rig.generate(ASK);
    slow.pause();
    flood(engine.ids[0]!);
    expect(engine.cancels).toEqual([{ ids: engine.ids, mode: "stop" }]);
    engine.finishCancelled();
    slow.resume();
    await settle();
    const last = slow.messages.at(-1)!;
    expect(last).toMatchObject({ event: { case: "error", value: { code: ErrorCode.OVERLOADED, retryable: true } } });
    expect(slow.messages.filter(({ event }) => event.case === "error")).toHaveLength(1);
    expect(slow.status).toBe("OK");

    engine.cancels.length = 0;
    const dead = await rig.generate(ASK);
    dead.pause();
    flood(engine.ids[0]!);
    engine.finishCancelled();
    clock.advance(30_000);
    dead.resume();
    await settle();
    expect(dead.status).toBe("OVERLOADED");
    expect(dead.messages.length).toBeLessThan(slow.messages.length);
  });
});

describe("the end of a generation by its caller", () => {
  it("kills what runs when the caller goes away", async () => {
    const rig = await started();
    const call = await rig.generate({ ...ASK, sampling: { numSequences: 2 } });
    const ids = rig.engine.ids;
    call.cancel();
    await settle();
    expect(rig.engine.cancels).toEqual([{ ids, mode: "kill" }]);
    expect((await rig.generate(ASK)).status, "its name is taken until the engine let go").toBe("ALREADY_EXISTS");
    rig.engine.finishCancelled();
    await settle();
    expect(call).toMatchObject({ status: "CANCELLED", messages: [] });
    expect((await rig.generate(ASK)).status).toBeUndefined();
  });

  it("by Abort gives each output its end, with usage at the last", async () => {
    const rig = await started();
    const call = await rig.generate({ ...ASK, sampling: { numSequences: 2 } });
    const [a] = rig.engine.ids as [number];
    rig.engine.step({ tokens: { [a]: [5] } });
    await rig.control.abort({ target: { case: "requestId", value: "r" } });
    rig.engine.finishCancelled();
    await settle();
    const ends = call.messages.filter(({ event }) => event.case === "finished");
    expect(ends).toMatchObject([
      { event: { value: { outputIndex: 0, reason: FinishReason.CANCELLED } } },
      { event: { value: { outputIndex: 1, reason: FinishReason.CANCELLED } }, usage: { completionTokens: 1 } },
    ]);
    expect(ends[0]!.usage).toBeUndefined();
    expect(call.status).toBe("OK");
    expect(await rig.control.abort({ target: { case: "requestId", value: "r" } })).toMatchObject({
      status: AbortStatus.ALREADY_FINISHED,
    });
  });

  it("by Abort of everything ends the requests of links as well", async () => {
    const rig = await started();
    const { link } = await rig.link();
    const { heard } = await rig.submit(link);
    const call = await rig.generate(ASK);
    await rig.control.abort({ target: { case: "allRequests", value: {} } });
    rig.engine.finishCancelled();
    await settle();
    expect(heard.said).toEqual(["accepted", "finish cancelled"]);
    expect(call.messages.at(-1)).toMatchObject({ event: { value: { reason: FinishReason.CANCELLED } } });
  });

  it("by Abort is refused without a target, or for a name that nobody knows", async () => {
    const { control } = await started();
    await expect(control.abort({})).rejects.toMatchObject({ reason: "INVALID_ARGUMENT" });
    await expect(control.abort({ target: { case: "requestId", value: "x" } })).rejects.toMatchObject({
      reason: "NOT_FOUND",
    });
    await expect(control.abort({ target: { case: "kvSession", value: {} } })).rejects.toMatchObject({
      reason: "NOT_FOUND",
    });
  });
});
