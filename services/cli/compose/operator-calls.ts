import { WorkerAdminService } from "#gen/stator/worker/v1/admin_pb";
import type { DiscoveryWatch } from "#lib/discovery/discovery";
import type { ModelView } from "#lib/discovery/model-view";
import { createServicePool, type PoolTransport } from "#lib/discovery/service-pool";
import type { Tracer } from "#lib/host/telemetry";
import { createDialledTracer } from "#lib/host/trace-dial";
import { scrapeRegions } from "#lib/shared/instruments";
import { readSharedLimits } from "#lib/shared/options";
import { PassedRegions } from "#lib/shared/passed-regions";
import { SharedRegions } from "#lib/shared/shared-regions";
import { createOperatorCalls, type OperatorCalls } from "#services/frontend/inference/operator-calls";
import type { ProcessContext } from "../command.ts";
import type { ServiceProcess } from "./process.ts";

/** What operators may do with a frontend over the inference protocol, and what requests meet of it. */
export interface OpenedOperatorCalls {
  /** Handlers and plain functions. */
  readonly calls: OperatorCalls;
  /** What they registered, for requests to models of this frontend's own. */
  readonly regions: SharedRegions;
  /** The same on its way to workers of tensors. */
  readonly passed: PassedRegions;
  /** The process's tracer, as they turned it. */
  readonly tracer: Tracer;
}

/** Wires the operators' calls of a frontend. The scope owns what is opened; the metrics hold `SHARED_INSTRUMENTS`. */
export async function openOperatorCalls(
  { values, scope, log, logDial }: ProcessContext,
  process: ServiceProcess,
  found: {
    readonly watch: DiscoveryWatch;
    readonly view: ModelView;
    readonly dial: (address: string) => PoolTransport;
  },
): Promise<OpenedOperatorCalls> {
  const { clock, chance, metrics } = process;
  const { watch, view, dial } = found;
  const regions = scope.own("regions", new SharedRegions({ limits: readSharedLimits(values) }));
  const passed = scope.own("passed regions", new PassedRegions({ regions, chance, log }));
  scope.defer("regions' scrape", scrapeRegions(metrics, regions));
  const hasEndpoint = values["trace.endpoint"] !== undefined;
  const usual = { on: hasEndpoint, everyNth: 1 };
  const traces = { dial: { ...usual }, usual, hasEndpoint };
  const admins = scope.own("admins", createServicePool(WorkerAdminService, { watch, dial, clock }));
  return {
    calls: createOperatorCalls({
      ...{ view, admins, clock, regions, logDial, traces },
      knows: (model) => void view.known(model),
    }),
    ...{ regions, passed },
    tracer: createDialledTracer(await process.openTracer(), traces.dial),
  };
}
