import { expect, test } from "vitest";
import { InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { FrontendService } from "#gen/stator/frontend/v1/frontend_pb";
import { FakeClock } from "#lib/base/clock";
import { asStatorError } from "#lib/base/errors";
import { ModelView } from "#lib/discovery/model-view";
import { instanceKey } from "#lib/discovery/record-keys";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { createClient } from "#lib/rpc/client";
import { DirectTransport } from "#lib/rpc/direct";
import { RPC_INSTRUMENTS } from "#lib/rpc/metrics";
import { RehearsalWatch, rehearsalRecords } from "../../test/support/rehearsal/open.ts";
import { type AdministrationParts, createFrontendService } from "./administration.ts";

test("a model's text is told with eight of its holders at most, and why there is none", async () => {
  const clock = new FakeClock();
  const watch = new RehearsalWatch();
  const dispatcher = {} as AdministrationParts["dispatcher"];
  const service = createFrontendService({
    dispatcher,
    router: { view: () => [] },
    view: new ModelView({ watch, clock }),
  });
  const metrics = createMetrics([RPC_INSTRUMENTS], { processMetrics: false });
  const client = createClient(
    FrontendService,
    new DirectTransport([service], { clock: systemClock, log: silentLog, metrics }),
  );
  for (let id = 1n; id <= 10n; id++) watch.put(...rehearsalRecords("many", { id }));
  const { tokenizer, template, holders, markersInContent } = await client.findText({ model: "many" });
  expect([tokenizer?.kind, template, holders.length, markersInContent]).toEqual(["tokenizer", undefined, 8, false]);
  watch.put(...rehearsalRecords("soon", { id: 11n, state: InstanceState.LOADING, loaded: false }));
  const reasonOf = (model: string) => client.findText({ model }).catch((error: unknown) => asStatorError(error).reason);
  expect(await reasonOf("soon")).toBe("MODEL_LOADING");
  watch.remove(instanceKey(11n));
  expect(await reasonOf("never")).toBe("MODEL_NOT_FOUND");
});
