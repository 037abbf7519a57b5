import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Found } from "#lib/conform/check";
import { type ConformEngineOptions, conformEngine } from "#lib/conform/openengine/conform-engine";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";

/** The folder that `stator new worker --lang LANGUAGE` copies. */
export function templateFolder(language: "python" | "go"): string {
  return fileURLToPath(new URL(`../../services/cli/new/templates/worker-${language}`, import.meta.url));
}

/** A worker in another language, as a test holds it. */
export interface ForeignWorker {
  /** host:port that it said it serves. */
  readonly address: string;
  /** All that it wrote. */
  readonly said: string;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  signal(signal: NodeJS.Signals): void;
  /** Kills it. */
  close(): Promise<void>;
}

/** Starts a worker of another language and waits for the line in which it says where it serves. Throws with what it wrote instead. */
export async function startForeignWorker(
  [command = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ForeignWorker> {
  const written = { PYTHONDONTWRITEBYTECODE: "1", PYTHONUNBUFFERED: "1", ...env };
  const child: ChildProcess = spawn(command, args, { env: { ...process.env, ...written } });
  let said = "";
  let hear: () => void = () => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (data: Buffer) => {
      said += data.toString();
      hear();
    });
  }
  const ended = new Promise<Awaited<ForeignWorker["ended"]>>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  let address: string | undefined;
  const there = new Promise<void>((resolve) => {
    hear = () => {
      address = / on (127\.0\.0\.1:\d+)/.exec(said)?.[1];
      if (address !== undefined) resolve();
    };
  });
  await Promise.race([there, ended]);
  if (address === undefined) throw new Error(`${command} ${args.join(" ")} ended without serving: ${said}`);
  return {
    address,
    get said() {
      return said;
    },
    ended,
    signal: (signal) => void child.kill(signal),
    async close() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Runs checks of openengine.v1 against it; it is told to end by SIGTERM. */
export function conformForeign(worker: ForeignWorker, options: Partial<ConformEngineOptions> = {}): Promise<Found[]> {
  return conformEngine({
    connect: () => new Channel(worker.address, loopbackCredentials, systemClock),
    clock: systemClock,
    chance: systemChance,
    tellToEnd: () => worker.signal("SIGTERM"),
    ...options,
  });
}
