import { WorkerAdminService } from "#gen/stator/worker/v1/admin_pb";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Command, CommandContext } from "../command.ts";
import { OPERATOR_KEYS, OPERATOR_SAYS } from "../operators.ts";
import { type Column, printTable } from "../table.ts";
import { askWorker, findWorkers, type WorkerAddress } from "../worker-address.ts";

const TIMEOUT_MS = 10_000;

/** `stator cache`: what workers keep of prefixes. */
export const cache: Command = {
  arguments: "clear [WORKER]",
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
    const targets = await findWorkers(values, worker);
    const rows = await Promise.all(targets.map((target) => clear(values, target)));
    print(values.json ? JSON.stringify(rows, undefined, 2) : printTable(COLUMNS, rows));
    return rows.every(({ failure }) => failure === "") ? 0 : 1;
  },
};

/** What became of it, as `--json` prints it. */
interface Row extends WorkerAddress {
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

async function clear(values: CommandContext["values"], target: WorkerAddress): Promise<Row> {
  try {
    const { clearedBlocks, keptBlocks } = await askWorker(WorkerAdminService, { values, ...target }, (client) =>
      client.clearCache({}, { timeoutMs: TIMEOUT_MS }),
    );
    return { ...target, cleared: Number(clearedBlocks), kept: Number(keptBlocks), failure: "" };
  } catch (error) {
    return { ...target, cleared: 0, kept: 0, failure: asStatorError(error).message };
  }
}
