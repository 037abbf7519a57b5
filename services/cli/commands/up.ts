import { existsSync } from "node:fs";
import { StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { type Child, type ChildReport, startChild } from "../children.ts";
import type { Command, CommandContext } from "../command.ts";
import { chooseEngine } from "../compose/engine-choice.ts";
import { openHub } from "../compose/hub.ts";
import { flagsFor } from "../forward.ts";
import { ENGINE_OPTIONS, FRONT_DOOR_OPTIONS, OPTIONS, type OptionKey } from "../options.ts";
import { createBoardOfProcesses, type ProcessBoard } from "../process-board.ts";

const SHARED_OPTIONS: readonly OptionKey[] = [
  "lease-ms",
  "drain-ms",
  "log.format",
  "trace.endpoint",
  "insecure-listen",
];

/** First wait before a worker that ended by itself is started again, and the longest one. */
const RESTART_MS = { first: 1000, most: 30_000 } as const;

/** `stator up`: hub, workers and frontend on this machine, as one tree of processes. */
export const up: Command = {
  name: "up",
  arguments: "",
  summary: "the whole cluster on this machine: one frontend, two workers",
  help:
    "Starts a hub (in this process), worker processes and a frontend process, prints what runs where, and serves the\n" +
    "OpenAI API on http://127.0.0.1:8000. Ctrl-C finishes what runs and ends everything; a second Ctrl-C ends at once.\n" +
    "Without a compiler the llama engine is missing: then a mock serves, and its model's name says so.",
  options: ["engine", "workers", ...ENGINE_OPTIONS, ...FRONT_DOOR_OPTIONS, ...SHARED_OPTIONS],
  run: runUp,
};

async function runUp(context: CommandContext): Promise<number> {
  const { values, scope, log, print } = context;
  if (values.model !== undefined && !existsSync(values.model)) {
    throw new StatorError("FILE_NOT_FOUND", { path: values.model, hint: "Give --model the path of a GGUF file." });
  }
  const { engine, notice } = await chooseEngine(values.engine, context.config.sources.engine !== "default");
  if (notice) print(`${notice}\n`);
  const hub = scope.own("hub", await openHub({ host: "127.0.0.1", port: 0, credentials: loopbackCredentials, log }));
  const board = createBoardOfProcesses({ print, isTerminal: process.stdout.isTTY === true });
  board.set("hub", { pid: process.pid, state: "ready", address: hub.address, detail: "discovery, in this process" });
  const tree = createTree(context, board, { engine, hubAddress: hub.address });
  const failed = tree.start();
  const outcome = await Promise.race([context.stopped, failed]);
  board.stop();
  if (typeof outcome === "string") print("\nStopping: finishing what runs. Ctrl-C again ends at once.");
  await tree.stop();
  return typeof outcome === "number" ? outcome : 0;
}

interface TreeOptions {
  readonly engine: "llama" | "mock";
  readonly hubAddress: string;
}

/** The children: workers are started again when they end by themselves; the end of the frontend ends the tree. */
function createTree(context: CommandContext, board: ProcessBoard, { engine, hubAddress }: TreeOptions) {
  const { values, config, log, print } = context;
  const children = new Map<string, Child>();
  const quiet =
    config.sources["log.level"] === "default" ? ["--log-level", "warn"] : flagsFor(config, OPTIONS, ["log.level"]);
  const shared = [...flagsFor(config, OPTIONS, SHARED_OPTIONS), ...quiet, "--discovery", `hub://${hubAddress}`];
  let stopping = false;
  let announced = false;
  let fail: (code: number) => void = () => {};

  const announce = (): void => {
    if (announced || !board.allReady()) return;
    announced = true;
    const address = board.get("frontend")?.address ?? "";
    context.scope.spawn("announce", async (signal) => {
      await untilRoutable(address, signal);
      if (signal.aborted) return;
      board.stop();
      print(greeting(address, board.get("worker-1")?.detail ?? ""));
    });
  };

  const onReport = (name: string, report: ChildReport): void => {
    if (report.type === "progress") board.set(name, { state: report.phase, fraction: report.fraction });
    else if (report.type === "ready")
      board.set(name, { state: "ready", address: report.address, detail: report.detail });
    else board.set(name, { state: "failed", detail: report.message });
    announce();
  };

  const launch = (name: string, args: readonly string[], restartMs: number): void => {
    const child = startChild(name, args, { onReport: (report) => onReport(name, report), log });
    const startedMs = systemClock.nowMs();
    children.set(name, child);
    board.set(name, { pid: child.pid, state: "starting", fraction: 0 });
    context.scope.spawn(`follow ${name}`, async () => {
      const { code, signal } = await child.ended;
      children.delete(name);
      if (stopping) return;
      const failedEarly = board.get(name)?.state === "failed";
      board.set(name, { state: "ended", detail: signal ? `by ${signal}` : `with code ${code}` });
      if (name === "frontend" || (failedEarly && !announced)) return fail(code || 1);
      const waitMs = systemClock.nowMs() - startedMs > RESTART_MS.most ? RESTART_MS.first : restartMs;
      log.warn("worker ended, starting it again", { worker: name, code, signal, waitMs });
      systemClock.after(waitMs, () => {
        if (!stopping) launch(name, args, Math.min(waitMs * 2, RESTART_MS.most));
      });
    });
  };

  return {
    /** Starts all; resolves with an exit code when the tree cannot go on. */
    start(): Promise<number> {
      const worker = ["worker", "--engine", engine, ...flagsFor(config, OPTIONS, ENGINE_OPTIONS), ...shared];
      for (let at = 1; at <= values.workers; at++) launch(`worker-${at}`, worker, RESTART_MS.first);
      launch("frontend", ["frontend", ...flagsFor(config, OPTIONS, FRONT_DOOR_OPTIONS), ...shared], RESTART_MS.first);
      return new Promise((resolve) => {
        fail = resolve;
      });
    },
    /** Drains the frontend first, so that no answer is cut, then the workers; kills what is late. */
    async stop(): Promise<void> {
      stopping = true;
      const workers = [...children.values()].filter(({ name }) => name !== "frontend");
      await endChildren(
        [...children.values()].filter(({ name }) => name === "frontend"),
        values["drain-ms"],
      );
      await endChildren(workers, values["drain-ms"]);
    },
  };
}

/** How often a frontend is asked whether it would route a request. */
const ASK_EVERY_MS = 100;

/** Workers are ready before the frontend has fetched their tokenizer and linked to them: what is announced works. */
async function untilRoutable(address: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const answer = await fetch(`http://${address}/health`, { signal }).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.ok) return;
    await new Promise<void>((resolve) => void systemClock.after(ASK_EVERY_MS, resolve, { keepAlive: true }));
  }
}

/** Time beyond the drain that a child has to close its files and sockets. */
const LATE_MS = 3000;

async function endChildren(children: readonly Child[], drainMs: number): Promise<void> {
  for (const child of children) child.drain();
  const late = systemClock.after(
    drainMs + LATE_MS,
    () => {
      for (const child of children) child.kill();
    },
    { keepAlive: true },
  );
  await Promise.all(children.map(({ ended }) => ended));
  late.cancel();
}

function greeting(address: string, model: string): string {
  const body = `{"model": "${model}", "messages": [{"role": "user", "content": "What is the capital of Japan?"}], "stream": true}`;
  return [
    "",
    "Try it:",
    `  curl -N http://${address}/v1/chat/completions -H 'content-type: application/json' \\`,
    `    -d '${body}'`,
    "or talk to it in another terminal: npm run chat",
    "Ctrl-C ends everything.",
    "",
  ].join("\n");
}
