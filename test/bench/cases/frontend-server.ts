// A frontend as `stator frontend` makes it: dispatcher with ledger, link, the demo model's text. One per process.
//   node frontend-server.ts WORKER_PORT JOIN (auto, or so many tokens per event)
import { readFileSync } from "node:fs";
import type { InstanceRecord } from "#gen/stator/discovery/v1/discovery_pb";
import { WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import { SeededChance } from "#lib/base/chance";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { parseGgufHeader } from "#lib/text/gguf";
import { chatTemplateOf, extractVocabulary, VOCABULARY_FORMAT } from "#lib/text/vocabulary";
import { createDispatcher } from "#services/frontend/dispatch/dispatcher";
import { DISPATCH_INSTRUMENTS } from "#services/frontend/dispatch/instruments";
import { createTextOpener } from "#services/frontend/tokenize/open-text";
import { DEMO_MODEL, openNative } from "../../support/engine-driver.ts";
import { openRehearsal, RehearsalWatch, rehearsalRecords } from "../../support/rehearsal/open.ts";
import { cpuUs } from "../harness.ts";

const [workerPort, join] = process.argv.slice(2);
const header = parseGgufHeader(readFileSync(DEMO_MODEL), "the demo model");
const native = openNative();
const opener = createTextOpener({ llama: native.reason === undefined ? native.llama : undefined, log: silentLog });
const text = await opener.open({
  tokenizer: extractVocabulary(header),
  tokenizerFormat: VOCABULARY_FORMAT,
  template: chatTemplateOf(header),
});

const watch = new RehearsalWatch();
watch.put(...rehearsalRecords("rehearsal", { address: `127.0.0.1:${workerPort}` }));
const dispatcher = createDispatcher({
  caller: "bench",
  watch,
  connect(instance: InstanceRecord) {
    const transport = new Channel(instance.address, loopbackCredentials);
    return { channel: transport.open(WorkerLinkService.method.link), close: () => transport.close() };
  },
  mode: "power-of-two",
  clock: systemClock,
  chance: new SeededChance(systemChance.id()),
  log: silentLog,
  metrics: createMetrics([DISPATCH_INSTRUMENTS], { processMetrics: false }),
});
const limits = join === "auto" ? {} : { alwaysJoin: true, joinTokens: Number(join), joinMs: 10_000 };
const { frontend } = await openRehearsal(dispatcher, { text: () => text, limits, watch });
while (dispatcher.routable().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));

process.send?.({ port: frontend.port });
process.on("message", () => process.send?.({ cpuUs: cpuUs() }));
process.on("disconnect", () => process.exit());
