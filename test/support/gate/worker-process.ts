import { fileURLToPath } from "node:url";
import type { Engine, EngineListener } from "#lib/engines/engine";
import { openLlama } from "#lib/engines/llama/llama-engine";
import { createMock, type MockModel, readMockModel } from "#lib/engines/mock/mock-engine";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { createWorker, type EngineRecipe, type ServingWorker } from "#services/cli/compose/library";
import { createReadMeddler } from "./read-meddler.ts";
import {
  type EngineSpec,
  GATE_MODEL,
  type HostCall,
  type HostReply,
  type WorkerCounts,
  type WorkerSpec,
} from "./worker-spec.ts";

// A process of the gate: it opens and closes workers as it is told, each as `stator worker` does.

const DEMO_MODEL = fileURLToPath(new URL("../../../models/stator-demo-q8_0.gguf", import.meta.url));

/** A worker of this process. */
interface Hosted {
  readonly serving: ServingWorker;
  readonly counts: { -readonly [Name in keyof WorkerCounts]: WorkerCounts[Name] };
}

const workers: Hosted[] = [];
let mockModel: Promise<MockModel> | undefined;

async function openEngine(spec: EngineSpec): Promise<Engine> {
  const common = { model: GATE_MODEL, clock: systemClock, log: silentLog };
  if (spec.kind === "mock") {
    mockModel ??= readMockModel(DEMO_MODEL);
    const timing = { kind: "linear", stepMs: 0, prefillTokenMs: 0, decodeSequenceMs: spec.sequenceMs ?? 0 } as const;
    return createMock(await mockModel, { ...common, timing, blocks: spec.blocks });
  }
  const { modelPath, contextTokens, cacheTokens, exact } = spec;
  // Exact mode is one of CPUs; without it a GPU computes where there is one.
  const gpuLayers = exact ? 0 : undefined;
  return await openLlama({ ...common, modelPath, contextTokens, cacheTokens, exact, gpuLayers, threads: 1 });
}

/** Counts what it tells beside who listens to it. */
function watched(engine: Engine, counts: Hosted["counts"]): Engine {
  const listen = engine.listen.bind(engine);
  engine.listen = (listener: EngineListener) => {
    const { onKv, onStep } = listener;
    listener.onKv = (notice) => {
      if (notice.kind === "removed") counts.evicted += notice.hashes.length;
      onKv.call(listener, notice);
    };
    listener.onStep = (step) => {
      counts.used = step.metrics.usedBlocks;
      onStep.call(listener, step);
    };
    listen(listener);
  };
  return engine;
}

async function open({ engine: kind, adapters, meddles, options }: WorkerSpec): Promise<Omit<HostReply, "call">> {
  const counts = { evicted: 0, meddled: 0, used: 0 };
  const recipe: EngineRecipe = {
    ...{ engine: kind.kind, model: GATE_MODEL, aliases: [] },
    async open() {
      const engine = watched(await openEngine(kind), counts);
      for (const name of adapters) {
        await engine.adapters!.load(name, kind.kind === "llama" ? `${kind.adapterFolder}/${name}.gguf` : `/${name}`);
      }
      const noted = (blocks: number) => {
        counts.meddled += blocks;
      };
      return meddles ? Object.assign(engine, { blocks: createReadMeddler(engine.blocks!, noted) }) : engine;
    },
  };
  const serving = await createWorker(options, { engine: recipe });
  workers.push({ serving, counts });
  return { worker: workers.length - 1, address: serving.address };
}

async function answer(call: HostCall): Promise<Omit<HostReply, "call">> {
  if (call.kind === "open") return await open(call.spec);
  const { serving, counts } = workers[call.worker]!;
  if (call.kind === "close") await serving.close();
  return { counts };
}

process.on("message", ([call, told]: [number, HostCall]) => {
  const reply = (said: Omit<HostReply, "call">) => process.send!({ call, ...said } satisfies HostReply);
  answer(told).then(reply, (error: Error) => reply({ error: error.stack ?? error.message }));
});
process.on("disconnect", () => process.exit(0));
process.send!({ call: 0 } satisfies HostReply);
