import { CancelMode, FinishReason, GuidanceForm, RequestKind } from "#gen/stator/worker/v1/link_pb";
import { viewBytes, writeU32 } from "#lib/base/bytes";
import { LINK_FEATURES } from "#lib/link/features";
import { isForwardPass } from "#lib/link/step";
import type { Check } from "./check.ts";
import { claimed, expect, seen } from "./failure.ts";
import type { LinkBench } from "./link-bench.ts";
import type { Answer, RawCaller, SubmitFields } from "./raw-caller.ts";

const ENDS: readonly FinishReason[] = [FinishReason.END, FinishReason.STOP_TOKEN, FinishReason.LENGTH];
/** Above this many places the check that fills them all would take too long. */
const MOST_PLACES = 10_000;
/** Requests in one message, so that it stays below the limit. */
const PER_MESSAGE = 256;

/** What only some engines have, by the name of its feature. */
const OPTIONAL: Readonly<Record<string, SubmitFields>> = {
  prefill: { kind: RequestKind.PREFILL },
  encode: { kind: RequestKind.ENCODE },
  score: { kind: RequestKind.SCORE },
  session: { session: { sessionId: "conform" } },
  room: { room: { number: 1n } },
  media: { media: [{ mediaType: "image/png" }] },
  engine_extras: { engineExtras: new TextEncoder().encode("{}") },
};

