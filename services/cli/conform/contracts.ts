import { create } from "@bufbuild/protobuf";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { Control } from "#gen/openengine/v1/openengine_pb";
import { DiscoveryService } from "#gen/stator/discovery/v1/discovery_pb";
import { LinkRequestSchema, WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import { printId } from "#lib/base/bytes";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Found } from "#lib/conform/check";
import { conformWorker } from "#lib/conform/conform-worker";
import { conformEngine } from "#lib/conform/openengine/conform-engine";
import { DISCOVERY_CHECKS } from "#lib/conform/services/discovery-checks";
import { conformFrontend } from "#lib/conform/services/frontend-checks";
import { KSERVE_CHECKS } from "#lib/conform/services/kserve-checks";
import { conformService } from "#lib/conform/services/service-bench";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { readCredentials } from "#lib/rpc/options";
import type { ByteTransport } from "#lib/rpc/transport";
import type { CliConfig } from "../command.ts";

/** What a process can be held to, by the word of the command line. */
export type Subject = "worker" | "frontend" | "discovery" | "kserve";

/** All of them. */
export const SUBJECTS: readonly Subject[] = ["worker", "frontend", "discovery", "kserve"];

/** What is asked, and of whom. */
export interface Asked {
  /** Options of the command. */
  readonly values: CliConfig["values"];
  /** HOST:PORT. */
  readonly target: string;
  /** Called as each check ends. */
  readonly onFound: (found: Found) => void;
}

/** A contract, and how a process is held to it. */
export interface Contract {
  /** Its name, such as openengine.v1. */
  readonly name: string;
  /** Runs its checks. UNAVAILABLE when the process cannot be reached. */
  run(asked: Asked): Promise<Found[]>;
}

const LINK: Contract = {
  name: "stator.worker.v1 (link)",
  async run({ values, target, onFound }) {
    const channels: Channel[] = [];
    const connect = () => {
      const channel = open(values, target);
      channels.push(channel);
      return channel.open(WorkerLinkService.method.link);
    };
    try {
      return await conformWorker({ connect, model: values["model-name"], clock: systemClock, onFound });
    } finally {
      for (const channel of channels) channel.close();
    }
  },
};

const OPENENGINE: Contract = {
  name: "openengine.v1",
  run({ values, target, onFound }) {
    const { pid } = values;
    return conformEngine({
      connect: () => open(values, target),
      clock: systemClock,
      chance: systemChance,
      model: values["model-name"],
      adapterPath: values["adapter-path"],
      tellToEnd: pid === undefined ? undefined : () => void process.kill(pid, "SIGTERM"),
      onFound,
    });
  },
};

const OTHERS: Readonly<Record<Exclude<Subject, "worker">, Contract>> = {
  frontend: {
    name: "OpenAI's API",
    run({ values, target, onFound }) {
      const scheme = values["tls.ca"] === undefined ? "http" : "https";
      const model = values["model-name"];
      return conformFrontend({ origin: `${scheme}://${target}`, model, clock: systemClock, onFound });
    },
  },
  discovery: {
    name: "stator.discovery.v1",
    run: (asked) => conformService(DISCOVERY_CHECKS, (transport) => list(transport), serviceOptions(asked)),
  },
  kserve: {
    name: "inference.GRPCInferenceService",
    run: (asked) => conformService(KSERVE_CHECKS, (transport) => live(transport), serviceOptions(asked)),
  },
};

function list(transport: ByteTransport): Promise<unknown> {
  return createClient(DiscoveryService, transport).list({ prefix: "conform" }, { timeoutMs: PROBE_MS });
}

function live(transport: ByteTransport): Promise<unknown> {
  return createClient(GRPCInferenceService, transport).serverLive({}, { timeoutMs: PROBE_MS });
}

function serviceOptions({ values, target, onFound }: Asked) {
  const run = printId(systemChance.id());
  return { connect: () => open(values, target), clock: systemClock, run, model: values["model-name"], onFound };
}

/** How long a process may take to show whether it answers a contract. */
const PROBE_MS = 5_000;

/** What a process is held to. Of a worker each contract that it answers, unless one is named. UNAVAILABLE without an answer. */
export async function contractsOf(subject: Subject, asked: Asked): Promise<readonly Contract[]> {
  if (subject !== "worker") return [OTHERS[subject]];
  const { contract } = asked.values;
  if (contract !== "any") return [contract === "link" ? LINK : OPENENGINE];
  const channel = open(asked.values, asked.target);
  try {
    const found = [
      ...((await answersLink(channel)) ? [LINK] : []),
      // Last: its last checks end the process where a pid is given.
      ...((await answersEngine(channel)) ? [OPENENGINE] : []),
    ];
    if (found.length > 0) return found;
  } finally {
    channel.close();
  }
  const detail = "it answers neither stator.worker.v1.WorkerLinkService nor openengine.v1";
  throw new StatorError("CONTRACT_MISMATCH", { what: asked.target, detail });
}

function open(values: CliConfig["values"], target: string): Channel {
  return new Channel(target, readCredentials(values, systemClock), systemClock);
}

/** Whether anything but "there is no such method" comes. UNAVAILABLE when nobody is there. */
async function answersEngine(channel: Channel): Promise<boolean> {
  try {
    await createClient(Control, channel).health({}, { timeoutMs: PROBE_MS });
    return true;
  } catch (caught) {
    return isOther(asStatorError(caught));
  }
}

function answersLink(channel: Channel): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const link = channel.open(WorkerLinkService.method.link, { timeoutMs: PROBE_MS });
    link.receive({
      onMessage() {
        resolve(true);
        link.end();
      },
      onEnd(error) {
        try {
          resolve(error === undefined || isOther(error));
        } catch (unreachable) {
          reject(unreachable as Error);
        }
      },
    });
    link.send(create(LinkRequestSchema, { hello: { minimumRevision: 1, maximumRevision: 1, caller: "conform" } }));
  });
}

function isOther(error: StatorError): boolean {
  if (error.reason === "UNAVAILABLE") throw error;
  return error.row.grpc !== UNIMPLEMENTED;
}

const UNIMPLEMENTED = 12;
