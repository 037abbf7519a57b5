import { flushCompileCache } from "node:module";
import { checkModelFile } from "#lib/engines/model-file";
import { systemClock } from "#lib/host/system-clock";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { readHealth } from "../chat-client.ts";
import { startChild } from "../children.ts";
import type { Command, CommandContext } from "../command.ts";
import { DEMO_MODEL_PATH } from "../compose/engine.ts";
import { chooseEngine } from "../compose/engine-choice.ts";
import { openHub } from "../compose/hub.ts";
import { ENGINE_KEYS, FRONT_DOOR_KEYS, MEMORY_KEYS, OPTIONS, type OptionKey } from "../compose/options.ts";
import { wrapWords } from "../display-width.ts";
import { type EngineName, isModule, takesTensors } from "../engine-option.ts";
import { flagsFor } from "../forward.ts";
import { type ModelReport, printModelReport } from "../model-report.ts";
import { createBoardOfProcesses } from "../process-board.ts";
import { type ChildPlan, ProcessTree } from "../process-tree.ts";
import { shareWorkers, type WantedWorkers, type WorkerShare } from "../worker-shares.ts";

const SHARED_KEYS: readonly OptionKey[] = [
  ...([
    "drain-ms",
    "namespace",
    "trace.endpoint",
    "insecure-listen",
    "operators-anywhere",
    "grpc.message-bytes",
  ] as const),
  ...MEMORY_KEYS,
];
/** What each worker is told for itself. */
const OWN_KEYS: readonly OptionKey[] = ["model", "model-name", "role"];
const WORKER_KEYS: readonly OptionKey[] = [...ENGINE_KEYS.filter((key) => !OWN_KEYS.includes(key)), "lease-ms"];
/** What the frontend alone is told: workers listen for it on ports of their own. */
const FRONT_KEYS: readonly OptionKey[] = [...FRONT_DOOR_KEYS, "grpc.port"];

/** `stator up`: hub, workers and frontend on this machine, as one tree of processes. */
export const up: Command = {
  arguments: "",
  help:
    "Starts a hub (in this process), worker processes and a frontend process, prints what runs where, and serves the\n" +
    "OpenAI API on http://127.0.0.1:8000, KServe's API there too (/v2) and over gRPC on --grpc-port. Ctrl-C finishes what\n" +
    "runs and ends everything; a second Ctrl-C ends at once.\n" +
    "With --prefill and --decode answers are computed in two parts: prompts by some workers, what follows by others.\n" +
    "Without a compiler the llama engine is missing: then a mock serves, and its model's name says so.",
  options: [
    "engine",
    "workers",
    "prefill",
    "decode",
    "model",
    "model-name",
    ...WORKER_KEYS,
    // Some are for both.
    ...FRONT_KEYS.filter((key) => !WORKER_KEYS.includes(key)),
    ...SHARED_KEYS,
  ],
  says: {
    "grpc.port": "Port of the frontend's KServe API over gRPC and of the operators' methods; 0 takes a free one.",
  },
  serves: true,
  run: runUp,
};

async function runUp(context: CommandContext): Promise<number> {
  const { values, scope, log, print, screen, config } = context;
  const wanted = wantedWorkers(context);
  // What cannot be is said before anything is built or opened.
  shareWorkers(wanted);
  if (values.engine === "llama") {
    for (const { file } of values.model.length > 0 ? values.model : [{ file: DEMO_MODEL_PATH }])
      await checkModelFile(file);
  }
  // Who named an engine or a model gets no other.
  const asked = config.sources.engine !== "default" || values.model.length > 0;
  const { engine, notice } =
    takesTensors(values.engine) || isModule(values.engine)
      ? { engine: values.engine, notice: undefined }
      : await chooseEngine(values.engine, asked);
  if (notice) print(`${notice}\n`);
  const shares = shareWorkers({ ...wanted, engine });
  const place = { host: "127.0.0.1", port: 0, credentials: loopbackCredentials };
  const hub = await openHub(context, { ...place, hasMetricsPort: false });
  const board = createBoardOfProcesses(screen);
  const models = new Map<string, ModelReport>();
  board.set("hub", { pid: process.pid, state: "ready", address: hub.address, detail: "discovery, in this process" });
  const tree = new ProcessTree({
    clock: systemClock,
    log,
    scope,
    board,
    launch: (name, args, onReport) => startChild(name, args, { onReport, log, screen }),
    routable: async (address) => (await readHealth(`http://${address}`)).models,
    children: childArguments(context, { engine, shares, hubAddress: hub.address }),
    awaited: () => [...models.keys()],
    onModel: (model) => void models.set(model.name, model),
    onRoutable(addresses) {
      for (const model of models.values()) {
        print(wrapWords(`  ${printModelReport(model, context.config)}`, screen.columns, "    "));
      }
      print(greeting(addresses, [...models.values()]));
    },
  });
  // A first start compiles everything: the children need most of what this process has compiled, and find it now.
  flushCompileCache();
  try {
    await Promise.race([context.stopped, tree.start()]);
    print("\nStopping: finishing what runs. Ctrl-C again ends at once.");
    return 0;
  } finally {
    board.settle();
    await tree.stop(values["drain-ms"]);
  }
}