/** The life of requests. */
export const REQUEST_CHECKS: readonly Check<LinkBench>[] = [
  {
    name: "accepts, delivers in order, and ends a request exactly once",
    sentence: "Every handle gets exactly one Finish, unless the link ends before.",
    of: "docs/link.md",
    async run(bench) {
      const caller = await bench.greet();
      const answer = await caller.ask(1, { promptTokenIds: viewBytes(bench.prompt) });
      await caller.pause(100);
      checkWhole(answer, { promptTokens: bench.prompt.length, maxTokens: 8 });
    },
  },
  {
    name: "runs all requests of one message",
    sentence: "What a side says in one turn of its event loop leaves as one message at the turn's end.",
    of: "docs/link.md",
    async run(bench) {
      const caller = await bench.greet();
      const handles = [3, 1, 0xffff_ffff, 7];
      caller.say({
        submits: handles.map((handle) => caller.request(handle, { promptTokenIds: viewBytes(bench.prompt) })),
      });
      for (const handle of handles) await caller.finished(handle);
      for (const handle of handles) {
        checkWhole(caller.answer(handle), { promptTokens: bench.prompt.length, maxTokens: 8 });
      }
    },
  },
  {
    name: "takes a handle again after its terminal frame",
    sentence: "It is not used again before its Finish was seen; one that is used while it is open ends the link.",
    of: "docs/link.md",
    async run(bench) {
      const caller = await bench.greet();
      for (let round = 1; round <= 3; round++) {
        caller.say({ submits: [caller.request(5, { promptTokenIds: viewBytes(bench.prompt) })] });
        await caller.until(() => caller.answer(5).finishes.length === round, `Finish number ${round}`);
      }
      expect(caller.answer(5).accepted === 3, "it was not accepted three times");
    },
  },
  {
    name: "gives equal greedy requests equal answers",
    sentence: "0 takes the most likely token.",
    of: "Sampling.temperature",
    async run(bench) {
      claimed(bench.exact, "answers are not compared");
      const caller = await bench.greet();
      const first = await caller.ask(1, { promptTokenIds: viewBytes(bench.prompt) });
      const second = await caller.ask(2, { promptTokenIds: viewBytes(bench.prompt) });
      expectSame(second.tokens, first.tokens, "the second answer");
    },
  },
  {
    name: "puts a prompt in parts together",
    sentence: "what came in several frames is joined in their order, field by field",
    of: "docs/link.md",
    async run(bench) {
      const caller = await bench.greet();
      const whole = await caller.ask(1, { promptTokenIds: viewBytes(bench.prompt) });
      const parts = { promptTokenIds: writeU32(bench.prompt.slice(0, 2)), moreInput: true };
      caller.say({
        submits: [caller.request(2, parts)],
        parts: [{ handle: 2, promptTokenIds: writeU32(bench.prompt.slice(2, 3)) }],
      });
      caller.say({ parts: [{ handle: 2, promptTokenIds: writeU32(bench.prompt.slice(3)), last: true }] });
      await caller.finished(2);
      checkWhole(caller.answer(2), { promptTokens: bench.prompt.length, maxTokens: 8 });
      if (bench.exact) expectSame(caller.answer(2).tokens, whole.tokens, "the answer to the parts");
    },
  },
  {
    name: "continues behind the tokens of an earlier attempt",
    sentence:
      "Tokens that an earlier attempt generated, u32 little endian; kept apart from the prompt so that penalties, guidance, draws and usage stay right.",
    of: "Submit.generated_token_ids",
    async run(bench) {
      const caller = await bench.greet();
      const whole = await caller.ask(1, { promptTokenIds: viewBytes(bench.prompt) });
      expect(whole.tokens.length > 3, `an answer of ${whole.tokens.length} tokens is too short to continue`);
      const rest = await caller.ask(2, {
        promptTokenIds: viewBytes(bench.prompt),
        generatedTokenIds: writeU32(whole.tokens.slice(0, 3)),
      });
      const completion = rest.finishes[0]?.completionTokens;
      expect(
        completion === 3 + rest.tokens.length,
        `completion_tokens is ${completion}, not ${3 + rest.tokens.length}`,
      );
      expect(rest.finishes[0]?.promptTokens === bench.prompt.length, "prompt_tokens counts generated tokens");
      if (bench.exact) expectSame(rest.tokens, whole.tokens.slice(3), "the rest");
    },
  },
  {
    name: "puts an answer so far in parts together, when it says that it does",
    sentence: "parts: more than the prompt goes on in parts",
    of: "docs/link.md",
    async run(bench) {
      const caller = bench.open();
      const { features } = await caller.greet([LINK_FEATURES.parts]);
      claimed(features.includes(LINK_FEATURES.parts), "it does not have the feature parts");
      const prompt = { promptTokenIds: viewBytes(bench.prompt) };
      const whole = await caller.ask(1, prompt);
      expect(whole.tokens.length > 3, `an answer of ${whole.tokens.length} tokens is too short to continue`);
      const first = { ...prompt, generatedTokenIds: writeU32(whole.tokens.slice(0, 1)), moreInput: true };
      caller.say({
        submits: [caller.request(2, first)],
        parts: [{ handle: 2, generatedTokenIds: writeU32(whole.tokens.slice(1, 3)), last: true }],
      });
      await caller.finished(2);
      const rest = caller.answer(2);
      const completion = rest.finishes[0]?.completionTokens;
      expect(completion === 3 + rest.tokens.length, `completion_tokens is ${completion}`);
      if (bench.exact) expectSame(rest.tokens, whole.tokens.slice(3), "the rest");
    },
  },
  {
    name: "takes guidance as it was asked or refuses it by name, when it says that it takes it",
    sentence: "is compiled where the engine is, which refuses by name what it cannot hold, before Accepted",
    of: "docs/link.md",
    async run(bench) {
      const caller = bench.open();
      const { features } = await caller.greet([LINK_FEATURES.parts, LINK_FEATURES.guidance]);
      claimed(features.includes(LINK_FEATURES.guidance), "it does not have the feature guidance");
      const prompt = { promptTokenIds: viewBytes(bench.prompt) };
      const text = new TextEncoder().encode('{"type":"integer"}');
      const schema = await caller.ask(1, { ...prompt, guidance: { form: GuidanceForm.JSON_SCHEMA, text } });
      const refused = schema.finishes[0]?.error?.reason;
      expect(refused === undefined || schema.accepted === 0, "a form was refused after it was accepted");
      expect(refused === undefined || refused === "UNSUPPORTED_FEATURE", `a schema was refused with ${refused}`);
      for (const [at, guidance] of [{}, { form: 1_000 as GuidanceForm, text }].entries()) {
        const { accepted, finishes } = await caller.ask(at + 2, { ...prompt, guidance });
        expect(accepted === 0 && finishes[0]?.error?.reason, "a form that is none was accepted");
      }
    },
  },
  {
    name: "refuses kinds and fields that it does not have, by their names",
    sentence: "a worker without one refuses it with UNSUPPORTED_FEATURE by that name.",
    of: "docs/link.md",
    async run(bench) {
      const caller = bench.open();
      const { features } = await caller.greet(Object.keys(OPTIONAL));
      const asked = Object.entries(OPTIONAL).filter(([feature]) => !features.includes(feature));
      for (const [at, [feature, more]] of asked.entries()) {
        const { accepted, finishes } = await caller.ask(at + 1, { promptTokenIds: viewBytes(bench.prompt), ...more });
        expect(accepted === 0, `${feature} was accepted and not among the features`);
        expect(finishes[0]?.error?.reason === "UNSUPPORTED_FEATURE", `${feature} was refused by no name`);
      }
      const unknown = { promptTokenIds: viewBytes(bench.prompt), kind: 1_000 as RequestKind };
      const { accepted, finishes } = await caller.ask(asked.length + 1, unknown);
      expect(accepted === 0 && finishes[0]?.error?.reason, "an unknown kind was accepted");
    },
  },
  {
    name: "refuses what it cannot do with a terminal frame, unaccepted",
    sentence:
      "A request that is refused (its model is unknown, every place is taken, the worker drains) gets a Finish with an error and no Accepted.",
    of: "docs/link.md",
    async run(bench) {
      const caller = await bench.greet();
      const prompt = { promptTokenIds: viewBytes(bench.prompt) };
      caller.say({
        submits: [
          caller.request(1, { ...prompt, model: "no-such-model-here" }),
          caller.request(2, { ...prompt, kind: RequestKind.UNSPECIFIED }),
          caller.request(3, {}),
          caller.request(4, { ...prompt, stopping: { maxTokens: 4, ignoreEos: true } }),
        ],
      });
      for (const handle of [1, 2, 3]) {
        await caller.finished(handle);
        const { accepted, finishes } = caller.answer(handle);
        expect(accepted === 0, `handle ${handle} was accepted`);
        expect(finishes[0]?.error?.reason, `handle ${handle} ended without an error`);
      }
      await caller.finished(4);
      expect(!caller.answer(4).finishes[0]?.error, "a good request of the same message failed");
    },
  },
  {
    name: "answers every request beyond its places with a terminal frame",
    sentence:
      "A request that is refused (its model is unknown, every place is taken, the worker drains) gets a Finish with an error and no Accepted.",
    of: "docs/link.md",
    async run(bench) {
      const caller = await bench.greet();
      const places = (caller.welcome?.maxRunningRequests ?? 0) + (caller.welcome?.maxWaitingRequests ?? 0);
      seen(places > 0, "nobody knows how many places it has");
      seen(places <= MOST_PLACES, `it has ${places} places`);
      await fill(bench, caller, places + 8);
    },
  },
  {
    name: "reports its steps",
    sentence: "What one engine step made.",
    of: "Step",
    async run(bench) {
      const caller = await bench.greet();
      await caller.ask(1, { promptTokenIds: viewBytes(bench.prompt) });
      const passes = caller.steps.filter(isForwardPass);
      expect(passes.length > 0, "no step reports a forward pass");
      expect(
        passes.every((step) => step.durationUs > 0),
        "a step has no duration",
      );
      const ranks = new Map<number, bigint>();
      for (const { rank, step } of passes) {
        const before = ranks.get(rank);
        expect(before === undefined || step > before, `step ${step} of rank ${rank} came after ${before}`);
        ranks.set(rank, step);
      }
    },
  },
];

