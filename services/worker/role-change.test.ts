import { afterEach, expect, it } from "vitest";
import { InstanceState, WorkerRole } from "#gen/stator/discovery/v1/discovery_pb";
import { WorkerAdminService } from "#gen/stator/worker/v1/admin_pb";
import { StatorError } from "#lib/base/errors";
import { createClient } from "#lib/rpc/client";
import { FakeTransferAgent } from "../../test/support/fake-transfer-agent.ts";
import { settle, WorkerRig } from "../../test/support/worker-rig.ts";

let rig: WorkerRig;

let agent: FakeTransferAgent;

async function started() {
  agent = new FakeTransferAgent();
  rig = new WorkerRig({}, { transfer: agent });
  Object.assign(rig.engine, { blocks: {} });
  await rig.start();
  return createClient(WorkerAdminService, rig.transport);
}

afterEach(() => rig.worker.close());

it("a worker that takes another role ends what runs, and comes back as another incarnation", async () => {
  const admin = await started();
  const { incarnation } = rig.discovery.seen.instance!;
  const { link, said } = await rig.link();
  const { heard, id } = await rig.submit(link);
  const changed = admin.setRole({ role: "prefill" });
  await settle();
  expect(rig.discovery.seen.instance).toMatchObject({ state: InstanceState.DRAINING, incarnation });
  expect(said).toContain("notice draining");
  await expect(admin.setRole({ role: "decode" })).rejects.toMatchObject({ reason: "DRAINING" });
  rig.engine.step({ finishes: [{ id, reason: "end" }] });
  expect(await changed).toMatchObject({ previousRole: "aggregated" });
  await settle();
  expect(heard.said).toEqual(["accepted", "finish end"]);
  // Nobody can fetch what was kept under the incarnation before.
  expect(agent.said).toEqual(["renewed STREAM_LOST"]);
  expect(said.at(-1)).toBe("closed");
  const { instance, names } = rig.discovery.seen;
  expect(instance).toMatchObject({ state: InstanceState.READY, reason: "", workerRole: WorkerRole.PREFILL });
  expect(instance!.incarnation).not.toBe(incarnation);
  expect(names).toEqual(["model fake-model"]);
  expect((await rig.control.getServerInfo({})).engineRole).toBe(2);
  expect((await rig.submit((await rig.link()).link)).heard.said).toEqual(["accepted"]);
});

it("waits until others have fetched what it keeps for them, as long as for requests", async () => {
  const admin = await started();
  const { sessionId } = agent.keep({
    ...{ tokens: Uint32Array.of(1), firstTokens: Uint32Array.of(2), cacheSalt: "", adapter: undefined },
  });
  const changed = admin.setRole({ role: "prefill", drainMs: 1_000 });
  await settle();
  expect(rig.discovery.seen.instance).toMatchObject({ state: InstanceState.DRAINING });
  agent.release([sessionId]);
  await changed;
  agent.keep({ tokens: Uint32Array.of(1), firstTokens: Uint32Array.of(2), cacheSalt: "", adapter: undefined });
  const late = admin.setRole({ role: "decode", drainMs: 1_000 });
  await settle();
  rig.clock.advance(999);
  await settle();
  expect(rig.discovery.seen.instance).toMatchObject({ state: InstanceState.DRAINING });
  rig.clock.advance(1);
  await late;
  expect(agent.sessions.size).toBe(0);
});

it("what is late is ended at the time that was stated: links are lost, calls fail, and nothing of it is left", async () => {
  const admin = await started();
  const { heard } = await rig.submit((await rig.link()).link);
  const call = await rig.generate({ requestId: "r", input: { case: "prompt", value: "hi" } });
  const changed = admin.setRole({ role: "decode", drainMs: 50 });
  await settle();
  rig.clock.advance(49);
  await settle();
  expect(call.messages).toEqual([]);
  rig.clock.advance(1);
  await changed;
  await settle();
  expect(heard.said).toEqual(["accepted", "lost STREAM_LOST accepted"]);
  expect(call.messages).toMatchObject([{ event: { case: "error", value: { retryable: true } } }]);
  rig.engine.finishCancelled();
  expect(rig.engine.open.size).toBe(0);
  expect((await rig.generate({ requestId: "s", input: { case: "prompt", value: "hi" } })).status).toBeUndefined();
});

it("what cannot be is refused, and what is so already is no change", async () => {
  const admin = await started();
  const versions = rig.discovery.versions.length;
  for (const role of ["encode", "", "Prefill"]) {
    await expect(admin.setRole({ role })).rejects.toMatchObject({ reason: "INVALID_ARGUMENT" });
  }
  expect(await admin.setRole({ role: "aggregated" })).toMatchObject({ previousRole: "aggregated" });
  Object.assign(rig.engine, { blocks: undefined });
  const refused = admin.setRole({ role: "decode" });
  await expect(refused).rejects.toThrow("a fake engine keeps no blocks");
  expect(rig.discovery.versions.length).toBe(versions);
});

it("a worker that is told to end, or whose engine fails, does not come back in another role", async () => {
  for (const how of ["drain", "fail"] as const) {
    const admin = await started();
    const { id } = await rig.submit((await rig.link()).link);
    const changed = admin.setRole({ role: "decode" });
    changed.catch(() => {});
    await settle();
    const ended = how === "drain" ? rig.worker.drain(1000) : undefined;
    if (how === "fail") rig.engine.fail(new StatorError("ENGINE_FAILED", { detail: "no memory" }));
    else rig.engine.step({ finishes: [{ id, reason: "end" }] });
    await ended;
    await expect(changed).rejects.toMatchObject({ reason: how === "drain" ? "DRAINING" : "ENGINE_FAILED" });
    await settle();
    const state = how === "drain" ? InstanceState.DRAINING : InstanceState.FAILED;
    expect(rig.discovery.seen.instance).toMatchObject({ state, workerRole: WorkerRole.AGGREGATED });
    await rig.worker.close();
  }
});
