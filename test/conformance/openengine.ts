import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FinishReason, type LogProb } from "#gen/openengine/v1/generation_pb";
import { AbortStatus, HealthState } from "#gen/openengine/v1/lifecycle_pb";
import { CandidateTokenSelectionMode, GuidedDecodingMode, type ModelInfo } from "#gen/openengine/v1/model_pb";
import { EngineRole } from "#gen/openengine/v1/server_pb";
import { type Ask, codeOf, OpenEngineCaller, type OpenEngineRig } from "./openengine-rig.ts";

/** gRPC status codes that the contract names. */
const CODE = { invalid: 3, notFound: 5, exists: 6, precondition: 9, unimplemented: 12 } as const;

/** Every engine that speaks openengine.v1 as an aggregated one holds this; what it says it cannot do is to be refused. */
export function openEngineConformance(name: string, rig: OpenEngineRig): void {
  describe(`openengine.v1 of ${name}`, { timeout: 120_000 }, () => {
    let opened: Awaited<ReturnType<OpenEngineRig["open"]>>;
    let caller: OpenEngineCaller;
    let model: ModelInfo;
    const prompt: Ask = { input: { case: "prompt", value: rig.prompt } };
    const greedy: Ask = { ...prompt, sampling: { temperature: 0 }, stopping: { maxTokens: 24 } };

    beforeAll(async () => {
      opened = await rig.open();
      caller = new OpenEngineCaller(opened.transport);
      model = await caller.control.getModelInfo({});
    });

    afterAll(() => opened?.close());

    const whole = () => caller.ask(greedy);
    const running = async () => (await caller.control.getLoad({})).runningRequests ?? 0;

    it("says what it is", async () => {
      const info = await caller.control.getServerInfo({});
      expect(info.engineName).not.toBe("");
      expect(info.engineRole).toBe(EngineRole.AGGREGATED);
      expect(info.schemaRevision).toBeGreaterThanOrEqual(1);
      expect(info.minimumClientRevision).toBeLessThanOrEqual(info.schemaRevision);
      // A commit or a tag of a release, never a branch or the version of the package.
      expect(info.schemaRelease).not.toMatch(/^(main|v?\d+|)$/);
      expect(info.supportedModels).toContain(model.servedModelName);
      expect((await caller.control.getServerInfo({})).instanceId).toBe(info.instanceId);
      expect(await caller.control.getModelInfo({ model: model.servedModelName })).toEqual(model);
      expect(await codeOf(caller.control.getModelInfo({ model: "no-such-model" }))).toBe(CODE.notFound);
    });

    it("is well, and says so of its parts", async () => {
      const health = await caller.control.health({ includeInferenceProbe: true, model: model.servedModelName });
      expect(health.state).toBe(HealthState.READY);
      expect(health.checks.find((check) => check.name === "inference_probe")?.state).toBe(HealthState.READY);
      expect((await caller.control.health({ role: EngineRole.DECODE })).state).not.toBe(HealthState.READY);
    });

    it("answers a prompt in deltas and counts it", async () => {
      const answer = await whole();
      expect(answer.code).toBe(0);
      const [output] = answer.outputs;
      expect(output!.deltas).toBeGreaterThan(1);
      expect(output!.tokens.length).toBeGreaterThanOrEqual(8);
      expect(output!.text.length).toBeGreaterThan(0);
      expect(answer.usage!.promptTokens).toBeGreaterThan(0);
      expect(answer.usage!.cachedPromptTokens ?? 0).toBeLessThanOrEqual(answer.usage!.promptTokens);
      expect((await whole()).outputs[0]!.text).toBe(output!.text);
    });

    it("takes token ids as they are", async () => {
      const { outputs } = await whole();
      const ids = outputs[0]!.tokens.map(({ tokenId }) => tokenId);
      const answer = await caller.ask({ ...greedy, input: { case: "tokenIds", value: { ids } } });
      expect(answer.usage!.promptTokens).toBe(ids.length);
      expect(await refusal({ ...greedy, input: { case: "tokenIds", value: { ids: [0xffff_ffff] } } })).toBe(
        CODE.invalid,
      );
    });

    it("ends at the limit, not before the least length, and says which", async () => {
      const short = await caller.ask({ ...greedy, stopping: { maxTokens: 3 } });
      expect(short.outputs[0]!.tokens).toHaveLength(3);
      expect(short.outputs[0]!.finished).toMatchObject({ reason: FinishReason.LENGTH });
      const on = await caller.ask({ ...greedy, stopping: { maxTokens: 40, ignoreEos: true } });
      expect(on.outputs[0]!.tokens).toHaveLength(40);
    });

    it("ends at a stop text, which does not leak, and keeps it when asked", async () => {
      const { outputs } = await whole();
      const text = outputs[0]!.text;
      const at = Math.floor(text.length / 2);
      const stop = text.slice(at, at + 6);
      const first = text.indexOf(stop);
      const stopped = await caller.ask({ ...greedy, stopping: stopping("stopText", stop) });
      expect(stopped.outputs[0]!.text).toBe(text.slice(0, first));
      expect(stopped.outputs[0]!.finished).toMatchObject({
        reason: FinishReason.STOP,
        stopMatch: { match: { case: "stopText", value: stop } },
      });
      if (!model.generation?.supportsStopInOutput) return;
      const kept = await caller.ask({
        ...greedy,
        stopping: { ...stopping("stopText", stop), includeStopInOutput: true },
      });
      expect(kept.outputs[0]!.text).toBe(text.slice(0, first + stop.length));
    });

    it("ends at a stop token, and keeps it when asked", async () => {
      const { outputs } = await whole();
      const tokens = outputs[0]!.tokens.map(({ tokenId }) => tokenId);
      const stop = tokens[4]!;
      const before = tokens.slice(0, tokens.indexOf(stop));
      const ids = async (more: { includeStopInOutput?: boolean }) => {
        const { outputs: found } = await caller.ask({
          ...greedy,
          stopping: { ...stopping("stopTokenId", stop), ...more },
        });
        expect(found[0]!.finished).toMatchObject({
          reason: FinishReason.STOP,
          stopMatch: { match: { case: "stopTokenId", value: stop } },
        });
        return found[0]!.tokens.map(({ tokenId }) => tokenId);
      };
      expect(await ids({})).toEqual(before);
      if (model.generation?.supportsStopInOutput)
        expect(await ids({ includeStopInOutput: true })).toEqual([...before, stop]);
    });

    it("runs several sequences of one request, each with its end", async () => {
      const sampling = { temperature: 1, seed: 7n, numSequences: 3 };
      const ask: Ask = { ...prompt, sampling, stopping: { maxTokens: 12, ignoreEos: true } };
      const texts = async (one: Ask) => {
        const { outputs } = await caller.ask(one, { sequences: 3 });
        expect(outputs.map(({ tokens }) => tokens.length)).toEqual([12, 12, 12]);
        return outputs.map(({ text }) => text);
      };
      expect(await texts(ask), "a seed makes draws repeatable").toEqual(await texts(ask));
      const story = await texts({ ...ask, input: { case: "prompt", value: rig.storyPrompt } });
      expect(new Set(story).size, "each sequence has draws of its own").toBeGreaterThan(1);
    });

    it("reports log-probabilities, the most likely ones in order", async () => {
      const { supported, candidateSelectionModes = [], maxTopN = 0 } = model.generation?.outputLogprobs ?? {};
      const response = {
        returnOutputLogprobs: true,
        outputCandidates: { selection: { case: "topN", value: 3 } },
      } as const;
      if (!supported || !candidateSelectionModes.includes(CandidateTokenSelectionMode.TOP_N) || maxTopN < 3) {
        expect(await refusal({ ...greedy, response })).toBe(CODE.unimplemented);
        return;
      }
      const { outputs } = await caller.ask({ ...greedy, stopping: { maxTokens: 6 }, response });
      for (const token of outputs[0]!.tokens) {
        expect(token.logprob).toBeLessThanOrEqual(0);
        expect(token.candidates.map(({ rank }) => rank)).toEqual([1, 2, 3]);
        const values = token.candidates.map(({ logprob }: LogProb) => logprob);
        expect(values).toEqual(values.toSorted((left, right) => right - left));
        expect(token.rank === undefined || token.rank >= 1).toBe(true);
      }
      const [plain] = (await whole()).outputs;
      for (const { logprob, candidates } of plain!.tokens) expect([logprob, candidates]).toEqual([undefined, []]);
      const alone = await caller.ask({ ...greedy, response: { returnOutputLogprobs: true } });
      for (const { logprob, candidates } of alone.outputs[0]!.tokens) {
        expect(logprob).toBeDefined();
        expect(candidates).toEqual([]);
      }
    });

    it("keeps to a form, or refuses it", async () => {
      const modes = model.generation?.guidedDecoding?.modes ?? [];
      const choices = ["yes", "no"];
      const schema = JSON.stringify({
        type: "object",
        properties: { count: { type: "integer", minimum: 1, maximum: 9 } },
        required: ["count"],
        additionalProperties: false,
      });
      const text = async (guided: Ask["guided"]) => {
        const answer = await caller.ask({ ...greedy, stopping: { maxTokens: 200 }, guided });
        expect(answer.code).toBe(0);
        return answer.outputs[0]!.text;
      };
      const choice = { guide: { case: "choice", value: { choices } } } as const;
      if (modes.includes(GuidedDecodingMode.CHOICE)) expect(choices).toContain(await text(choice));
      else expect(await refusal({ ...greedy, guided: choice })).toBe(CODE.unimplemented);
      const json = { guide: { case: "jsonSchema", value: schema } } as const;
      if (modes.includes(GuidedDecodingMode.JSON_SCHEMA)) {
        expect(JSON.parse(await text(json))).toEqual({ count: expect.any(Number) });
      } else expect(await refusal({ ...greedy, guided: json })).toBe(CODE.unimplemented);
      const regex = { guide: { case: "regex", value: "[ab]{4}" } } as const;
      if (modes.includes(GuidedDecodingMode.REGEX)) expect(await text(regex)).toMatch(/^[ab]{4}$/);
      else expect(await refusal({ ...greedy, guided: regex })).toBe(CODE.unimplemented);
    });

    /** Code of a request that is to be refused: a status, and not one message. */
    async function refusal(ask: Ask, options: Parameters<OpenEngineCaller["ask"]>[1] = {}): Promise<number> {
      const { messages, code } = await caller.ask(ask, options);
      expect(messages).toEqual([]);
      return code;
    }

    it("refuses what contradicts itself before it begins", async () => {
      expect(await refusal(greedy, { requestId: "" })).toBe(CODE.invalid);
      expect(await refusal({})).toBe(CODE.invalid);
      expect(await refusal({ ...prompt, sampling: { numSequences: 0 } })).toBe(CODE.invalid);
      expect(await refusal({ ...prompt, sampling: { temperature: -1 } })).toBe(CODE.invalid);
      expect(await refusal({ ...prompt, stopping: { maxTokens: 0 } })).toBe(CODE.invalid);
      expect(await refusal({ ...prompt, stopping: { maxTokens: 2, minTokens: 3 } })).toBe(CODE.invalid);
      expect(await refusal({ ...prompt, model: "no-such-model" })).toBe(CODE.notFound);
      expect(await refusal({ ...prompt, loraName: "no-such-adapter" })).toBe(CODE.notFound);
    });

    it("refuses what it says that it cannot do", async () => {
      const { generation } = model;
      const session = await refusal({ ...prompt, kv: { session: { sessionId: "nobody" } } });
      expect([CODE.notFound, CODE.unimplemented]).toContain(session);
      const bypass: Ask = { ...greedy, kv: { bypassPrefixCache: true } };
      expect((await caller.ask(bypass)).code).toBe(generation?.supportsPrefixCacheBypass ? 0 : CODE.unimplemented);
      if (!model.supportsMultimodal) {
        const media = [
          { modality: 1, mimeType: "image/png", source: { case: "rawBytes", value: Uint8Array.of(1) } },
        ] as const;
        expect(await refusal({ ...prompt, media: [...media] })).toBe(CODE.unimplemented);
      }
      if (!generation?.promptLogprobs?.supported) {
        expect(await refusal({ ...prompt, response: { returnPromptLogprobs: true } })).toBe(CODE.unimplemented);
      }
    });

    it("reads the headers of the contract", async () => {
      const metadata = {
        traceparent: "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01",
        tracestate: "vendor=a",
        "openengine-routing-key": "tenant-5",
        "openengine-target-dp-rank": "0",
      };
      expect((await caller.ask(greedy, { metadata })).code).toBe(0);
      const urgent = await caller.ask(greedy, { metadata: { "openengine-priority": "-5" } });
      expect(urgent.code).toBe(model.generation?.supportsPriority ? 0 : CODE.unimplemented);
      for (const [header, value] of [
        ["openengine-priority", "high"],
        ["openengine-target-dp-rank", "-1"],
        ["traceparent", "nothing"],
      ] as const) {
        expect(await refusal(greedy, { metadata: { [header]: value } }), header).toBe(CODE.invalid);
      }
    });

    it("lets one request have a name, and gives it free", async () => {
      const long: Ask = { ...prompt, stopping: { maxTokens: 400, ignoreEos: true } };
      const first = caller.start(long);
      await first.begun;
      expect(await refusal(greedy, { requestId: first.requestId })).toBe(CODE.exists);
      first.cancel();
      await first.done;
      await expect.poll(running, { timeout: 30_000 }).toBe(0);
      expect((await caller.ask(greedy, { requestId: first.requestId })).code).toBe(0);
    });

    it("ends a request for its caller, who hears of it", async () => {
      const ask: Ask = { ...prompt, sampling: { numSequences: 2 }, stopping: { maxTokens: 400, ignoreEos: true } };
      const long = caller.start(ask, { sequences: 2 });
      await long.begun;
      const target = { case: "requestId", value: long.requestId } as const;
      expect((await caller.control.abort({ target })).status).toBe(AbortStatus.ABORTED);
      const { outputs, code } = await long.done;
      expect(code).toBe(0);
      expect(outputs.map(({ finished }) => finished?.reason)).toEqual([FinishReason.CANCELLED, FinishReason.CANCELLED]);
      expect((await caller.control.abort({ target })).status).toBe(AbortStatus.ALREADY_FINISHED);
      expect(await codeOf(caller.control.abort({ target: { case: "requestId", value: "nobody" } }))).toBe(
        CODE.notFound,
      );
      expect(await codeOf(caller.control.abort({}))).toBe(CODE.invalid);
      const calls = [1, 2, 3].map(() => caller.start(ask, { sequences: 2 }));
      await Promise.all(calls.map(({ begun }) => begun));
      expect((await caller.control.abort({ target: { case: "allRequests", value: {} } })).status).toBe(
        AbortStatus.ABORTED,
      );
      for (const call of calls) expect((await call.done).outputs[0]!.finished?.reason).toBe(FinishReason.CANCELLED);
      await expect.poll(running, { timeout: 30_000 }).toBe(0);
    });

    it("frees everything of a caller that went away", async () => {
      const ask: Ask = { ...prompt, stopping: { maxTokens: 400, ignoreEos: true } };
      const calls = Array.from({ length: 20 }, () => caller.start(ask));
      await calls[0]!.begun;
      for (const call of calls) call.cancel();
      await Promise.all(calls.map(({ done }) => done));
      await expect.poll(running, { timeout: 30_000 }).toBe(0);
      const load = await caller.control.getLoad({ includePerRank: true });
      expect(load.queuedRequests ?? 0).toBe(0);
      expect(load.instanceId).toBe((await caller.control.getServerInfo({})).instanceId);
      for (const rank of load.ranks) expect(rank.runningRequests ?? 0).toBe(0);
    });

    it("reuses a prefix within one salt and never across two", async () => {
      const cached = async (cacheSalt: string) => {
        const kv = model.generation?.supportsCacheSalt ? { cacheSalt } : undefined;
        const ask: Ask = { input: { case: "prompt", value: rig.longPrompt }, stopping: { maxTokens: 2 }, kv };
        return (await caller.ask(ask)).usage?.cachedPromptTokens;
      };
      const salt = caller.name();
      const first = await cached(salt);
      if (first === undefined) return;
      expect(await cached(salt)).toBeGreaterThan(0);
      if (!model.generation?.supportsCacheSalt) return;
      expect(first).toBe(0);
      expect(await cached(caller.name())).toBe(0);
    });

    it("tells of blocks that enter its cache", async () => {
      const events = caller.control.subscribeKvEvents({});
      const first = events.next();
      // Nothing says that the subscription stands: new prompts come until it has told of one.
      const ask = () =>
        caller.ask({ input: { case: "prompt", value: caller.name() + rig.longPrompt }, stopping: { maxTokens: 1 } });
      let told = false;
      const stored = first.then(() => {
        told = true;
      });
      for (let round = 0; round < 50 && !told; round++) await ask();
      await stored;
      const { value } = await first;
      expect(value?.event.case).toBe("batch");
      for (const { event } of value?.event.case === "batch" ? value.event.value.events : []) {
        if (event.case !== "blockStored") continue;
        const { blockHashes, tokenIds, blockSize } = event.value;
        expect(blockSize).toBeGreaterThan(0);
        expect(tokenIds).toHaveLength(blockHashes.length * blockSize);
        for (const { encoding, value: hash } of blockHashes) {
          expect(["int64", "string", "bytes", "engine_specific"]).toContain(encoding);
          expect(hash.length).toBeGreaterThan(0);
        }
      }
      await events.return(undefined);
    });

    it("loads adapters, or says that it does not", async () => {
      const adapter = { loraId: 11n, loraName: "conform", sourcePath: rig.adapterPath ?? "/nowhere" };
      const { control } = caller;
      if (!model.supportsLora) {
        expect(await codeOf(control.loadLora({ adapter }))).toBe(CODE.precondition);
        return;
      }
      expect(await codeOf(control.loadLora({ adapter: { ...adapter, loraId: 0n } }))).toBe(CODE.invalid);
      expect(await codeOf(control.loadLora({ adapter: { ...adapter, sourcePath: "relative" } }))).toBe(CODE.invalid);
      expect(await codeOf(control.unloadLora({ loraName: "no-such-adapter" }))).toBe(CODE.notFound);
      if (rig.adapterPath === undefined) return;
      expect(await control.loadLora({ adapter })).toMatchObject({ adapter, alreadyLoaded: false });
      expect(await control.loadLora({ adapter })).toMatchObject({ adapter, alreadyLoaded: true });
      const other = { ...adapter, sourcePath: "/elsewhere" };
      expect(await codeOf(control.loadLora({ adapter: other }))).toBe(CODE.exists);
      expect((await control.listLoras({})).adapters).toMatchObject([adapter]);
      const adapted = await caller.ask({ ...greedy, loraName: "conform" });
      expect(adapted.outputs[0]!.text).not.toBe((await whole()).outputs[0]!.text);
      expect(await control.unloadLora({ loraName: "conform" })).toMatchObject({ adapter });
      expect((await control.listLoras({})).adapters).toEqual([]);
      expect(await refusal({ ...greedy, loraName: "conform" })).toBe(CODE.notFound);
    });

    it("answers many at once, and each as if it were alone", async () => {
      const { outputs } = await whole();
      const answers = await Promise.all(Array.from({ length: 16 }, () => whole()));
      for (const answer of answers) expect(answer.outputs[0]!.text).toBe(outputs[0]!.text);
    });
  });
}

function stopping(kind: "stopText", value: string): NonNullable<Ask["stopping"]>;
function stopping(kind: "stopTokenId", value: number): NonNullable<Ask["stopping"]>;
function stopping(kind: string, value: string | number): NonNullable<Ask["stopping"]> {
  return { maxTokens: 24, conditions: [{ condition: { case: kind, value } as never }] };
}
