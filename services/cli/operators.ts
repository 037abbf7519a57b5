import type { DescService } from "@bufbuild/protobuf";
import { FrontendService } from "#gen/stator/frontend/v1/frontend_pb";
import { StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { type Client, createClient } from "#lib/rpc/client";
import { readCredentials } from "#lib/rpc/options";
import type { CallOptions } from "#lib/rpc/transport";
import { readHealth } from "./chat-client.ts";
import type { Command, CommandContext } from "./command.ts";
import type { OptionKey } from "./compose/options.ts";

const TIMEOUT_MS = 10_000;

/** Options of whoever asks a frontend's operators' port. */
export const OPERATOR_KEYS = [
  ...(["http.host", "http.port", "tls.cert", "tls.key", "tls.ca", "insecure-listen"] as const),
] as const satisfies readonly OptionKey[];

/** What some of them decide there. */
export const OPERATOR_SAYS: NonNullable<Command["says"]> = {
  "http.host": "Where the frontend is.",
  "http.port": "Port of the frontend.",
  "insecure-listen": "Allow asking another machine without TLS, whose frontend says --operators-anywhere.",
};

/** A question for the operators' port of a frontend. */
export interface OperatorQuestion<Service extends DescService, Answer> {
  /** Asks. */
  readonly ask: (client: Client<Service>, options: CallOptions) => Promise<Answer>;
  /** Where, as host:port; else the frontend at http.host and http.port tells. */
  readonly target?: string | undefined;
}

/** As `askOperators`, of FrontendService. */
export function askFrontend<Answer>(
  values: CommandContext["values"],
  ask: OperatorQuestion<typeof FrontendService, Answer>["ask"],
  target?: string,
): Promise<Answer> {
  return askOperators(FrontendService, values, { ask, target });
}

/**
 * Asks a running frontend on its operators' port: the one that `target` names as host:port, else the one that the frontend at
 * http.host and http.port tells of. Throws UNAVAILABLE when nobody is there.
 */
export async function askOperators<Service extends DescService, Answer>(
  service: Service,
  values: CommandContext["values"],
  { ask, target }: OperatorQuestion<Service, Answer>,
): Promise<Answer> {
  const base = `http://${values["http.host"]}:${values["http.port"]}`;
  const operators = target ?? (await readHealth(base)).operators;
  if (operators === undefined) {
    const detail = `${base} does not tell where its operators' port is; name it, as HOST:PORT`;
    throw new StatorError("INVALID_ARGUMENT", { detail });
  }
  const channel = new Channel(operators, readCredentials(values, systemClock), systemClock);
  try {
    return await ask(createClient(service, channel), { timeoutMs: TIMEOUT_MS });
  } finally {
    channel.close();
  }
}
