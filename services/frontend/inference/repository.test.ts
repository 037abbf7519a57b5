import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  RepositoryModelLoadRequestSchema,
  RepositoryModelLoadResponseSchema,
  RepositoryModelUnloadRequestSchema,
} from "#gen/inference/repository_pb";
import { AdapterCardSchema, type InstanceRecord } from "#gen/stator/discovery/v1/discovery_pb";
import { WorkerAdminService } from "#gen/stator/worker/v1/admin_pb";
import { StatorError } from "#lib/base/errors";
import { ModelView } from "#lib/discovery/model-view";
import { adapterKey } from "#lib/discovery/record-keys";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { createClient } from "#lib/rpc/client";
import { DirectTransport } from "#lib/rpc/direct";
import { createService } from "#lib/rpc/service";
import { RehearsalWatch, rehearsalRecords } from "../../../test/support/rehearsal/open.ts";
import { createRepositoryCalls } from "./repository.ts";

/** A worker as far as its adapters go. */
interface Fake {
  readonly model: string;
  readonly files: readonly string[];
  readonly loaded: Set<string>;
  /** What every call of it throws. */
  fault?: StatorError;
  /** What its loads throw. */
  loadFault?: StatorError;
}

const observed = { clock: systemClock, log: silentLog, metrics: noMetrics };

function openRig(...workers: readonly Fake[]) {
  const watch = new RehearsalWatch();
  const instances = workers.map(({ model }, at): InstanceRecord => {
    const records = rehearsalRecords(model, { id: BigInt(at + 1) });
    watch.put(...records);
    const [instance] = records;
    if (instance?.value.case !== "instance") throw new Error("the first record is the instance's");
    return instance.value.value;
  });
  const clients = workers.map((worker, at) => {
    const key = (name: string) => adapterKey(name, BigInt(at + 1));
    const check = (fault = worker.fault): void => {
      if (fault) throw fault;
    };
    const service = createService(WorkerAdminService, {
      listAdapters() {
        check();
        const adapters = [...new Set([...worker.loaded, ...worker.files])];
        return {
          baseModel: worker.model,
          adapters: adapters.map((name) => ({ name, loaded: worker.loaded.has(name) })),
        };
      },
      loadAdapter({ name }) {
        check();
        check(worker.loadFault);
        if (!worker.files.includes(name)) throw new StatorError("NOT_FOUND", { what: `A file ${name}.gguf` });
        const alreadyLoaded = worker.loaded.has(name);
        worker.loaded.add(name);
        const value = create(AdapterCardSchema, { name, instanceId: BigInt(at + 1), baseModel: worker.model });
        watch.put({ key: key(name), value: { case: "adapter", value } });
        return { alreadyLoaded };
      },
      unloadAdapter({ name }) {
        check();
        worker.loaded.delete(name);
        watch.remove(key(name));
        return {};
      },
    });
    return createClient(WorkerAdminService, new DirectTransport([service], observed));
  });
  const pick = (id?: bigint) => {
    const at = Number(id) - 1;
    const [instance, client] = [instances[at], clients[at]];
    if (!instance || !client) throw new StatorError("NOT_FOUND", { what: "it" });
    return { instance, client, transport: new DirectTransport([], observed) };
  };
  const view = new ModelView({ watch, clock: systemClock });
  return { view, calls: createRepositoryCalls({ view, admins: { instances, pick }, clock: systemClock }) };
}

const worker = (model: string, ...files: readonly string[]): Fake => ({ model, files, loaded: new Set() });
const load = (init: { modelName?: string; repositoryName?: string; parameters?: Record<string, string | boolean> }) =>
  create(RepositoryModelLoadRequestSchema, {
    ...init,
    parameters: Object.fromEntries(
      Object.entries(init.parameters ?? {}).map(([key, value]) => [
        key,
        typeof value === "boolean"
          ? { parameterChoice: { case: "boolParam" as const, value } }
          : { parameterChoice: { case: "stringParam" as const, value } },
      ]),
    ),
  });

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

