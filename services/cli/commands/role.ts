import { WorkerAdminService } from "#gen/stator/worker/v1/admin_pb";
import { StatorError } from "#lib/base/errors";
import { TEXT_ROLES } from "#lib/discovery/worker-role";
import type { Command } from "../command.ts";
import { OPERATOR_KEYS, OPERATOR_SAYS } from "../operators.ts";
import { type Column, printTable } from "../table.ts";
import { askWorker, findWorkers, type WorkerAddress } from "../worker-address.ts";

/** Time to come back, beyond what the requests that run may take. */
const COMEBACK_MS = 10_000;

/** `stator role`: gives a worker another part of the work. */
export const role: Command = {
  arguments: "WORKER aggregated|prefill|decode",
  help:
    "The worker takes nothing new, finishes what it has, and comes back in its new role. What still runs after drain-ms goes\n" +
    "on elsewhere. WORKER is named as by `stator ps`, or by the HOST:PORT of its own port. One that is started again, as\n" +
    "after a crash, has the role of its command line.",
  says: { ...OPERATOR_SAYS, "drain-ms": "Time to finish what runs before the worker changes." },
  options: ["json", "drain-ms", ...OPERATOR_KEYS],
  async run({ values, positional, print }) {
    const [named, name, ...more] = positional;
    const asked = TEXT_ROLES.find((each) => each === name);
    if (named === undefined || asked === undefined || more.length > 0) {
      throw new StatorError("BAD_CONFIG", {
        detail: `Say \`stator role WORKER ROLE\`, with one of ${TEXT_ROLES.join(", ")}.`,
      });
    }
    const drainMs = values["drain-ms"];
    const [target] = await findWorkers(values, named);
    if (!target) throw new StatorError("NOT_FOUND", { what: `The worker ${named}` });
    const { previousRole } = await askWorker(WorkerAdminService, { values, ...target }, (client) =>
      client.setRole({ role: asked, drainMs }, { timeoutMs: drainMs + COMEBACK_MS }),
    );
    const row: Row = { ...target, role: asked, previousRole };
    print(values.json ? JSON.stringify(row, undefined, 2) : printTable(COLUMNS, [row]));
    return 0;
  },
};

/** What became of it, as `--json` prints it. */
interface Row extends WorkerAddress {
  /** Now. */
  readonly role: string;
  /** Before. */
  readonly previousRole: string;
}

const COLUMNS: readonly Column<Row>[] = [
  ["WORKER", ({ worker }) => worker],
  ["ADDRESS", ({ address }) => address],
  ["ROLE", ({ role }) => role],
  ["BEFORE", ({ previousRole }) => previousRole],
];
