import { WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import { StatorError } from "#lib/base/errors";
import { type ConformCheck, conformWorker } from "#lib/conform/conform-worker";
import { plainReason } from "#lib/discovery/plain-reason";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { readCredentials } from "#lib/rpc/options";
import type { Command } from "../command.ts";

/** `stator conform worker HOST:PORT`: checks whether a worker keeps to the link protocol. */
export const conform: Command = {
  name: "conform",
  arguments: "worker HOST:PORT",
  summary: "check whether a worker, anybody's, keeps to the link protocol",
  help: "Opens links to a running worker, sends what the protocol allows and what it forbids, and prints one line per\ncheck. The exit code is 1 when one failed. docs/link.md has the protocol.",
  says: { "model-name": "Model that the checks ask for; the worker's first when absent." },
  options: ["model-name", "tls.cert", "tls.key", "tls.ca", "insecure-listen"],
  async run({ values, positional, print }) {
    const [what, target] = positional;
    if (what !== "worker" || target === undefined || !/:\d+$/.test(target)) {
      throw new StatorError("BAD_CONFIG", { detail: "Say `stator conform worker HOST:PORT`." });
    }
    const credentials = readCredentials(values, systemClock);
    const transports: Channel[] = [];
    const connect = () => {
      const transport = new Channel(target, credentials, systemClock);
      transports.push(transport);
      return transport.open(WorkerLinkService.method.link);
    };
    const onCheck = ({ outcome, name, reason }: ConformCheck): void => {
      print(`${outcome.padEnd(8)}${name}${reason === undefined ? "" : `: ${reason}`}`);
    };
    let checks: ConformCheck[];
    try {
      checks = await conformWorker({ connect, model: values["model-name"], clock: systemClock, onCheck });
    } catch (error) {
      if (!(error instanceof StatorError) || error.reason !== "UNAVAILABLE") throw error;
      const detail = `${plainReason(error.message)}; name the gRPC port of a worker, as HOST:PORT`;
      throw new StatorError("UNAVAILABLE", { what: `A worker at ${target}`, detail }, { cause: error });
    } finally {
      for (const transport of transports) transport.close();
    }
    const count = (outcome: ConformCheck["outcome"]) => checks.filter((check) => check.outcome === outcome).length;
    print(`${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`);
    return count("failed") === 0 ? 0 : 1;
  },
};
