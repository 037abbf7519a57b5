import { checkModelFile } from "#lib/engines/model-file";
import { loopbackCredentials } from "#lib/rpc/credentials";
import type { Command, CommandContext } from "../command.ts";
import { DEMO_MODEL_PATH } from "../compose/engine.ts";
import { chooseEngine } from "../compose/engine-choice.ts";
import { openHub } from "../compose/hub.ts";
import { flagsFor } from "../forward.ts";
import { ENGINE_OPTIONS, FRONT_DOOR_OPTIONS, OPTIONS, type OptionKey } from "../options.ts";
import { createBoardOfProcesses } from "../process-board.ts";
import { ProcessTree } from "../process-tree.ts";

const SHARED_OPTIONS: readonly OptionKey[] = ["drain-ms", "trace.endpoint", "insecure-listen"];
const WORKER_OPTIONS: readonly OptionKey[] = [...ENGINE_OPTIONS, "lease-ms"];

/** `stator up`: hub, workers and frontend on this machine, as one tree of processes. */
export const up: Command = {
  name: "up",
  arguments: "",
  summary: "the whole cluster on this machine: one frontend, two workers",
  help:
    "Starts a hub (in this process), worker processes and a frontend process, prints what runs where, and serves the\n" +
    "OpenAI API on http://127.0.0.1:8000. Ctrl-C finishes what runs and ends everything; a second Ctrl-C ends at once.\n" +
    "Without a compiler the llama engine is missing: then a mock serves, and its model's name says so.",
  options: ["engine", "workers", ...WORKER_OPTIONS, ...FRONT_DOOR_OPTIONS, ...SHARED_OPTIONS],
  serves: true,
  run: runUp,
};

async function runUp(context: CommandContext): Promise<number> {
  const { values, scope, log, print, config } = context;
  if (values.engine === "llama") await checkModelFile(values.model ?? DEMO_MODEL_PATH);
  // Who named an engine or a model gets no other.
  const asked = config.sources.engine !== "default" || values.model !== undefined;
  const { engine, notice } = await chooseEngine(values.engine, asked);
  if (notice) print(`${notice}\n`);
  const hub = scope.own("hub", await openHub({ host: "127.0.0.1", port: 0, credentials: loopbackCredentials, log }));
  const board = createBoardOfProcesses({ print, isTerminal: process.stdout.isTTY === true });
  board.set("hub", { pid: process.pid, state: "ready", address: hub.address, detail: "discovery, in this process" });
  const tree = new ProcessTree({
    context,
    board,
    children: childArguments(context, { engine, hubAddress: hub.address }),
    onRoutable: (address) => print(greeting(address, board.get("worker-1")?.detail ?? "")),
  });
  try {
    await Promise.race([context.stopped, tree.start()]);
    print("\nStopping: finishing what runs. Ctrl-C again ends at once.");
    return 0;
  } finally {
    board.settle();
    await tree.stop(values["drain-ms"]);
  }
}

/** What each child is started with. Children are quiet unless the log level was set: the board tells their story. */
function childArguments({ values, config }: CommandContext, tree: { engine: string; hubAddress: string }) {
  const said = flagsFor(config, OPTIONS, ["log.level"]);
  const quiet = said.length > 0 ? said : ["--log-level", "warn"];
  const format = flagsFor(config, OPTIONS, ["log.format"]);
  const place = ["--discovery", `hub://${tree.hubAddress}`];
  const shared = [...flagsFor(config, OPTIONS, SHARED_OPTIONS), ...quiet, ...format, ...place];
  const neighbours = ["--machine-workers", String(values.workers)];
  const worker = [
    "worker",
    "--engine",
    tree.engine,
    ...neighbours,
    ...flagsFor(config, OPTIONS, WORKER_OPTIONS),
    ...shared,
  ];
  const children = new Map<string, readonly string[]>();
  for (let at = 1; at <= values.workers; at++) children.set(`worker-${at}`, worker);
  children.set("frontend", ["frontend", ...flagsFor(config, OPTIONS, FRONT_DOOR_OPTIONS), ...shared]);
  return children;
}

const USUAL_PORT = String(OPTIONS["http.port"].initial);

function greeting(address: string, model: string): string {
  const port = address.split(":").at(-1);
  const body = `{"model": "${model}", "messages": [{"role": "user", "content": "What is the capital of Japan?"}], "stream": true}`;
  return [
    "",
    "Try it:",
    `  curl -N http://${address}/v1/chat/completions -H 'content-type: application/json' \\`,
    `    -d '${body}'`,
    `or talk to it in another terminal: npm run chat${port === USUAL_PORT ? "" : ` -- --http-port ${port}`}`,
    "Ctrl-C ends everything.",
    "",
  ].join("\n");
}
