import type { MessageInitShape } from "@bufbuild/protobuf";
import type { LinkRequestSchema } from "#gen/stator/worker/v1/link_pb";
import { viewBytes, writeU32 } from "#lib/base/bytes";
import type { Check } from "./check.ts";
import { expect } from "./failure.ts";
import type { LinkBench } from "./link-bench.ts";
import type { RawCaller } from "./raw-caller.ts";

type Said = MessageInitShape<typeof LinkRequestSchema>;

const HELLO: Said = { hello: { minimumRevision: 1, maximumRevision: 1, caller: "conform" } };

const VIOLATIONS = "Violations end the link with an error, and everything that is open on it; no other link notices.";

/** What ends a link with an error, and no other link with it. */
export const VIOLATION_CHECKS: readonly Check<LinkBench>[] = [
  {
    name: "ends a link that does not begin with Hello",
    sentence: "Hello is the first message, and only there; Welcome the same.",
    of: "docs/link.md",
    async run(bench) {
      const caller = bench.open();
      caller.say({ ping: { nonce: 1n } });
      await expectViolation(caller, "no Hello");
    },
  },
  violation("ends a link on a second Hello", () => [HELLO]),
  violation("ends a link on a handle that is open already", (caller, bench) => {
    const long = { promptTokenIds: viewBytes(bench.prompt), stopping: { maxTokens: 256, ignoreEos: true } };
    return [{ submits: [caller.request(1, long)] }, { submits: [caller.request(1, long)] }];
  }),
  violation("ends a link on handle 0", (caller, bench) => [
    { submits: [caller.request(0, { promptTokenIds: viewBytes(bench.prompt) })] },
  ]),
  violation("ends a link on more input for a complete prompt", (caller, bench) => [
    {
      submits: [
        caller.request(1, { promptTokenIds: viewBytes(bench.prompt), stopping: { maxTokens: 256, ignoreEos: true } }),
      ],
    },
    { parts: [{ handle: 1, promptTokenIds: writeU32([1]), last: true }] },
  ]),
  violation("ends a link on a torn array", () => [{ cancels: [{ handles: Uint8Array.of(1, 0, 0) }] }]),
  violation("ends a link on a request after Goodbye", (caller, bench) => [
    { goodbye: {} },
    { submits: [caller.request(1, { promptTokenIds: viewBytes(bench.prompt) })] },
  ]),
  violation("ends a link on a message that is longer than its limit", (caller) => {
    const tooLong = new Uint8Array(4 * Math.ceil(((caller.welcome?.maxMessageBytes ?? 0) + 4_096) / 4));
    return [{ submits: [caller.request(1, { promptTokenIds: tooLong })] }];
  }),
];

/** After Welcome, `say` is said on one link while a second link has a request: the first ends, the second does not. */
function violation(name: string, say: (caller: RawCaller, bench: LinkBench) => Said[]): Check<LinkBench> {
  return {
    name,
    sentence: VIOLATIONS,
    of: "docs/link.md",
    async run(bench) {
      const [guilty, innocent] = [await bench.greet(), await bench.greet()];
      innocent.say({ submits: [innocent.request(1, { promptTokenIds: viewBytes(bench.prompt) })] });
      for (const message of say(guilty, bench)) guilty.say(message);
      await expectViolation(guilty, name);
      await innocent.finished(1);
      expect(!innocent.answer(1).finishes[0]?.error, "a request on another link failed");
    },
  };
}

async function expectViolation(caller: RawCaller, why: string): Promise<void> {
  const error = await caller.untilEnd(why);
  expect(error, "the link ended without an error");
}
