import { viewBytes } from "#lib/base/bytes";
import type { Check } from "./check.ts";
import { expect } from "./failure.ts";
import type { LinkBench } from "./link-bench.ts";

/** The opening and the end of a link. */
export const HELLO_CHECKS: readonly Check<LinkBench>[] = [
  {
    name: "answers Hello with a complete Welcome, first and once",
    sentence: "Hello is the first message, and only there; Welcome the same.",
    of: "docs/link.md",
    async run(bench) {
      const caller = bench.open();
      const welcome = await caller.greet();
      expect(caller.messages[0]?.welcome, "the first message is not Welcome");
      expect(welcome.revision === 1, `revision 1 was offered and ${welcome.revision} chosen`);
      expect(welcome.instanceId !== 0n, "instance_id is 0");
      expect(welcome.incarnation !== 0n, "incarnation is 0");
      expect(welcome.models.length > 0, "no model is served");
      // 0 is what nobody knows: then nobody knows how many may wait, either.
      const { maxRunningRequests, maxWaitingRequests } = welcome;
      expect(maxRunningRequests > 0 || maxWaitingRequests === 0, "max_running_requests is 0");
      expect(welcome.ranks > 0, "ranks is 0");
      expect(welcome.maxMessageBytes >= 4_096, `max_message_bytes is ${welcome.maxMessageBytes}`);
      expect(!welcome.draining, "the worker is draining: the other checks need one that serves");
      expect(welcome.features.length === 0, "features were named that the caller did not offer");
      await caller.ask(1, { promptTokenIds: viewBytes(bench.prompt) });
      expect(caller.messages.filter((message) => message.welcome).length === 1, "Welcome came twice");
    },
  },
  {
    name: "chooses a revision that both speak",
    sentence: "The worker chooses the highest revision that both speak, or ends the link.",
    of: "docs/link.md",
    async run(bench) {
      const caller = bench.open();
      caller.say({ hello: { minimumRevision: 1, maximumRevision: 1_000, caller: "conform" } });
      await caller.until(() => caller.welcome !== undefined, "Welcome");
      const revision = caller.welcome?.revision ?? 0;
      expect(revision >= 1 && revision <= 1_000, `revision ${revision} was not offered`);
    },
  },
  {
    name: "refuses a caller with no revision in common",
    sentence: "The worker chooses the highest revision that both speak, or ends the link.",
    of: "docs/link.md",
    async run(bench) {
      const caller = bench.open();
      caller.say({ hello: { minimumRevision: 100_000, maximumRevision: 100_001, caller: "conform" } });
      const error = await caller.untilEnd("no common revision");
      expect(error, "the link ended without an error");
      expect(!caller.welcome, "Welcome came all the same");
    },
  },
  {
    name: "says the same identity on every link",
    sentence: "The worker's incarnation. Frames of another incarnation are refused.",
    of: "Welcome.incarnation",
    async run(bench) {
      const [one, other] = [await bench.greet(), await bench.greet()];
      expect(one.welcome?.instanceId === other.welcome?.instanceId, "instance_id differs");
      expect(one.welcome?.incarnation === other.welcome?.incarnation, "incarnation differs");
    },
  },
  {
    name: "answers each Ping with its nonce, busy or not",
    sentence: "Ping is answered by the event loop, whatever the engine does.",
    of: "docs/link.md",
    async run(bench) {
      const caller = await bench.greet();
      caller.say({ submits: [caller.request(1, { promptTokenIds: viewBytes(bench.prompt) })], ping: { nonce: 7n } });
      caller.say({ ping: { nonce: 0xffff_ffff_ffff_fffen } });
      const nonces = () => caller.messages.flatMap(({ pong }) => (pong ? [pong.nonce] : []));
      await caller.until(() => nonces().length >= 2, "two Pongs");
      expect(
        nonces().includes(7n) && nonces().includes(0xffff_ffff_ffff_fffen),
        `the nonces were ${nonces().join(", ")}`,
      );
      await caller.finished(1);
    },
  },
  {
    name: "ends in order when the caller does",
    sentence:
      "Goodbye says that nothing new is opened; then the caller ends its half, and the worker kills what is open and ends the other.",
    of: "docs/link.md",
    async run(bench) {
      const caller = await bench.greet();
      await caller.ask(1, { promptTokenIds: viewBytes(bench.prompt) });
      caller.say({ goodbye: {} });
      caller.halfClose();
      const error = await caller.untilEnd("the caller ended it");
      expect(!error, `the link ended with ${error?.message}`);
    },
  },
  {
    name: "frees what a link had when it ends",
    sentence: "then the caller ends its half, and the worker kills what is open and ends the other.",
    of: "docs/link.md",
    async run(bench) {
      const first = await bench.greet();
      const { maxRunningRequests = 0, maxWaitingRequests = 0 } = first.welcome ?? {};
      const most = Math.min(64, maxRunningRequests + maxWaitingRequests || 1);
      const long = { promptTokenIds: viewBytes(bench.prompt), stopping: { maxTokens: 512, ignoreEos: true } };
      first.say({ submits: Array.from({ length: most }, (_, at) => first.request(at + 1, long)) });
      await first.until(() => first.answer(1).accepted > 0, "Accepted");
      await first.end();
      const second = await bench.greet();
      const answer = await second.ask(1, { promptTokenIds: viewBytes(bench.prompt) });
      expect(answer.accepted === 1, "a request after it was not taken");
    },
  },
];
