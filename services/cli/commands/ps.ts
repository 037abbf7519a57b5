import { type InstanceRecord, InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import type { WorkerView } from "#gen/stator/frontend/v1/frontend_pb";
import { printId } from "#lib/base/bytes";
import { readWorkerRole } from "#lib/discovery/worker-role";
import type { Command } from "../command.ts";
import { askFrontend, OPERATOR_KEYS, OPERATOR_SAYS } from "../operators.ts";
import { type Column, printTable } from "../table.ts";

/** `stator ps`: the workers as a running frontend sees them. */
export const ps: Command = {
  name: "ps",
  arguments: "[HOST:PORT]",
  summary: "the workers of a running frontend: what they serve, state, load",
  help:
    "Reads stator.frontend.v1 on a frontend's operators' port. On this machine the frontend (http.host and http.port)\n" +
    "tells where that is; elsewhere name it, as HOST:PORT.",
  says: OPERATOR_SAYS,
  options: ["json", ...OPERATOR_KEYS],
  async run({ values, positional, print }) {
    const { workers } = await askFrontend(values, (each, options) => each.listWorkers({}, options), positional[0]);
    const rows = workers.map(readWorker);
    print(values.json ? JSON.stringify(rows, undefined, 2) : printTable(COLUMNS, rows));
    return 0;
  },
};

const STATES = new Map<number, string>(
  Object.entries(InstanceState).map(([name, state]) => [state, name.toLowerCase()]),
);

/** One worker, as `--json` prints it. */
interface Row {
  readonly worker: string;
  readonly engine: string;
  /** What computes, with its version; empty when nobody knows. */
  readonly software: string;
  /** What part of requests it does. */
  readonly role: string;
  /** Empty for the one without a name. */
  readonly namespace: string;
  readonly models: readonly string[];
  readonly address: string;
  readonly state: string;
  /** Why it is not ready. */
  readonly reason: string;
  /** The frontend's link to it. */
  readonly link: string;
  readonly openRequests: number;
  readonly waitingRequests: number;
  readonly usedBlocks: number;
  /** null when nobody knows. */
  readonly totalBlocks: number | null;
  readonly steps: number;
  readonly version: string;
}

const COLUMNS: readonly Column<Row>[] = [
  ["WORKER", ({ worker }) => worker],
  ["MODELS", ({ models }) => models.join(" ")],
  ["ADDRESS", ({ address }) => address],
  ["STATE", ({ state, link }) => (state !== "ready" || link === "ready" ? state : `${state}, link ${link}`)],
  ["OPEN", ({ openRequests }) => openRequests],
  ["WAITING", ({ waitingRequests }) => waitingRequests],
  ["BLOCKS", ({ usedBlocks, totalBlocks }) => (totalBlocks === null ? "unknown" : `${usedBlocks}/${totalBlocks}`)],
];

function readWorker({ instance, ...view }: WorkerView): Row {
  return {
    worker: printId(instance?.instanceId ?? 0n),
    engine: instance?.engine ?? "",
    software: describeSoftware(instance),
    role: instance ? readWorkerRole(instance) : "",
    namespace: instance?.namespace ?? "",
    models: instance?.models ?? [],
    address: instance?.address ?? "",
    state: STATES.get(instance?.state ?? InstanceState.UNSPECIFIED) ?? "",
    reason: instance?.reason ?? "",
    link: view.link,
    openRequests: view.openRequests,
    waitingRequests: view.waitingRequests,
    usedBlocks: view.usedBlocks,
    totalBlocks: instance?.totalKvBlocks === undefined ? null : Number(instance.totalKvBlocks),
    steps: Number(view.steps),
    version: instance?.version ?? "",
  };
}

function describeSoftware(instance: InstanceRecord | undefined): string {
  const { name = "", version = "" } = instance?.engineDescription ?? {};
  return `${name} ${version}`.trim();
}
