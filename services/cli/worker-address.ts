import type { DescService } from "@bufbuild/protobuf";
import { parseId, printId } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { type Client, createClient } from "#lib/rpc/client";
import { readCredentials } from "#lib/rpc/options";
import type { CommandContext } from "./command.ts";
import { askFrontend } from "./operators.ts";

/** A worker that an operator gives orders to. */
export interface WorkerAddress {
  /** As `stator ps` names it; empty for one that is named by its address. */
  readonly worker: string;
  /** host:port of its gRPC port. */
  readonly address: string;
}

/**
 * The workers that the frontend sees, or the one that is named: by its id, or as the host:port of its own port, where no
 * frontend is asked. Throws NOT_FOUND for an id that the frontend does not know.
 */
export async function findWorkers(values: CommandContext["values"], named?: string): Promise<readonly WorkerAddress[]> {
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

/** Asks a service of a worker at its own port, and hangs up. */
export async function askWorker<Service extends DescService, Answer>(
  service: Service,
  { values, address }: { readonly values: CommandContext["values"]; readonly address: string },
  ask: (client: Client<Service>) => Promise<Answer>,
): Promise<Answer> {
  const channel = new Channel(address, readCredentials(values, systemClock), systemClock);
  try {
    return await ask(createClient(service, channel));
  } finally {
    channel.close();
  }
}