async function fill(bench: LinkBench, caller: RawCaller, count: number): Promise<void> {
  // Long enough that none ends while the others are still on their way.
  const long = { promptTokenIds: viewBytes(bench.prompt), stopping: { maxTokens: 512, ignoreEos: true } };
  const handles = Array.from({ length: count }, (_, at) => at + 1);
  for (let at = 0; at < count; at += PER_MESSAGE) {
    caller.say({ submits: handles.slice(at, at + PER_MESSAGE).map((handle) => caller.request(handle, long)) });
  }
  for (const handle of handles) {
    const answer = caller.answer(handle);
    await caller.until(() => answer.accepted > 0 || answer.finishes.length > 0, `an answer to handle ${handle}`);
  }
  caller.cancel(handles, CancelMode.KILL);
  for (const handle of handles) await caller.finished(handle);
  const refused = handles.filter((handle) => caller.answer(handle).accepted === 0);
  for (const handle of refused) {
    const error = caller.answer(handle).finishes[0]?.error;
    expect(error?.reason === "OVERLOADED", `handle ${handle} was refused with ${error?.reason ?? "no error"}`);
  }
  expect(refused.length > 0, `${count} requests were all taken`);
}

/** One Accepted before everything, one Finish after everything, and numbers that fit. */
function checkWhole(answer: Answer, sent: { readonly promptTokens: number; readonly maxTokens: number }): void {
  const [finish] = answer.finishes;
  expect(answer.accepted === 1, `it was accepted ${answer.accepted} times`);
  expect(answer.stray === 0, `${answer.stray} tokens came before Accepted or after Finish`);
  expect(answer.finishes.length === 1, `${answer.finishes.length} terminal frames came`);
  expect(finish && !finish.error, `it failed: ${finish?.error?.message}`);
  expect(ENDS.includes(finish.reason), `the reason is ${finish.reason}`);
  expect(
    answer.tokens.length <= sent.maxTokens,
    `${answer.tokens.length} tokens came, ${sent.maxTokens} were asked for`,
  );
  expect(finish.completionTokens === answer.tokens.length, `completion_tokens is ${finish.completionTokens}`);
  expect(finish.promptTokens === sent.promptTokens, `prompt_tokens is ${finish.promptTokens}`);
  expect(finish.cachedTokens <= sent.promptTokens, `cached_tokens is ${finish.cachedTokens}`);
}

function expectSame(found: readonly number[], wanted: readonly number[], what: string): void {
  const same = found.length === wanted.length && found.every((token, at) => token === wanted[at]);
  expect(same, `${what} is ${found.join(" ")}, not ${wanted.join(" ")}`);
}
