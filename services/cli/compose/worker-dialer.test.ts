import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  InstanceRecordSchema,
  InstanceRole,
  InstanceState,
  ModelCardSchema,
  ModelInput,
} from "#gen/stator/discovery/v1/discovery_pb";
import { openPracticeEngine } from "#lib/conform/openengine/practice-engine";
import type { DiscoveryRecord } from "#lib/discovery/discovery";
import { openDiscovery } from "#lib/discovery/open";
import { instanceKey, modelKey } from "#lib/discovery/record-keys";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { Scope } from "#lib/host/scope";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { openServer } from "#lib/rpc/server";
import { createFrontend } from "./library.ts";

// An engine that is not ours, published with the least that the docs ask for.

const deps = { clock: systemClock, chance: systemChance, log: silentLog, metrics: noMetrics };
const credentials = loopbackCredentials;
const scope = new Scope("test", silentLog);
let base = "";

beforeAll(async () => {
  const engine = scope.own("engine", openPracticeEngine({ model: "far", clock: systemClock, stepMs: 1 }));
  const server = await openServer({ ...deps, host: "127.0.0.1", port: 0, credentials, services: engine.services });
  scope.own("server", server);
  const folder = await mkdtemp(join(tmpdir(), "stator-dialer-"));
  scope.defer("folder", () => rm(folder, { recursive: true }));
  const url = `file://${folder}`;
  const discovery = scope.own("discovery", await openDiscovery(url, { ...deps, credentials }));
  const at = { instanceId: 7n, incarnation: 1n, address: server.address, role: InstanceRole.WORKER };
  const services = ["openengine.v1.Inference", "openengine.v1.Control"];
  const instance = create(InstanceRecordSchema, { ...at, services, state: InstanceState.READY });
  const card = create(ModelCardSchema, { name: "far", instanceId: 7n, input: ModelInput.TEXT });
  const records: DiscoveryRecord[] = [
    { key: instanceKey(7n), value: { case: "instance", value: instance } },
    { key: modelKey("far", 7n), value: { case: "model", value: card } },
  ];
  await discovery.register(records, { ttlMs: 30_000 });
  const frontend = await createFrontend({ discovery: url, "http.port": 0, "grpc.port": 0 });
  scope.own("frontend", frontend);
  base = `http://${frontend.address}/v1`;
});

afterAll(() => scope.close());

function ask(path: string, body: object) {
  const headers = { "content-type": "application/json" };
  return fetch(`${base}/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
}

it("a worker that publishes the least answers text with text, and chat is refused by name", async () => {
  const completion = { model: "far", prompt: "Once upon a time", max_tokens: 5 };
  await expect.poll(async () => (await ask("completions", completion)).status, { timeout: 10_000 }).toBe(200);
  const answer = (await (await ask("completions", completion)).json()) as object;
  expect(answer).toMatchObject({
    choices: [{ finish_reason: "length" }],
    usage: { prompt_tokens: 4, completion_tokens: 5 },
  });
  const chat = await ask("chat/completions", { model: "far", messages: [{ role: "user", content: "What?" }] });
  expect([chat.status, await chat.text()]).toEqual([400, expect.stringContaining("only the workers of this model")]);
});
