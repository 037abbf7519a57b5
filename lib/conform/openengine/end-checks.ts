import { ErrorCode } from "#gen/openengine/v1/error_pb";
import { FinishReason } from "#gen/openengine/v1/generation_pb";
import { AbortStatus } from "#gen/openengine/v1/lifecycle_pb";
import type { Check } from "../check.ts";
import { claimed, expect, seen } from "../failure.ts";
import { same } from "./answer-checks.ts";
import type { EngineBench } from "./engine-bench.ts";
import { type Ask, CODE, codeName, type RunningCall, statusOfCall, tell, wasCancelled } from "./engine-caller.ts";
import { expectRefused } from "./refusal-checks.ts";

const RULES = "docs/conformance.md";
const UNKNOWN = "A model, an adapter, a request or a session that the engine does not know is NOT_FOUND.";
const NAMES = "Unique among the requests that the engine knows; the name under which it is aborted.";
const OVER = "the longest answer that may be asked for was over too soon";
const BURST = 100;
const DEADLINE_MS = 250;
/** Longest time that a caller does not read, and the time in which it is measured how much an engine makes. */
const SLOW_MS = 5_000;
const PACE_MS = 300;
/** Less than that may wait on its way, in the windows and buffers of a transport. */
const LEAST_MADE_BYTES = 3 * 1024 * 1024;

/** Ends that somebody asks for: by Abort, by going away, by a deadline, by not reading. */
export const END_CHECKS: readonly Check<EngineBench>[] = [
  {
    name: "refuses a name that a running request has, and gives it free afterwards",
    sentence: NAMES,
    of: "GenerateRequest.request_id",
    async run(bench) {
      const first = await running(bench);
      const second = await bench.caller.ask(bench.greedy(2), { requestId: first.requestId });
      seen(first.status === undefined, OVER);
      expectRefused(second, [CODE.exists]);
      first.leave();
      await bench.expectFreed(first.requestId, "the caller of a request went away and");
      await bench.caller.whole(bench.greedy(2), { requestId: first.requestId });
    },
  },
  {
    name: "ends a request by its name, and its caller hears of it",
    sentence: "Ended on behalf of the caller.",
    of: "FINISH_REASON_CANCELLED",
    async run(bench) {
      const call = await running(bench);
      const { status } = await abort(bench, call.requestId);
      await call.over();
      seen(status !== AbortStatus.ALREADY_FINISHED, OVER);
      expect(status === AbortStatus.ABORTED, `Abort told status ${status}`);
      expect(call.status?.code === CODE.ok, `its call ended with ${tell(call.status)}`);
      expect(wasCancelled(call, ErrorCode.CANCELLED), `its end has the reason ${call.first.ends[0]?.reason ?? "none"}`);
    },
  },
  {
    name: "says of a request that has ended that it had ended before",
    sentence: "Had ended before.",
    of: "ABORT_STATUS_ALREADY_FINISHED",
    async run(bench) {
      const { requestId } = await bench.caller.whole(bench.greedy(2));
      const { status } = await abort(bench, requestId);
      expect(status === AbortStatus.ALREADY_FINISHED, `Abort told status ${status}`);
    },
  },
  {
    name: "does not end a request that it does not know",
    sentence: UNKNOWN,
    of: RULES,
    async run(bench) {
      const { code } = await statusOfCall(abort(bench, "conform-nobody"));
      expect(code === CODE.notFound, `Abort answers ${codeName(code)}`);
    },
  },
  {
    name: "does not free a session that it does not know",
    sentence: UNKNOWN,
    of: RULES,
    async run({ caller, facts: { server } }) {
      claimed(server.kvConnector?.supportsAbortCleanup, "supports_abort_cleanup is not reported");
      const target = { case: "kvSession", value: { sessionId: "conform-nobody" } } as const;
      const { code } = await statusOfCall(caller.control.abort({ target }));
      expect(code === CODE.notFound, `Abort answers ${codeName(code)}`);
    },
  },
  {
    name: "refuses an abort of nothing",
    sentence: "Ends requests. Without a target the call is refused.",
    of: "AbortRequest",
    async run({ caller }) {
      const { code } = await statusOfCall(caller.control.abort({}));
      expect(code === CODE.invalid, `Abort answers ${codeName(code)}`);
    },
  },
  {
    name: "ends every request when it is asked to",
    sentence: "Every request that the engine knows.",
    of: "AllRequests",
    async run(bench) {
      const calls = [await running(bench), await running(bench), await running(bench)];
      await bench.caller.control.abort({ target: { case: "allRequests", value: {} } });
      for (const call of calls) await call.over();
      seen(
        calls.every(({ first }) => first.ends[0]?.reason !== FinishReason.LENGTH),
        OVER,
      );
      for (const call of calls) expect(wasCancelled(call, ErrorCode.CANCELLED), `one ended with ${tell(call.status)}`);
    },
  },
  {
    name: "frees a request whose caller went away",
    sentence:
      "What a caller no longer waits for is not computed: a call that is cancelled or beyond its deadline frees its place.",
    of: RULES,
    async run(bench) {
      const call = await running(bench);
      seen(call.status === undefined, OVER);
      call.leave();
      await bench.expectFreed(call.requestId, "the caller of a request went away and");
    },
  },
  {
    name: "ends nobody else's request with a cancel",
    sentence: "Runs one request.",
    of: "Inference.Generate",
    async run(bench) {
      const innocent = bench.caller.start(bench.greedy(Math.min(80, bench.facts.model.maxOutputTokens ?? 80)));
      await innocent.begun();
      for (let at = 0; at < 3; at++) (await running(bench)).leave();
      const aborted = await running(bench);
      await abort(bench, aborted.requestId);
      await innocent.over();
      expect(innocent.status?.code === CODE.ok, `a request beside them ended with ${tell(innocent.status)}`);
      expect(innocent.first.ends[0]?.reason === FinishReason.LENGTH, "a request beside them was cut off");
    },
  },
  {
    name: `keeps an answer through ${BURST} cancels`,
    sentence: "Runs one request.",
    of: "Inference.Generate",
    async run(bench) {
      const alone = await bench.caller.whole(bench.greedy(64));
      const innocent = bench.caller.start(bench.greedy(64));
      for (let at = 0; at < BURST; at++) {
        const call = bench.caller.start(bench.long());
        await bench.caller.pause(0);
        call.leave();
      }
      await innocent.over();
      expect(innocent.status?.code === CODE.ok, `the answer beside them ended with ${tell(innocent.status)}`);
      if (bench.exact) expect(same(innocent, alone), "the answer beside them is another one");
      await bench.expectFreed("", "the callers went away and");
    },
  },
  {
    name: "ends a request at its deadline",
    sentence:
      "What a caller no longer waits for is not computed: a call that is cancelled or beyond its deadline frees its place.",
    of: RULES,
    async run(bench) {
      // The header without a deadline of our own: who hears nothing else must end the call himself.
      const metadata = { "grpc-timeout": `${DEADLINE_MS}m` };
      const call = bench.caller.start(bench.long(), { metadata });
      await call.over();
      seen(call.first.ends[0]?.reason !== FinishReason.LENGTH, OVER);
      const code = call.status?.code ?? 0;
      expect(code === CODE.deadline || code === CODE.cancelled, `its call ended with ${tell(call.status)}`);
      await bench.expectFreed(call.requestId, "its deadline passed and");
    },
  },
  {
    name: "keeps little for a caller that does not read",
    sentence:
      "What waits for a caller that does not read is bounded: the engine waits for him, or ends the request with OVERLOADED.",
    of: RULES,
    async run(bench) {
      const ask = wide(bench);
      const { mostKeptBytes: most } = bench;
      const bytesPerMs = await paceOf(bench, ask);
      const isEnough = bytesPerMs * SLOW_MS > Math.min(most, LEAST_MADE_BYTES);
      seen(isEnough, `it makes ${Math.round(bytesPerMs * 1_000)} bytes in a second, too few to tell`);
      // So long that twice the bound would be made, where that is a matter of seconds.
      const slowMs = Math.min(SLOW_MS, Math.max(500, (2 * most) / bytesPerMs));
      const call = await running(bench, ask);
      call.pause();
      await bench.caller.pause(slowMs);
      await statusOfCall(abort(bench, call.requestId));
      call.resume();
      await call.over();
      expect(call.bytes <= most, `${call.bytes} bytes were kept for a caller that did not read`);
      const error = call.messages.at(-1)?.event;
      if (error?.case === "error" && error.value.code === ErrorCode.OVERLOADED) return;
      const madeKiB = Math.round((bytesPerMs * slowMs) / 1024);
      seen(call.bytes < madeKiB * 512, `it makes ${madeKiB} KiB in the seconds of the check, too few to tell`);
    },
  },
];

