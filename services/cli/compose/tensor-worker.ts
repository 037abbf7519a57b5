import { GRPCInferenceService } from "#gen/inference/service_pb";
import { StatorError } from "#lib/base/errors";
import { DISCOVERY_INSTRUMENTS } from "#lib/discovery/metrics";
import { ForeignServer } from "#lib/engines/kserve/foreign-server";
import type { TensorModel } from "#lib/engines/tensor/model";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { SHARED_INSTRUMENTS, scrapeRegions } from "#lib/shared/instruments";
import { readSharedLimits } from "#lib/shared/options";
import { SharedRegions } from "#lib/shared/shared-regions";
import { createForeignWorker } from "#services/worker/inference/foreign-worker";
import { TENSOR_INSTRUMENTS } from "#services/worker/inference/metrics";
import { readTensorLimits } from "#services/worker/inference/options";
import { createTensorWorker, type TensorWorker, type TensorWorkerDeps } from "#services/worker/inference/tensor-worker";
import { WORKER_INSTRUMENTS } from "#services/worker/metrics";
import type { CommandContext, ProcessContext } from "../command.ts";
import { isModule, type ModuleEngine, type TensorEngine } from "../engine-option.ts";
import { type ModelReport, reportForeignModel, reportTensorModel } from "../model-report.ts";
import { VERSION } from "../version.ts";
import { readUrl } from "./engine.ts";
import { openProcess, type ServiceProcess } from "./process.ts";
import { readTensorModels } from "./tensor-models.ts";

/** A worker process of tensors that serves. */
export interface OpenedTensorWorker {
  /** host:port of its gRPC port. */
  readonly address: string;
  /** The models that it has now. */
  readonly models: readonly ModelReport[];
  /** Finishes what runs, for so long at most, and closes the worker. */
  drain(deadlineMs: number): Promise<void>;
}

/** What a kind of worker is made of, beside what every one is. */
type Shared = Omit<TensorWorkerDeps, "loadModels" | "names" | "engineName" | "limits" | "regions">;

/** A worker of one kind, and what to tell of its models. */
interface Made {
  readonly worker: TensorWorker;
  readonly reports: () => readonly ModelReport[];
}

/** What a worker of tensors is opened with, beside the options. */
export interface TensorParts extends Pick<CommandContext, "stopped"> {
  /** The one that was named. */
  readonly engine: TensorEngine | ModuleEngine;
  /** The models that it has; a foreign server's are asked for. */
  readonly there: readonly TensorModel[];
}

/**
 * Wires a worker of tensors: models or a foreign server, health, reflection, discovery. The scope owns all of it. A stop
 * while its models open ends that, and there is no worker then. Throws what its models throw.
 */
export async function openTensorWorker(
  context: ProcessContext,
  { engine, there, stopped }: TensorParts,
): Promise<OpenedTensorWorker | undefined> {
  const { values, scope } = context;
  if (values.role !== "aggregated") {
    const detail = `--role ${values.role}: requests to models of tensors have no parts.`;
    throw new StatorError("BAD_CONFIG", { detail });
  }
  const process = openProcess(context, {
    role: "worker",
    instruments: [DISCOVERY_INSTRUMENTS, WORKER_INSTRUMENTS, TENSOR_INSTRUMENTS, SHARED_INSTRUMENTS],
    listen: { host: values["grpc.host"], port: values["grpc.port"], flag: "--grpc-port" },
  });
  const shared: Shared = {
    ...process,
    discovery: await process.discover(values.discovery ?? "memory:"),
    leaseMs: values["lease-ms"],
    version: VERSION,
    taints: values.taints,
    onState({ state }) {
      process.health.set("", state === "ready");
      for (const { service } of worker.services) process.health.set(service.typeName, state === "ready");
    },
  };
  const { worker, reports } =
    engine === "kserve" ? standBefore(context, process, shared) : serveModels(context, { engine, there }, shared);
  const { server, address } = await process.listen(worker.services, () => worker.state.state === "ready");
  scope.own("worker", worker);
  const began = await Promise.race([worker.start(address).then(() => "ready" as const), stopped]);
  if (began !== "ready") return undefined;
  return {
    address,
    models: reports(),
    async drain(deadlineMs) {
      await worker.drain(deadlineMs);
      await worker.close();
      await server.drain(DRAIN_CALLS_MS);
    },
  };
}

function serveModels(
  { values, scope }: ProcessContext,
  { engine, there }: Pick<TensorParts, "engine" | "there">,
  shared: Shared,
): Made {
  const models = readTensorModels(there, values);
  const regions = scope.own("regions", new SharedRegions({ limits: readSharedLimits(values) }));
  scope.defer("regions' scrape", scrapeRegions(shared.metrics, regions));
  const worker = createTensorWorker({
    ...shared,
    loadModels: async () => models,
    names: models.map(({ name }) => name),
    engineName: isModule(engine) ? "module" : engine,
    limits: readTensorLimits(values),
    regions,
  });
  return { worker, reports: () => models.map(({ name, model }) => reportTensorModel(name, model)) };
}

function standBefore({ values, scope }: ProcessContext, process: ServiceProcess, shared: Shared): Made {
  const url = readUrl(values, "kserve");
  const { clock, credentials } = process;
  const channel = new Channel(url, credentials, clock);
  scope.defer("foreign server", () => channel.close());
  const server = new ForeignServer({
    address: url,
    client: createClient(GRPCInferenceService, channel),
    names: values["kserve.models"],
    timeoutMs: LOOK_TIMEOUT_MS,
  });
  const worker = createForeignWorker({ ...shared, server, serverAddress: url, lookMs: values["kserve.look-ms"] });
  return { worker, reports: () => worker.models.map(reportForeignModel) };
}

/** Time that a foreign server has for each answer about itself. */
const LOOK_TIMEOUT_MS = 5_000;

/** Time for calls that are open after all requests have ended, such as watches of health. */
const DRAIN_CALLS_MS = 250;