test.each([
  ["KServe's", "0a016d"],
  ["Triton's", "12016d"],
])("%s form loads and unloads an adapter on all workers of its model, and the answer fits both", async (_, form) => {
  const workers = [worker("base", "m"), worker("base", "m"), worker("other")];
  const { calls, view } = openRig(...workers);
  const bytes = Buffer.from(form, "hex");
  const answer = await calls.repositoryModelLoad(fromBinary(RepositoryModelLoadRequestSchema, bytes));
  const printed = toBinary(RepositoryModelLoadResponseSchema, create(RepositoryModelLoadResponseSchema, answer));
  expect(hex(printed)).toBe("0a016d1001");
  expect(workers.map(({ loaded }) => [...loaded])).toEqual([["m"], ["m"], []]);
  expect(view.models.names.get("m")?.ready.size).toBe(2);
  expect(await calls.repositoryModelLoad(load({ modelName: "m" }))).toEqual({ modelName: "m", isLoaded: true });
  const gone = await calls.repositoryModelUnload(fromBinary(RepositoryModelUnloadRequestSchema, bytes));
  expect(gone).toEqual({ modelName: "m", isUnloaded: true });
  expect(workers.map(({ loaded }) => [...loaded])).toEqual([[], [], []]);
  expect(view.models.names.has("m")).toBe(false);
});

test("a parameter that nobody here knows refuses the form of Triton's clients that brings a configuration", async () => {
  const { calls } = openRig(worker("base", "m"));
  const bytes = Buffer.from("12016d1a130a06636f6e66696712091a077b2261223a317d", "hex");
  await expect(calls.repositoryModelLoad(fromBinary(RepositoryModelLoadRequestSchema, bytes))).rejects.toThrow(
    "failed to load 'm', the parameter config is not known here.",
  );
  const unload = { ...load({ modelName: "m", parameters: { unload_dependents: false } }) };
  await expect(calls.repositoryModelUnload(unload)).rejects.toThrow("failed to unload 'm', no worker has loaded");
});

test.each([
  [{}, "failed to load '', the request names no model"],
  [{ modelName: "m", repositoryName: "r" }, "failed to load 'm', there are no repositories"],
  [{ modelName: "base" }, "failed to load 'base', its workers have it as long as they run"],
  [{ modelName: "wrong" }, "failed to load 'wrong', no worker has a file of this name"],
  [{ modelName: "m", parameters: { base_model: "third" } }, "failed to load 'm', no worker of third has a file"],
  [{ modelName: "m" }, "failed to load 'm', workers of base, other have one: say which"],
  [{ modelName: "m", parameters: { base_model: true } }, "the parameter base_model is to be the name of a model"],
  [{ modelName: "m", parameters: { base_modle: "base" } }, "base_modle is not known here; did you mean base_model?"],
])("%j is refused", async (init, message) => {
  const workers = [worker("base", "m"), worker("other", "m")];
  const { calls } = openRig(...workers);
  const error = await calls.repositoryModelLoad(load(init)).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ reason: "LOAD_REFUSED", message: expect.stringContaining(message) });
  expect(workers.every(({ loaded }) => loaded.size === 0)).toBe(true);
});

test("a parameter says whose adapter is meant", async () => {
  const workers = [worker("base", "m"), worker("other", "m")];
  const { calls } = openRig(...workers);
  await calls.repositoryModelLoad(load({ modelName: "m", parameters: { base_model: "other" } }));
  expect(workers.map(({ loaded }) => loaded.size)).toEqual([0, 1]);
});

test("a load that fails on one worker is taken back on those that had not had it, and on no other", async () => {
  const workers: Fake[] = [worker("base", "m"), worker("base", "m"), worker("base")];
  workers[1]?.loaded.add("m");
  const { calls } = openRig(...workers);
  await expect(calls.repositoryModelLoad(load({ modelName: "m" }))).rejects.toThrow(
    "failed to load 'm', worker 0000000000000003 said: A file m.gguf was not found.",
  );
  expect(workers.map(({ loaded }) => loaded.size)).toEqual([0, 1, 0]);
});

test("a worker that cannot be reached refuses the whole, and one without adapters does not count", async () => {
  const [first, second] = [worker("base", "m"), worker("base", "m")];
  second.fault = new StatorError("FEATURE_DISABLED", { feature: "Loading adapters", detail: "none" });
  const { calls } = openRig(first, second);
  await calls.repositoryModelLoad(load({ modelName: "m" }));
  second.fault = new StatorError("UNAVAILABLE", { what: "It", detail: "gone" });
  for (const call of [
    calls.repositoryModelLoad(load({ modelName: "m" })),
    calls.repositoryModelUnload(load({ modelName: "m" })),
  ]) {
    await expect(call).rejects.toMatchObject({
      reason: "LOAD_REFUSED",
      message: expect.stringMatching(/cannot be reached/),
    });
  }
  expect(first.loaded.size).toBe(1);
});
