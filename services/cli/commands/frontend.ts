import { StatorError } from "#lib/base/errors";
import { failureReport, reportToParent } from "../children.ts";
import type { Command, CommandContext } from "../command.ts";
import { openFrontendProcess } from "../compose/frontend.ts";
import { FRONT_DOOR_KEYS, MEMORY_KEYS, TLS_KEYS } from "../compose/options.ts";
import { settleMemory } from "../compose/settle-memory.ts";

/** `stator frontend`: the OpenAI API over the workers that discovery knows. */
export const frontend: Command = {
  arguments: "",
  help:
    "Serves the OpenAI API on http.host and http.port, and KServe's inference service beside what operators ask on\n" +
    "grpc.host and grpc.port. Models and workers appear and disappear while it runs. It needs no model file: tokenizers\n" +
    "and templates come from the workers, by digest.",
  options: [
    "discovery",
    "namespace",
    ...FRONT_DOOR_KEYS,
    "grpc.host",
    "grpc.port",
    "grpc.message-bytes",
    ...TLS_KEYS,
    ...MEMORY_KEYS,
    "drain-ms",
    "trace.endpoint",
  ],
  says: {
    discovery: "Where it finds workers: hub://HOST:PORT, file:///DIR, etcd://HOST:PORT.",
    "grpc.host": "Where KServe's inference service and the operators' methods listen.",
    "grpc.port": "Their port, which `stator ps` reads too; 0 takes a free one.",
  },
  serves: true,
  run: runFrontend,
};

async function runFrontend(context: CommandContext): Promise<number> {
  const { values, isChild, print, stopped } = context;
  if (values.discovery === undefined) {
    throw new StatorError("BAD_CONFIG", {
      detail:
        "A frontend needs --discovery, such as hub://127.0.0.1:8005. `stator up` starts everything on one machine.",
    });
  }
  const opened = await openFrontendProcess(context, {
    discovery: values.discovery,
    onText: () => void setImmediate(settleMemory),
    onUnusable: (error) => reportToParent(failureReport("unusable", error)),
  });
  const ports = [{ address: opened.grpcAddress, detail: "KServe's API, gRPC" }];
  reportToParent({ type: "ready", address: opened.address, detail: "OpenAI API, KServe's API", ports });
  if (!isChild) {
    print(
      `The OpenAI API is at http://${opened.address}/v1. KServe's service is at ${opened.grpcAddress}. Ctrl-C drains it.`,
    );
  }
  await stopped;
  await opened.drain(values["drain-ms"]);
  return 0;
}
