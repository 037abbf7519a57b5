import { create } from "@bufbuild/protobuf";
import { afterEach, expect, it } from "vitest";
import { InstanceRecordSchema, InstanceState, ModelCardSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { FrontendService } from "#gen/stator/frontend/v1/frontend_pb";
import { printId } from "#lib/base/bytes";
import type { Discovery, DiscoveryRecord } from "#lib/discovery/discovery";
import { type Models, readModels } from "#lib/discovery/models";
import { openDiscovery } from "#lib/discovery/open";
import { instanceKey, modelKey } from "#lib/discovery/record-keys";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { openClient } from "#lib/rpc/open-client";
import { Cluster, readMetric } from "../support/cluster.ts";

const cluster = new Cluster();
let discovery: Discovery | undefined;

afterEach(async () => {
  await discovery?.close();
  await cluster.close();
});

/** Around 12 ms a token: an answer of 100 takes more than a second. */
const SPEED = ["--mock-speed", "0.5"];
const PATIENCE = { timeout: 20_000, interval: 50 } as const;
const MODEL = "stator-mock";
const FOREIGN = 7_777n;
const OPENENGINE = ["openengine.v1.Inference", "openengine.v1.Control"];

/** What a worker of somebody else's publishes: its own record, and the card that others of its model have. */
async function publishForeign({ workers, cards }: Models, address: string, more: { contextTokens?: number } = {}) {
  const [instance] = workers.values();
  const [card] = cards.get(instance!.instanceId)!;
  const own = { ...{ instanceId: FOREIGN, incarnation: 1n, address, engine: "foreign" }, services: OPENENGINE };
  const recordsIn = (state: InstanceState): DiscoveryRecord[] => [
    {
      key: instanceKey(FOREIGN),
      value: { case: "instance", value: create(InstanceRecordSchema, { ...instance!, ...own, state }) },
    },
    {
      key: modelKey(MODEL, FOREIGN),
      value: { case: "model", value: create(ModelCardSchema, { ...card!, instanceId: FOREIGN, ...more }) },
    },
  ];
  const registration = await discovery!.register(recordsIn(InstanceState.READY), { ttlMs: 30_000 });
  return { enter: (state: InstanceState) => registration.update(recordsIn(state)), close: () => registration.close() };
}

/** A completion as a stream: its text so far, and all of it with what its usage says was cached. */
function complete(base: string, body: object) {
  let text = "";
  const run = async () => {
    let cached = 0;
    const response = await fetch(`${base}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        ...{ model: MODEL, stream: true, stream_options: { include_usage: true }, ignore_eos: true },
        ...{ temperature: 0.8, seed: 11, max_tokens: 100, ...body },
      }),
    });
    expect(response.status, response.ok ? "" : await response.text()).toBe(200);
    let rest = "";
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n\n");
      rest = lines.pop()!;
      for (const line of lines.filter((each) => each.startsWith("data: {"))) {
        const event = JSON.parse(line.slice(6)) as {
          choices: { text: string }[];
          error?: unknown;
          usage?: { prompt_tokens_details: { cached_tokens: number } };
        };
        expect(event.error).toBeUndefined();
        text += event.choices[0]?.text ?? "";
        cached = event.usage?.prompt_tokens_details.cached_tokens ?? cached;
      }
    }
    return { text, cached };
  };
  const done = run();
  done.catch(() => {});
  return { done, text: () => text };
}

it("a worker that answers openengine.v1 alone serves beside one of ours, and a kill moves its streams", {
  timeout: 300_000,
}, async () => {
  const hub = await cluster.hub();
  const url = `hub://${hub.address}`;
  const [ours, foreign] = await Promise.all([cluster.worker("--discovery", url, ...SPEED), cluster.worker(...SPEED)]);
  const { address, program } = await cluster.frontend("--discovery", url, "--openengine-look-ms", "50");
  const base = `http://${address}`;
  const [, operators = ""] = /service is at (\S+)\. /.exec(program.stdout)!;
  const frontend = openClient(FrontendService, operators);
  const deps = { clock: systemClock, chance: systemChance, log: silentLog, metrics: noMetrics };
  discovery = await openDiscovery(url, { ...deps, credentials: loopbackCredentials });
  const watch = await discovery.watch("");
  const models = () => readModels(watch.records.values(), { policy: "strict", before: undefined, nowMs: 0 });
  await expect.poll(() => models().names.get(MODEL)?.ready.size).toBe(1);
  const registered = await publishForeign(models(), foreign.address);
  const look = async () =>
    (await frontend.client.listWorkers({})).workers.find(({ instance }) => instance?.instanceId === FOREIGN)!;
  await expect.poll(async () => (await look())?.link, PATIENCE).toBe("ready");

  // A long prompt goes there; its blocks are known here then, and the next request with them goes where they are.
  const prompt = "The quick brown fox jumps over the lazy dog. ".repeat(100);
  const pinned = { prompt, stator: { worker: printId(FOREIGN) } };
  const { text: whole } = await complete(base, pinned).done;
  expect(whole.length).toBeGreaterThan(200);
  await expect.poll(async () => Number((await look()).ranks[0]?.indexedBlocks), PATIENCE).toBeGreaterThan(100);
  const lastWorkers = async () => (await frontend.client.listRequests({ limit: 1 })).requests[0]!.workers;
  const again = await complete(base, { prompt }).done;
  expect([again.text, await lastWorkers()]).toEqual([whole, [FOREIGN]]);
  expect(again.cached).toBeGreaterThan(1000);

  // While it drains it takes nothing new, and what runs ends there.
  const last = complete(base, pinned);
  await expect.poll(() => last.text().length, PATIENCE).toBeGreaterThan(20);
  await registered.enter(InstanceState.DRAINING);
  await expect.poll(async () => (await look()).instance?.state, PATIENCE).toBe(InstanceState.DRAINING);
  const elsewhere = complete(base, { prompt });
  expect((await last.done).text).toBe(whole);
  expect(await lastWorkers()).toEqual([FOREIGN]);
  expect((await elsewhere.done).text).toBe(whole);
  expect(await lastWorkers()).not.toEqual([FOREIGN]);
  await registered.enter(InstanceState.READY);
  await expect.poll(async () => (await look()).link, PATIENCE).toBe("ready");

  // Killed, while its record stays: as that of a worker whose lease still runs. It alone has this prompt.
  const before = Number((await look()).ranks[0]?.indexedBlocks);
  const known = { prompt: `A lazy dog. ${prompt}`, max_tokens: 250 };
  const { text: other } = await complete(base, { ...pinned, ...known }).done;
  await expect.poll(async () => Number((await look()).ranks[0]?.indexedBlocks), PATIENCE).toBeGreaterThan(before + 100);
  const streams = Array.from({ length: 4 }, () => complete(base, known));
  await expect.poll(() => streams.every(({ text }) => text().length > 20), { ...PATIENCE, interval: 10 }).toBe(true);
  expect((await look()).openRequests).toBeGreaterThan(0);
  foreign.program.signal("SIGKILL");
  const texts = (await Promise.all(streams.map(({ done }) => done))).map(({ text }) => text);
  expect(texts).toEqual(streams.map(() => other));
  const metrics = await (await fetch(`${base}/metrics`)).text();
  expect(readMetric(metrics, "stator_dispatch_migrations_total")).toBeGreaterThan(0);
  await expect.poll(async () => (await look()).link, PATIENCE).toBe("draining");
  await registered.close();
  await expect.poll(() => models().workers.size, PATIENCE).toBe(1);

  // One that is not what its card says gets nothing, and operators read why.
  const contradiction = await publishForeign(models(), ours.address, { contextTokens: 1 << 30 });
  await expect
    .poll(async () => (await look())?.linkReason, PATIENCE)
    .toMatch(/its model card says a context of 1073741824/);
  const ps = cluster.start(["ps", operators]);
  await ps.ended;
  expect(ps.stdout).toMatch(/\(openengine\) .*ready, link (closed|connecting)/);
  expect(ps.stdout).toMatch(/^0{12}1e61: .*its model card says a context of/m);
  await contradiction.close();
  expect(cluster.complaints).toEqual([]);
  frontend.close();
});
