import { type InstanceRecord, InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import type { WorkerView } from "#gen/stator/frontend/v1/frontend_pb";
import { printId } from "#lib/base/bytes";
import { workerContractOf } from "#lib/discovery/worker-contract";
import { readWorkerRole } from "#lib/discovery/worker-role";
import type { Command } from "../command.ts";
import { oneLine } from "../display-width.ts";
import { askFrontend, OPERATOR_KEYS, OPERATOR_SAYS } from "../operators.ts";
import { type Column, printTable } from "../table.ts";

/** `stator ps`: the workers as a running frontend sees them. */
export const ps: Command = {
  arguments: "[HOST:PORT]",
  help:
    "Reads stator.frontend.v1 on a frontend's operators' port. On this machine the frontend (http.host and http.port)\n" +
    "tells where that is; elsewhere name it, as HOST:PORT.",
  says: OPERATOR_SAYS,
  options: ["json", ...OPERATOR_KEYS],
  async run({ values, positional, print }) {
    const { workers } = await askFrontend(values, (each, options) => each.listWorkers({}, options), positional[0]);
    const rows = workers.map(readWorker);
    print(
      values.json
        ? JSON.stringify(rows, undefined, 2)
        : [printTable(COLUMNS, rows), ...rows.flatMap(explain)].join("\n"),
    );
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
  /** What frontends speak to it: the link, or openengine.v1 alone. */
  readonly contract: string;
  readonly state: string;
  /** Why it is not ready. */
  readonly reason: string;
  /** The frontend's link to it. */
  readonly link: string;
  /** Why that is not ready. */
  readonly linkReason: string;
  readonly openRequests: number;
  readonly waitingRequests: number;
  /** What it keeps for other workers. */
  readonly openSessions: number;
  /** Blocks of them. */
  readonly pinnedBlocks: number;
  readonly usedBlocks: number;
  /** null when nobody knows. */
  readonly totalBlocks: number | null;
  readonly steps: number;
  /** How the router looks at its ranks. */
  readonly routing: readonly RoutingRow[];
  readonly version: string;
}

/** One rank of a worker, as `--json` prints it. */
interface RoutingRow {
  readonly rank: number;
  /** The rule in force. */
  readonly rule: string;
  /** Why its prefixes do not decide. */
  readonly why: string;
  /** How well it is known what it holds. */
  readonly knowledge: string;
  /** Blocks that the index has of it. */
  readonly indexedBlocks: number;
  /** Changes that the index does not have yet. */
  readonly behindEvents: number;
  /** null before the first change. */
  readonly lagMs: number | null;
  /** Seen ÷ what its card says. */
  readonly timeFactor: number;
  readonly timedPasses: number;
}

const COLUMNS: readonly Column<Row>[] = [
  ["WORKER", ({ worker }) => worker],
  ["ROLE", ({ role }) => role],
  ["MODELS", ({ models }) => models.join(" ")],
  ["ADDRESS", ({ address, contract }) => (contract === "link" ? address : `${address} (${contract})`)],
  ["STATE", ({ state, link }) => (state !== "ready" || link === "ready" ? state : `${state}, link ${link}`)],
  ["OPEN", ({ openRequests }) => openRequests],
  ["WAITING", ({ waitingRequests }) => waitingRequests],
  ["RULE", ({ routing }) => [...new Set(routing.map(({ rule }) => rule))].join(" ")],
  ["INDEXED", ({ routing }) => routing.map(printKnowledge).join(" ")],
  ["SPEED", ({ routing }) => [...new Set(routing.map(printFactor))].join(" ")],
  ["BLOCKS", ({ usedBlocks, totalBlocks }) => (totalBlocks === null ? "unknown" : `${usedBlocks}/${totalBlocks}`)],
  ["KEPT", ({ openSessions, pinnedBlocks }) => printKept(openSessions, pinnedBlocks)],
];

/** Below the table: why a worker takes nothing, where somebody said it. */
function explain({ worker, reason, linkReason }: Row): string[] {
  const why = reason || linkReason;
  return why === "" ? [] : [`${worker}: ${oneLine(why)}`];
}

/** Sessions that a worker keeps for others, with the blocks that they pin. */
function printKept(sessions: number, blocks: number): string {
  return sessions === 0 ? "" : `${sessions}, ${blocks} blocks`;
}

/** Blocks in the index, with what is wrong with them and how late it hears of changes. */
function printKnowledge({ knowledge, indexedBlocks, behindEvents, lagMs }: RoutingRow): string {
  const behind = behindEvents > 0 ? `, ${behindEvents} behind` : "";
  const lag = lagMs === null ? "" : `, ${Math.round(lagMs)} ms`;
  return knowledge === "live" ? `${indexedBlocks}${lag}${behind}` : `${indexedBlocks}, ${knowledge}`;
}

/** How long passes take beside what the card says, once some were seen. */
function printFactor({ timeFactor, timedPasses }: RoutingRow): string {
  return timedPasses > 0 ? `x ${timeFactor.toFixed(2)}` : "as told";
}

function readWorker({ instance, ...view }: WorkerView): Row {
  return {
    worker: printId(instance?.instanceId ?? 0n),
    engine: instance?.engine ?? "",
    software: describeSoftware(instance),
    role: instance ? readWorkerRole(instance) : "",
    namespace: instance?.namespace ?? "",
    models: instance?.models ?? [],
    address: instance?.address ?? "",
    contract: instance ? workerContractOf(instance) : "",
    state: STATES.get(instance?.state ?? InstanceState.UNSPECIFIED) ?? "",
    reason: instance?.reason ?? "",
    link: view.link,
    linkReason: view.linkReason,
    openRequests: view.openRequests,
    waitingRequests: view.waitingRequests,
    openSessions: view.openSessions,
    pinnedBlocks: view.pinnedBlocks,
    usedBlocks: view.usedBlocks,
    totalBlocks: instance?.totalKvBlocks === undefined ? null : Number(instance.totalKvBlocks),
    steps: Number(view.steps),
    routing: view.ranks.map(({ rank, rule, why, knowledge, timeFactor, ...counts }) => ({
      ...{ rank, rule, why, knowledge, timeFactor },
      indexedBlocks: Number(counts.indexedBlocks),
      behindEvents: Number(counts.behindEvents),
      lagMs: counts.lagMs ?? null,
      timedPasses: Number(counts.timedPasses),
    })),
    version: instance?.version ?? "",
  };
}

function describeSoftware(instance: InstanceRecord | undefined): string {
  const { name = "", version = "" } = instance?.engineDescription ?? {};
  return `${name} ${version}`.trim();
}
