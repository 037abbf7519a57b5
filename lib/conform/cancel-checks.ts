import { CancelMode, FinishReason } from "#gen/stator/worker/v1/link_pb";
import { viewBytes, writeU32 } from "#lib/base/bytes";
import type { Check } from "./check.ts";
import { expect } from "./failure.ts";
import type { LinkBench } from "./link-bench.ts";
import type { RawCaller } from "./raw-caller.ts";

const LONG = { maxTokens: 512, ignoreEos: true };
const BURST = 2_000;

/** The end of requests before their answer is complete. */
export const CANCEL_CHECKS: readonly Check<LinkBench>[] = [
  {
    name: "ends a stopped request with one Finish",
    sentence:
      "Each cancelled request still gets its Finish; one that was complete already gets the reason that it had.",
    of: "docs/link.md",
    run: (bench) => cancelOne(bench, CancelMode.STOP),
  },
  {
    name: "ends a killed request with one Finish",
    sentence:
      "Each cancelled request still gets its Finish; one that was complete already gets the reason that it had.",
    of: "docs/link.md",
    run: (bench) => cancelOne(bench, CancelMode.KILL),
  },
  {
    name: "cancels a request in the message that submits it",
    sentence: "so a Cancel may stand in the message of its Submit.",
    of: "docs/link.md",
    async run(bench) {
      const caller = await bench.greet();
      caller.say({
        submits: [caller.request(1, { promptTokenIds: viewBytes(bench.prompt), stopping: LONG })],
        cancels: [{ handles: writeU32([1]), mode: CancelMode.STOP }],
      });
      await caller.finished(1);
      await expectCancelled(caller);
    },
  },
  {
    name: "cancels a request whose prompt is not complete",
    sentence:
      "Each cancelled request still gets its Finish; one that was complete already gets the reason that it had.",
    of: "docs/link.md",
    async run(bench) {
      const caller = await bench.greet();
      caller.say({ submits: [caller.request(1, { promptTokenIds: viewBytes(bench.prompt), moreInput: true })] });
      caller.cancel([1]);
      await caller.finished(1);
      await expectCancelled(caller);
      expect(caller.answer(1).accepted === 0, "it was accepted");
    },
  },
  {
    name: "ignores cancels of handles it does not know",
    sentence:
      "Unknown handles are never an error: a Cancel for one is ignored, a frame for one is dropped and counted.",
    of: "docs/link.md",
    async run(bench) {
      const caller = await bench.greet();
      caller.cancel([99, 0, 0xffff_ffff]);
      caller.cancel([]);
      const answer = await caller.ask(1, { promptTokenIds: viewBytes(bench.prompt) });
      caller.cancel([1]);
      await caller.pause(50);
      expect(answer.finishes.length === 1 && !answer.finishes[0]?.error, "a request beside them did not end well");
      expect(caller.answer(99).finishes.length === 0, "an unknown handle got a terminal frame");
    },
  },
  {
    name: `keeps a stream through ${BURST} cancels`,
    sentence: "Cancel is a message, never a reset of the stream.",
    of: "docs/link.md",
    async run(bench) {
      const caller = await bench.greet();
      const innocent = { maxTokens: 64, ignoreEos: true };
      caller.say({ submits: [caller.request(1, { promptTokenIds: viewBytes(bench.prompt), stopping: innocent })] });
      await caller.until(() => caller.answer(1).accepted > 0, "Accepted");
      for (let handle = 2; handle < BURST + 2; handle++) {
        const submit = caller.request(handle, { promptTokenIds: viewBytes(bench.prompt), stopping: LONG });
        caller.say({ submits: [submit] });
        caller.cancel([handle], CancelMode.KILL);
      }
      for (let handle = 1; handle < BURST + 2; handle++) await caller.finished(handle);
      const { tokens, finishes } = caller.answer(1);
      expect(!finishes[0]?.error && tokens.length > 0, `the innocent stream failed: ${finishes[0]?.error?.message}`);
    },
  },
];

async function cancelOne(bench: LinkBench, mode: CancelMode): Promise<void> {
  const caller = await bench.greet();
  const prompt = { promptTokenIds: viewBytes(bench.prompt) };
  caller.say({ submits: [caller.request(1, { ...prompt, stopping: LONG }), caller.request(2, prompt)] });
  await caller.until(() => caller.answer(1).tokens.length > 0, "the first token");
  caller.cancel([1], mode);
  await caller.finished(1);
  await caller.finished(2);
  await expectCancelled(caller);
  expect(!caller.answer(2).finishes[0]?.error, "a request beside it failed");
}

async function expectCancelled(caller: RawCaller): Promise<void> {
  await caller.pause(50);
  const { finishes, stray } = caller.answer(1);
  expect(finishes.length === 1, `${finishes.length} terminal frames came`);
  expect(stray === 0, `${stray} tokens came after the terminal frame`);
  const [finish] = finishes;
  // An answer that was complete already is not an error.
  const complete = finish?.reason === FinishReason.LENGTH || finish?.reason === FinishReason.END;
  expect(finish && !finish.error, `it failed: ${finish?.error?.message}`);
  expect(finish.reason === FinishReason.CANCELLED || complete, `the reason is ${finish.reason}`);
}
