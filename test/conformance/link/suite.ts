import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { conformWorker } from "#lib/conform/conform-worker";
import { createPracticeWorker } from "#lib/conform/practice-worker";
import { systemClock } from "#lib/host/system-clock";
import type { WorkerChannel } from "#lib/link/link";
import { playTranscript } from "./player.ts";
import type { LinkRig, OpenLinkRig } from "./rigs.ts";
import { readTranscripts } from "./transcript.ts";

/** Everything that is promised about links, over one way to carry them. */
export function linkSuite(name: string, openRig: OpenLinkRig): void {
  describe(`links over ${name}`, () => {
    let rig: LinkRig;
    let serve: (channel: WorkerChannel) => void;
    beforeAll(async () => {
      rig = await openRig((channel) => serve(channel));
    });
    afterAll(() => rig.close());

    it.each(readTranscripts().map((transcript) => [transcript.side, transcript.name, transcript] as const))(
      "%s: %s",
      async (_side, _what, transcript) => {
        const served = Promise.withResolvers<WorkerChannel>();
        serve = served.resolve;
        const caller = rig.connect();
        // A wire that opens a call with its first message needs the caller to speak: both ends are made on demand.
        await playTranscript(transcript, { caller, worker: served.promise });
      },
    );

    it("the practice worker keeps the contract", async () => {
      const worker = createPracticeWorker({
        ...{ instanceId: 1n, incarnation: 1n, model: "m", clock: systemClock, stepMs: 1, maxRequests: 32 },
      });
      serve = (channel) => void worker.serve(channel);
      const checks = await conformWorker({ connect: () => rig.connect(), clock: systemClock });
      expect(checks.filter((check) => check.outcome !== "passed")).toEqual([]);
      expect(checks.length).toBeGreaterThan(25);
      expect(worker.openRequests).toBe(0);
    });
  });
}
