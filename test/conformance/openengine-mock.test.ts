import { openMock } from "#lib/engines/mock/mock-engine";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { DirectTransport } from "#lib/rpc/direct";
import { DEMO_MODEL } from "../support/engine-driver.ts";
import { openEngineServer } from "../support/engine-server.ts";
import { openEngineConformance } from "./openengine.ts";
import type { OpenEngineRig } from "./openengine-rig.ts";

/** Fast, and with time between the steps in which a caller can go away. */
const timing = { kind: "linear", stepMs: 1, prefillTokenMs: 0, decodeSequenceMs: 0 } as const;

const open = () =>
  openEngineServer(() => openMock({ modelPath: DEMO_MODEL, clock: systemClock, log: silentLog, timing, blocks: 1024 }));

const rig: Omit<OpenEngineRig, "open"> = {
  prompt: "What is a fox?",
  storyPrompt: "Tell me a story about a duck.",
  longPrompt: "The quick brown fox jumps over the lazy dog. ".repeat(12),
  adapterPath: "/adapters/conform.gguf",
};

openEngineConformance("the mock over gRPC", {
  ...rig,
  async open() {
    const server = await open();
    const transport = new Channel(server.address, loopbackCredentials, systemClock);
    return {
      transport,
      close() {
        transport.close();
        return server.close();
      },
    };
  },
});

openEngineConformance("the mock in the same process", {
  ...rig,
  async open() {
    const server = await open();
    const transport = new DirectTransport(server.services, { clock: systemClock, log: silentLog, metrics: noMetrics });
    return {
      transport,
      close() {
        transport.close();
        return server.close();
      },
    };
  },
});
