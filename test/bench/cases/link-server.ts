// The worker's side of the link cases: an engine that costs nothing, behind the link or behind a stream per request.
//   node test/bench/cases/link-server.ts link|stream STEP_MS (0: as fast as the reader takes it)
import { create } from "@bufbuild/protobuf";
import { Server, ServerCredentials, type ServerWritableStream } from "@grpc/grpc-js";
import {
  FinishReason,
  FinishSchema,
  InputPartSchema,
  StepSchema,
  WorkerLinkService,
} from "#gen/stator/worker/v1/link_pb";
import { viewBytes } from "#lib/base/bytes";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import type { WorkerChannel } from "#lib/link/link";
import { openWorkerLink } from "#lib/link/worker-link";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { openServer } from "#lib/rpc/server";
import { createService } from "#lib/rpc/service";
import { SERVER_OPTIONS } from "#lib/rpc/settings";
import { cpuUs } from "../harness.ts";
import { type Delta, STREAM_METHOD, tokenFixture } from "./link-load.ts";

const [plane, stepMsText] = process.argv.slice(2);
const stepMs = Number(stepMsText);
const fixture = tokenFixture();
const FIRST_TOKEN = viewBytes(Uint32Array.of(7));
const cancels: Record<string, string> = {};
let tokens = 0;

const port = plane === "link" ? await serveLink() : await serveStreams();
process.on("message", (question: { cancels?: boolean }) => {
  process.send?.(question.cancels ? cancels : { cpuUs: cpuUs(), tokens });
});
process.send?.({ port });

/** Calls at every step: on a timer, or again and again while somebody listens. */
function engine(step: (tokens: Uint32Array) => boolean): { kick(): void } {
  let count = 0;
  let running = false;
  const run = () => {
    running = step(fixture[count++ % fixture.length] as Uint32Array);
    if (running) setImmediate(run);
  };
  if (stepMs > 0) setInterval(() => step(fixture[count++ % fixture.length] as Uint32Array), stepMs);
  return {
    kick() {
      if (running || stepMs > 0) return;
      running = true;
      setImmediate(run);
    },
  };
}

async function serveLink(): Promise<number> {
  const services = [createService(WorkerLinkService, { link: { open: (channel) => serveOne(channel) } })];
  const about = {
    host: "127.0.0.1",
    port: 0,
    credentials: loopbackCredentials,
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
  };
  return (await openServer({ ...about, services })).port;
}

function serveOne(channel: WorkerChannel): void {
  const open = new Map<number, { left: number; id: string; cancelled: boolean }>();
  const link = openWorkerLink(channel, {
    clock: systemClock,
    introduce: () => ({
      ...{ instanceId: 1n, incarnation: 1n, models: ["m"], maxRunningRequests: 4_096, maxWaitingRequests: 0 },
      ...{ totalKvBlocks: 0n, ranks: 1, features: [], draining: false },
    }),
    sink: {
      onSubmit(submit) {
        open.set(submit.handle, { left: submit.stopping?.maxTokens ?? 1, id: submit.requestId, cancelled: false });
        if (stepMs > 0) sayFirst(submit.handle);
        else loop.kick();
        return { cachedTokens: 0, queuedAhead: 0 };
      },
      onCancel(handles) {
        for (const handle of handles) {
          const one = open.get(handle);
          if (!one) continue;
          one.cancelled = true;
          cancels[one.id] = String(process.hrtime.bigint());
        }
      },
      onEnd: () => open.clear(),
    },
  });
  // A paced engine says a request's first token at once: what is measured is not how long the engine's step was.
  const sayFirst = (handle: number): void =>
    queueMicrotask(() => {
      const handles = viewBytes(Uint32Array.of(handle));
      link.step(create(StepSchema, { durationUs: 1_000, handles, tokens: FIRST_TOKEN }));
    });
  const loop = engine((made) => {
    if (open.size === 0) return false;
    // As a stream's writer does: not more than the reader takes, so that no steps are merged.
    if (channel.bufferedBytes > 64 * 1024) return true;
    const handles = new Uint32Array(open.size);
    const finishes = [];
    let at = 0;
    for (const [handle, one] of open) {
      handles[at++] = handle;
      if (--one.left > 0 && !one.cancelled) continue;
      open.delete(handle);
      finishes.push(create(FinishSchema, { handle, reason: FinishReason.LENGTH }));
    }
    tokens += at;
    link.step(
      create(StepSchema, {
        durationUs: 1_000,
        handles: viewBytes(handles),
        tokens: viewBytes(made.slice(0, at)),
        finishes,
      }),
    );
    return true;
  });
}

async function serveStreams(): Promise<number> {
  const open = new Set<{ call: ServerWritableStream<Delta, Delta>; left: number; ready: boolean }>();
  const loop = engine((made) => {
    let at = 0;
    for (const one of open) {
      if (!one.ready) continue;
      const promptTokenIds = viewBytes(made.subarray(at, at + 1));
      at++;
      one.ready = one.call.write(create(InputPartSchema, { promptTokenIds }));
      if (--one.left > 0) continue;
      open.delete(one);
      one.call.end();
    }
    tokens += at;
    return at > 0;
  });
  const server = new Server({ ...SERVER_OPTIONS, "grpc.max_concurrent_streams": 100_000 });
  server.addService(
    { generate: STREAM_METHOD },
    {
      generate(call: ServerWritableStream<Delta, Delta>) {
        const one = { call, left: call.request.handle, ready: true };
        open.add(one);
        call.on("drain", () => {
          one.ready = true;
          loop.kick();
        });
        call.on("cancelled", () => {
          if (open.delete(one)) cancels[call.request.promptText] = String(process.hrtime.bigint());
        });
        if (stepMs > 0) call.write(create(InputPartSchema, { promptTokenIds: FIRST_TOKEN }));
        else loop.kick();
      },
    },
  );
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
}
