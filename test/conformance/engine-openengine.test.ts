import { afterAll } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { openMock } from "#lib/engines/mock/mock-engine";
import { openOpenEngine } from "#lib/engines/openengine/openengine-engine";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { DirectTransport } from "#lib/rpc/direct";
import type { Transport } from "#lib/rpc/transport";
import { DEMO_MODEL } from "../support/engine-driver.ts";
import { type EngineServer, openEngineServer } from "../support/engine-server.ts";
import { IS_LONG } from "../support/seeds.ts";
import { engineConformance } from "./engine.ts";
import type { EngineRig, MeasuredEngine } from "./engine-rig.ts";

function chat(text: string): string {
  return `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`;
}

const timing = { kind: "linear", stepMs: 1, prefillTokenMs: 0, decodeSequenceMs: 0 } as const;
const servers: EngineServer[] = [];
afterAll(() => Promise.all(servers.map((server) => server.close())));

/** The adapter in front of a worker of ours over a mock: what the one asks the other tells, over the contract alone. */
function rig(dial: (server: EngineServer) => Transport): EngineRig {
  return {
    async open(sizes = {}) {
      const blocks = sizes.contextTokens === undefined ? 1024 : sizes.contextTokens / 16;
      const mock = { modelPath: DEMO_MODEL, clock: systemClock, log: silentLog, timing, blocks, ...sizes };
      const server = await openEngineServer(() => openMock(mock));
      servers.push(server);
      const engine = await openOpenEngine({
        transport: dial(server),
        address: server.address,
        modelPath: DEMO_MODEL,
        clock: systemClock,
        chance: new SeededChance(7n),
        log: silentLog,
        limits: { lookMs: 20 },
      });
      // A worker of ours says how large it is.
      return engine as MeasuredEngine;
    },
    lacks: ["bias"],
    prompts: ["What is a fox?", "Who built this?", "Tell me about the sea."].map(chat),
    longPrompt: chat("The quick brown fox jumps over the lazy dog. ".repeat(12)),
  };
}

engineConformance(
  "openengine over gRPC",
  rig(({ address }) => new Channel(address, loopbackCredentials, systemClock)),
);

if (IS_LONG) {
  engineConformance(
    "openengine in the same process",
    rig(({ services }) => new DirectTransport(services, { clock: systemClock, log: silentLog, metrics: noMetrics })),
  );
}
