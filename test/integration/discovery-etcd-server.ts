import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { freePort } from "../support/free-port.ts";

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

/** What etcd says when somebody else has one of its ports. */
const PORT_TAKEN = /address already in use/;

/** Starts etcd with a data folder below the system's temporary one, on ports that it gets; the caller closes it. */
export async function openEtcd(drawPort: () => Promise<number> = freePort): Promise<EtcdServer> {
  const folder = await mkdtemp(join(tmpdir(), "stator-etcd-"));
  for (;;) {
    const server = new Etcd(folder, await drawPort(), await drawPort());
    try {
      await server.start();
      return server;
    } catch (error) {
      await server.kill();
      if (!PORT_TAKEN.test(String(error))) throw error;
    }
  }
}

class Etcd implements EtcdServer {
  readonly host: string;
  readonly #folder: string;
  readonly #peer: string;
  #generation = 0;
  #child: ChildProcess | undefined;

  constructor(folder: string, port: number, peerPort: number) {
    this.#folder = folder;
    this.host = `127.0.0.1:${port}`;
    this.#peer = `http://127.0.0.1:${peerPort}`;
  }

  freeze(): void {
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    const ending = this.#child;
    this.#child = undefined;
    if (!ending?.pid || ending.exitCode !== null || ending.signalCode !== null) return;
    const gone = new Promise((resolve) => ending.once("exit", resolve));
    ending.kill("SIGKILL");
    await gone;
  }

  async start(options: { empty?: boolean } = {}): Promise<void> {
    if (options.empty) this.#generation++;
    const [client, peer] = [`http://${this.host}`, this.#peer];
    this.#child = spawn(
      "etcd",
      [
        ...["--name", "one", "--data-dir", join(this.#folder, `data-${this.#generation}`)],
        ...["--listen-client-urls", client, "--advertise-client-urls", client],
        ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", `one=${peer}`],
        ...["--log-level", "error"],
      ],
      // Debian's etcd refuses architectures that upstream does not test unless told so.
      { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, ETCD_UNSUPPORTED_ARCH: process.arch } },
    );
    await healthy(client, this.#child);
  }

  async close(): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function healthy(url: string, child: ChildProcess): Promise<void> {
  let said = "";
  child.stderr?.on("data", (data: Buffer) => {
    said += data.toString();
  });
  const closed = new Promise((resolve) => child.once("close", resolve));
  const endMs = performance.now() + 30_000;
  while (performance.now() < endMs) {
    if (child.exitCode !== null) {
      await closed;
      throw new Error(`etcd ended with ${child.exitCode}: ${said}`);
    }
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
