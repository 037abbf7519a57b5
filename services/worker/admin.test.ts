import { expect, test } from "vitest";
import { WorkerAdminService } from "#gen/stator/worker/v1/admin_pb";
import { createClient } from "#lib/rpc/client";
import { settle, WorkerRig } from "../../test/support/worker-rig.ts";

async function openAdmin(files: readonly string[]) {
  const rig = new WorkerRig();
  await rig.start();
  rig.adapterFiles.push(...files);
  return { rig, admin: createClient(WorkerAdminService, rig.transport) };
}

test("adapters load by the names of their files, once each, and requests may name them until they are unloaded", async () => {
  const { rig, admin } = await openAdmin(["pirate", "sailor"]);
  expect(await admin.loadAdapter({ name: "pirate" })).toMatchObject({ alreadyLoaded: false });
  expect(await admin.loadAdapter({ name: "pirate" })).toMatchObject({ alreadyLoaded: true });
  expect(rig.discovery.seen.names).toEqual(["model fake-model", "adapter pirate"]);
  expect(rig.engine.adapters?.list()).toMatchObject([{ name: "pirate", path: "/adapters/pirate.gguf" }]);
  expect(await admin.listAdapters({})).toMatchObject({
    baseModel: "fake-model",
    adapters: [
      { name: "pirate", loaded: true },
      { name: "sailor", loaded: false },
    ],
  });
  const unloading = admin.unloadAdapter({ name: "pirate" });
  await settle();
  await unloading;
  expect(rig.discovery.seen.names).toEqual(["model fake-model"]);
  await rig.worker.close();
});

test("what was loaded by name has no number until openengine.v1 gives it one, and a number is free again", async () => {
  const { rig, admin } = await openAdmin(["pirate"]);
  await admin.loadAdapter({ name: "pirate" });
  expect((await rig.control.listLoras({})).adapters).toMatchObject([{ loraName: "pirate", loraId: 0n }]);
  const adapter = { loraId: 7n, loraName: "pirate", sourcePath: "/adapters/pirate.gguf" };
  expect(await rig.control.loadLora({ adapter })).toMatchObject({ alreadyLoaded: true });
  await admin.unloadAdapter({ name: "pirate" });
  await rig.control.loadLora({ adapter: { ...adapter, loraName: "sailor" } });
  await rig.worker.close();
});

test("what cannot be loaded or unloaded is refused, and nothing changes", async () => {
  const { rig, admin } = await openAdmin([]);
  await expect(admin.loadAdapter({ name: "pirate" })).rejects.toMatchObject({ reason: "NOT_FOUND" });
  await expect(admin.unloadAdapter({ name: "pirate" })).rejects.toMatchObject({ reason: "NOT_FOUND" });
  await expect(admin.loadAdapter({ name: "fake-model" })).rejects.toMatchObject({ reason: "ALREADY_EXISTS" });
  expect((await rig.control.listLoras({})).adapters).toEqual([]);
  await rig.worker.close();
  const without = new WorkerRig({ capabilities: { ...rig.engine.card.capabilities, lora: false } });
  await without.start();
  const refused = createClient(WorkerAdminService, without.transport);
  for (const call of [refused.listAdapters({}), refused.loadAdapter({ name: "pirate" })]) {
    await expect(call).rejects.toMatchObject({ reason: "FEATURE_DISABLED" });
  }
  await without.worker.close();
});
