import { WorkerAdminService } from "#gen/stator/worker/v1/admin_pb";
import { parseId, printId } from "#lib/base/bytes";
import { asStatorError, StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { readCredentials } from "#lib/rpc/options";
import type { Command, CommandContext } from "../command.ts";
import { askFrontend, OPERATOR_KEYS, OPERATOR_SAYS } from "../operators.ts";
import { type Column, printTable } from "../table.ts";

const TIMEOUT_MS = 10_000;

/** `stator cache`: what workers keep of prefixes. */
export const cache: Command = {
  name: "cache",
  arguments: "clear [WORKER]",
  summary: "clear the prefix cache of a worker, or of all",
  help:
    "`clear` makes every worker of a running frontend forget its cached blocks; WORKER is one of them, as `stator ps` names\n" +
    "it, or the HOST:PORT of a worker's own port. Requests that run keep theirs, which go when they end. On this machine\n" +
    "the frontend is found at http.host and http.port.",
  says: OPERATOR_SAYS,
  options: ["json", ...OPERATOR_KEYS],
  async run({ values, positional, print }) {
    const [verb, worker, ...more] = positional;
    if (verb !== "clear" || more.length > 0) {
      throw new StatorError("BAD_CONFIG", { detail: "Say `stator cache clear`, or `stator cache clear WORKER`." });
    }
    const targets = await findTargets(values, worker);
    const rows = await Promise.all(targets.map((target) => clear(values, target)));
    print(values.json ? JSON.stringify(rows, undefined, 2) : printTable(COLUMNS, rows));
    return rows.every(({ failure }) => failure === "") ? 0 : 1;
  },
};

/** Whose cache is cleared. */
interface Target {
  /** As `stator ps` names it; empty for one that is named by its address. */
  readonly worker: string;
  /** host:port of its gRPC port. */
  readonly address: string;
}

/** What became of it, as `--json` prints it. */
interface Row extends Target {
  /** Blocks that were forgotten. */
  readonly cleared: number;
  /** Blocks that running requests use. */
  readonly kept: number;
  /** Why nothing was cleared; empty when it was. */
  readonly failure: string;
}

const COLUMNS: readonly Column<Row>[] = [
  ["WORKER", ({ worker }) => worker],
  ["ADDRESS", ({ address }) => address],
  ["CLEARED", ({ cleared, failure }) => (failure === "" ? cleared : "")],
  ["IN USE", ({ kept, failure }) => (failure === "" ? kept : "")],
  ["WHY NOT", ({ failure }) => failure],
];

/** The workers that the frontend sees, or the one that is named. Throws NOT_FOUND for one that it does not. */
async function findTargets(values: CommandContext["values"], named: string | undefined): Promise<readonly Target[]> {
  if (named?.includes(":")) return [{ worker: "", address: named }];
  const { workers } = await askFrontend(values, (each, options) => each.listWorkers({}, options));
  const seen = workers.flatMap(({ instance }) =>
    instance ? [{ worker: printId(instance.instanceId), address: instance.address }] : [],
  );
  if (named === undefined) return seen;
  const id = parseId(named);
  const found = seen.filter(({ worker }) => id !== undefined && worker === printId(id));
  if (found.length > 0) return found;
  throw new StatorError("NOT_FOUND", { what: `The worker ${named}` });
}

async function clear(values: CommandContext["values"], target: Target): Promise<Row> {
  const channel = new Channel(target.address, readCredentials(values, systemClock), systemClock);
  try {
    const client = createClient(WorkerAdminService, channel);
    const { clearedBlocks, keptBlocks } = await client.clearCache({}, { timeoutMs: TIMEOUT_MS });
    return { ...target, cleared: Number(clearedBlocks), kept: Number(keptBlocks), failure: "" };
  } catch (error) {
    return { ...target, cleared: 0, kept: 0, failure: asStatorError(error).message };
  } finally {
    channel.close();
  }
}
