import { afterEach, expect, test } from "vitest";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { ModelView } from "#lib/discovery/model-view";
import type { LogDial } from "#lib/host/log";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { loopbackCredentials as credentials } from "#lib/rpc/credentials";
import { openServer } from "#lib/rpc/server";
import { createService } from "#lib/rpc/service";
import { SharedRegions } from "#lib/shared/shared-regions";
import { RehearsalWatch, rehearsalRecords } from "../../../test/support/rehearsal/open.ts";
import { createOperatorCalls } from "./operator-calls.ts";

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function openPort(logDial: LogDial | undefined) {
  const watch = new RehearsalWatch();
  watch.put(...rehearsalRecords("base"));
  const view = new ModelView({ watch, clock: systemClock });
  const usual = { on: false, everyNth: 1 };
  const calls = createOperatorCalls({
    ...{ view, clock: new FakeClock(), regions: new SharedRegions(), logDial },
    traces: { dial: { ...usual }, usual, hasEndpoint: false },
    knows: (model) => void view.known(model),
    admins: {
      instances: [],
      pick() {
        throw new StatorError("NOT_FOUND", { what: "It" });
      },
    },
  });
  const services = [createService(GRPCInferenceService, calls, { access: Access.OPERATOR })];
  const observed = { clock: systemClock, log: silentLog, metrics: noMetrics };
  const server = await openServer({ host: "127.0.0.1", port: 0, credentials, services, ...observed });
  const channel = new Channel(server.address, credentials, systemClock);
  closing.push(
    () => server.drain(100),
    () => channel.close(),
  );
  return createClient(GRPCInferenceService, channel);
}

const told = (error: unknown): unknown => (error instanceof StatorError ? [error.row.grpc, error.message] : error);

test("every method of the operators answers over gRPC with its own words", async () => {
  const dial: LogDial = { level: "info" };
  const client = await openPort(dial);
  const verbose = { parameterChoice: { case: "uint32Param", value: 1 } } as const;
  const { settings } = await client.logSettings({ settings: { log_verbose_level: verbose } });
  expect([dial.level, settings.log_verbose_level?.parameterChoice.value]).toEqual(["debug", 1]);
  expect((await client.traceSetting({ modelName: "base" })).settings.trace_level?.value).toEqual(["OFF"]);
  expect((await client.systemSharedMemoryStatus({})).regions).toEqual({});
  expect(await client.traceSetting({ modelName: "third" }).catch(told)).toEqual([
    ...[5, expect.stringContaining("The model third does not exist here")],
  ]);
  const file = { parameterChoice: { case: "stringParam", value: "/tmp/log" } } as const;
  expect(await client.logSettings({ settings: { log_file: file } }).catch(told)).toEqual([
    ...[3, "log_file: cannot be set: lines go to standard error."],
  ]);
  expect(await client.repositoryModelLoad({ modelName: "wrong_model_name" }).catch(told)).toEqual([
    ...[3, "failed to load 'wrong_model_name', no worker has a file of this name in its --adapter-folder."],
  ]);
  expect(await client.repositoryModelUnload({ modelName: "base" }).catch(told)).toEqual([
    3,
    "failed to unload 'base', its workers have it as long as they run; adapters can be loaded and unloaded.",
  ]);
});

test("a log of the program around is not turned", async () => {
  const client = await openPort(undefined);
  expect(await client.logSettings({}).catch(told)).toEqual([9, expect.stringContaining("Turning the log")]);
});
