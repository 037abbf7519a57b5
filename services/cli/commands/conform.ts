import { StatorError } from "#lib/base/errors";
import type { Found } from "#lib/conform/check";
import { printBadge, printFound, printJson, printJunit, type Report } from "#lib/conform/report";
import { plainReason } from "#lib/discovery/plain-reason";
import type { Command } from "../command.ts";
import { type Asked, contractsOf, SUBJECTS } from "../conform/contracts.ts";

const PORTS = {
  worker: "the gRPC port of a worker",
  frontend: "the HTTP port of a frontend",
  discovery: "the port of a hub",
  kserve: "the gRPC port of a server of KServe's protocol",
} as const;

/** `stator conform SUBJECT HOST:PORT`: holds anybody's process to a contract. */
export const conform: Command = {
  arguments: "worker|frontend|discovery|kserve HOST:PORT",
  help:
    "Asks a running process for every promise of its contract, allowed and forbidden, and prints a line for each with the\n" +
    "sentence that it comes from. A worker is held to the link and to openengine.v1, as it answers them. What a process does\n" +
    "not claim is told as that. The last line sums up; the exit code is 1 when a promise was not kept. docs/conformance.md\n" +
    "has the promises. The process is to be otherwise idle.",
  says: { "model-name": "Model that the checks ask for; the process's first when absent." },
  options: [
    ...(["contract", "report", "model-name", "adapter-path", "pid"] as const),
    ...(["tls.cert", "tls.key", "tls.ca", "insecure-listen"] as const),
  ],
  async run({ values, positional, print }) {
    const [what, target, ...more] = positional;
    const subject = SUBJECTS.find((each) => each === what);
    if (!subject || target === undefined || !/:\d+$/.test(target) || more.length > 0) {
      throw new StatorError("BAD_CONFIG", { detail: `Say \`stator conform ${SUBJECTS.join("|")} HOST:PORT\`.` });
    }
    const isText = values.report === "text";
    const onFound = (found: Found): void => {
      if (isText) print(printFound(found));
    };
    const asked: Asked = { values, target, onFound };
    const reports: Report[] = [];
    try {
      for (const contract of await contractsOf(subject, asked)) {
        const report = { contract: contract.name, target, founds: await contract.run(asked) };
        reports.push(report);
        if (isText) print(printBadge(report));
      }
    } catch (error) {
      if (!(error instanceof StatorError) || error.reason !== "UNAVAILABLE") throw error;
      const detail = `${plainReason(error.message)}; name ${PORTS[subject]}, as HOST:PORT`;
      throw new StatorError("UNAVAILABLE", { what: `A ${subject} at ${target}`, detail }, { cause: error });
    }
    if (values.report === "json") print(printJson(reports));
    if (values.report === "junit") print(printJunit(reports));
    return reports.every(({ founds }) => founds.every(({ outcome }) => outcome !== "failed")) ? 0 : 1;
  },
};