function running(bench: EngineBench, ask: Ask = bench.long()): Promise<RunningCall> {
  return bench.caller.start(ask).begun();
}

function abort({ caller }: EngineBench, requestId: string) {
  return caller.control.abort({ target: { case: "requestId", value: requestId } });
}

/** Bytes that an answer makes in a millisecond while it is read. */
async function paceOf(bench: EngineBench, ask: Ask): Promise<number> {
  const call = await running(bench, ask);
  const before = call.bytes;
  await bench.caller.pause(PACE_MS);
  const made = call.bytes - before;
  call.leave();
  await bench.expectFreed(call.requestId, "the caller of a request went away and");
  seen(made > 0, "an answer of several sequences makes nothing in 300 ms");
  return made / PACE_MS;
}

/** A long answer of as many bytes as the engine can be made to give. */
function wide(bench: EngineBench): Ask {
  const { maxNumSequences = 1, outputLogprobs } = bench.facts.model.generation ?? {};
  const { supported = false, maxTopN = 0 } = outputLogprobs ?? {};
  const selection = { case: "topN", value: Math.min(maxTopN, 20) } as const;
  const response = supported ? { returnOutputLogprobs: true, outputCandidates: { selection } } : undefined;
  return {
    ...bench.long(),
    sampling: { temperature: 1, numSequences: Math.max(1, Math.min(8, maxNumSequences)) },
    response,
  };
}
