import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

/** Why a real etcd cannot be started here, or undefined. Where CI is set, a missing one is a failure. */
export function etcdMissing(): string | undefined {
  const found = (process.env.PATH ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, "etcd"), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (found) return undefined;
  if (process.env.CI) throw new Error("etcd is not installed: apt-get install etcd-server");
  return "etcd is not installed: apt-get install etcd-server";
}

/** A real etcd on ports of its own. */
export interface EtcdServer {
  /** host:port for clients. */
  readonly host: string;
  /** SIGSTOP and SIGCONT. */
  freeze(): void;
  thaw(): void;
  /** SIGKILL; waits until it is gone. */
  kill(): Promise<void>;
  /** Starts again on the same ports, with its data or without. */
  start(options?: { empty?: boolean }): Promise<void>;
  close(): Promise<void>;
}

/** Starts etcd with a data folder below the system's temporary one; the caller closes it. */
export async function openEtcd(): Promise<EtcdServer> {
  const folder = await mkdtemp(join(tmpdir(), "stator-etcd-"));
  const [client, peer] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`];
  let generation = 0;
  let child: ChildProcess | undefined;
  const start = async (options: { empty?: boolean } = {}) => {
    if (options.empty) generation++;
    const started = spawn(
      "etcd",
      [
        ...["--name", "one", "--data-dir", join(folder, `data-${generation}`)],
        ...["--listen-client-urls", client, "--advertise-client-urls", client],
        ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", `one=${peer}`],
        ...["--log-level", "error"],
      ],
      // Debian's etcd refuses architectures that upstream does not test unless told so.
      { stdio: "ignore", env: { ...process.env, ETCD_UNSUPPORTED_ARCH: process.arch } },
    );
    child = started;
    await healthy(client, started);
  };
  const kill = async () => {
    const ending = child;
    child = undefined;
    if (!ending?.pid || ending.exitCode !== null || ending.signalCode !== null) return;
    const gone = new Promise((resolve) => ending.once("exit", resolve));
    ending.kill("SIGKILL");
    await gone;
  };
  await start();
  return {
    host: client.slice("http://".length),
    freeze: () => void child?.kill("SIGSTOP"),
    thaw: () => void child?.kill("SIGCONT"),
    kill,
    start,
    async close() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function healthy(url: string, child: ChildProcess): Promise<void> {
  const endMs = performance.now() + 30_000;
  while (performance.now() < endMs) {
    if (child.exitCode !== null) throw new Error(`etcd ended with ${child.exitCode}`);
    try {
      const answer = await fetch(`${url}/health`, { signal: AbortSignal.timeout(1_000) });
      if (answer.ok && ((await answer.json()) as { health: string }).health === "true") return;
    } catch {
      // Not yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("etcd did not become healthy within 30 s");
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        typeof address === "object" && address ? resolve(address.port) : reject(new Error("no port")),
      );
    });
  });
}
