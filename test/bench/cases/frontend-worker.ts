// A worker that costs nothing, behind the link: it says tokens of the demo model's vocabulary.
//   node frontend-worker.ts STEP_MS (0: as fast as the reader takes it) TOKENS_PER_STEP
import { create } from "@bufbuild/protobuf";
import { FinishReason, FinishSchema, StepSchema, WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import { viewBytes } from "#lib/base/bytes";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import type { WorkerChannel } from "#lib/link/link";
import { openWorkerLink } from "#lib/link/worker-link";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { openServer } from "#lib/rpc/server";
import { createService } from "#lib/rpc/service";

const [stepMs = 0, perStep = 1] = process.argv.slice(2).map(Number);
/** Ordinary tokens: the first few hundred are bytes and special ones. */
const FIXTURE = Uint32Array.from({ length: 4096 }, (_, at) => 300 + ((at * 37) % 1500));
let told = 0;
const PER_STEP_COUNT = Math.max(1, perStep);

interface Open {
  left: number;
  readonly promptTokens: number;
  readonly wanted: number;
}

function serve(channel: WorkerChannel): void {
  const open = new Map<number, Open>();
  let turning = false;
  const link = openWorkerLink(channel, {
    clock: systemClock,
    introduce: () => ({
      ...{ instanceId: 1n, incarnation: 1n, models: ["rehearsal"], maxRunningRequests: 4_096, maxWaitingRequests: 0 },
      ...{ totalKvBlocks: 0n, ranks: 1, features: [], draining: false },
    }),
    sink: {
      onSubmit({ handle, stopping, promptTokenIds }) {
        const wanted = stopping?.maxTokens ?? 1;
        open.set(handle, { left: wanted, wanted, promptTokens: promptTokenIds.length / 4 });
        wake();
        return { cachedTokens: 0, queuedAhead: 0 };
      },
      onCancel(handles) {
        for (const handle of handles) finish(handle, FinishReason.CANCELLED);
      },
      onEnd: () => open.clear(),
    },
  });
  const finishes: ReturnType<typeof create<typeof FinishSchema>>[] = [];
  const finish = (handle: number, reason: FinishReason): void => {
    const one = open.get(handle);
    if (!one) return;
    open.delete(handle);
    const { promptTokens, wanted, left } = one;
    finishes.push(create(FinishSchema, { handle, reason, promptTokens, completionTokens: wanted - left }));
  };
  const step = (): void => {
    if (channel.bufferedBytes > 64 * 1024 || (open.size === 0 && finishes.length === 0)) return;
    const handles = new Uint32Array(open.size);
    const counts = new Uint8Array(open.size);
    let at = 0;
    let tokens = 0;
    for (const [handle, one] of open) {
      const count = Math.min(one.left, PER_STEP_COUNT);
      handles[at] = handle;
      counts[at++] = count;
      tokens += count;
      one.left -= count;
      if (one.left === 0) finish(handle, FinishReason.LENGTH);
    }
    told += tokens;
    const said = Uint32Array.from({ length: tokens }, (_, index) => FIXTURE[(index * 7 + at) % FIXTURE.length]!);
    link.step(
      create(StepSchema, {
        durationUs: 1_000,
        handles: viewBytes(handles),
        counts: PER_STEP_COUNT === 1 ? new Uint8Array() : counts,
        tokens: viewBytes(said),
        finishes: finishes.splice(0),
      }),
    );
  };
  const turn = (): void => {
    step();
    turning = open.size > 0;
    if (turning) setImmediate(turn);
  };
  const wake = (): void => {
    if (stepMs > 0 || turning) return;
    turning = true;
    setImmediate(turn);
  };
  if (stepMs > 0) setInterval(step, stepMs);
}

const services = [createService(WorkerLinkService, { link: { open: serve } })];
const about = { host: "127.0.0.1", port: 0, credentials: loopbackCredentials, log: silentLog, metrics: noMetrics };
process.send?.({ port: (await openServer({ ...about, services })).port });
process.on("message", () => process.send?.({ tokens: told }));
process.on("disconnect", () => process.exit());