function wantedWorkers({ values, config }: CommandContext): WantedWorkers {
  const { prefill, decode, engine, model: models, "model-name": modelName } = values;
  const workers = config.sources.workers === "default" ? undefined : values.workers;
  return { workers, prefill, decode, engine, models, modelName };
}

/** What each child is started with. Children are quiet unless the log level was set: the board tells their story. */
function childArguments(
  { values, config, screen }: CommandContext,
  tree: { engine: EngineName; shares: readonly WorkerShare[]; hubAddress: string },
) {
  // A child whose lines this process writes to the terminal does not see that there is one.
  const prettyLines = values["log.format"] === "auto" && screen.isTerminal && process.stderr.isTTY;
  const said = flagsFor(config, OPTIONS, ["log.level"]);
  const quiet = said.length > 0 ? said : ["--log-level", "warn"];
  const format = ["--log-format", prettyLines ? "pretty" : values["log.format"]];
  const place = ["--discovery", `hub://${tree.hubAddress}`];
  const shared = [...flagsFor(config, OPTIONS, SHARED_KEYS), ...quiet, ...format, ...place];
  const modelName = values["model-name"];
  const neighbours = ["--machine-workers", String(tree.shares.length)];
  const worker = [
    "worker",
    "--engine",
    tree.engine,
    ...neighbours,
    ...flagsFor(config, OPTIONS, WORKER_KEYS),
    ...shared,
  ];
  const children = new Map<string, ChildPlan>();
  for (const { name, role, models } of tree.shares) {
    const own = models.map((entry) => `--model=${JSON.stringify(entry)}`);
    if (role !== "aggregated") own.push("--role", role);
    children.set(name, {
      role: "worker",
      args: [...worker, ...own, ...(modelName ? [`--model-name=${modelName}`] : [])],
    });
  }
  const frontend = ["frontend", ...flagsFor(config, OPTIONS, FRONT_KEYS), ...shared];
  children.set("frontend", { role: "frontend", args: frontend });
  return children;
}

const USUAL_PORT = String(OPTIONS["http.port"].initial);

/** What to try next, with a model that is there: one without a chat template continues a text. */
function greeting([address = "", grpcAddress = ""]: readonly string[], models: readonly ModelReport[]): string {
  const port = address.split(":").at(-1);
  const { name = "", asked: how = "chat" } = models.find(({ asked }) => asked !== "tensors") ?? models[0] ?? {};
  if (how === "tensors") {
    const kserve = [`  curl http://${address}/v2/models/${name}`, `or over KServe's gRPC: ${grpcAddress}`];
    return ["", "Try it:", ...kserve, "Ctrl-C ends everything.", ""].join("\n");
  }
  const [path, asked] =
    how === "chat"
      ? ["chat/completions", { messages: [{ role: "user", content: "What is the capital of Japan?" }] }]
      : ["completions", { prompt: "The capital of Japan is", max_tokens: 32 }];
  return [
    "",
    "Try it:",
    `  curl -N http://${address}/v1/${path} \\`,
    "    -H 'content-type: application/json' \\",
    `    -d '${JSON.stringify({ model: name, ...asked, stream: true })}'`,
    `or talk to it in another terminal: npm run chat${port === USUAL_PORT ? "" : ` -- --http-port ${port}`}`,
    `or in a browser: http://${address}/`,
    `or as KServe's API: http://${address}/v2, over gRPC ${grpcAddress}`,
    "Ctrl-C ends everything.",
    "",
  ].join("\n");
}
