import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { openClient } from "#lib/rpc/open-client";
import { llamaUnavailable } from "#services/cli/compose/engine-choice";
import { Cluster } from "./cluster.ts";
import { freePort } from "./free-port.ts";

const IDENTITY = fileURLToPath(new URL("../fixtures/tensors/identity.ts", import.meta.url));

/** The Stator that the golden corpus is run against. */
export interface CorpusCluster {
  /** host:port of each process by the name that cases call it; without `llama` where that engine is not built. */
  readonly targets: Readonly<Record<string, string>>;
  /** A file with `targets` as JSON, as runners take it. Goes with the cluster. */
  readonly targetsFile: string;
  /** Why there is no `llama`; undefined where there is. */
  readonly missing: string | undefined;
  /** Lines of all processes that tell of a loss by our fault. */
  readonly complaints: readonly string[];
  /** Ends every process. */
  close(): Promise<void>;
}

/** Whose programs a cluster is made of: roots of built trees, this one's where none is named. */
export interface CorpusTrees {
  /** Of hub and frontend. */
  readonly front?: string | undefined;
  /** Of the workers. */
  readonly workers?: string | undefined;
}

/**
 * Starts what test/contract/corpus/README.md says of targets: a hub, a worker for each engine and a frontend before them, on
 * loopback. Resolves when a request to any of their models would be routed.
 */
export async function startCorpusCluster(trees: CorpusTrees = {}): Promise<CorpusCluster> {
  const front = new Cluster(trees.front);
  const workers = new Cluster(trees.workers);
  const folder = mkdtempSync(path.join(tmpdir(), "stator-corpus-"));
  const close = async () => {
    await workers.close();
    await front.close();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const { targets, missing } = await startAll(front, workers);
    const targetsFile = path.join(folder, "targets.json");
    writeFileSync(targetsFile, JSON.stringify(targets));
    return {
      targets,
      targetsFile,
      missing,
      get complaints() {
        return [...front.complaints, ...workers.complaints];
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startAll(front: Cluster, workers: Cluster): Promise<Pick<CorpusCluster, "targets" | "missing">> {
  const missing = llamaUnavailable()?.detail;
  const hub = (await front.hub()).address;
  const discovery = ["--discovery", `hub://${hub}`];
  const grpcPort = String(await freePort());
  const worker = async (...args: string[]) => (await workers.worker(...discovery, ...args)).address;
  const [llama, mock, tensor] = await Promise.all([
    missing === undefined ? worker("--engine", "llama") : undefined,
    worker("--engine", "mock", "--mock-speed", "20"),
    worker("--engine", `module:${IDENTITY}`),
    front.frontend(...discovery, "--grpc-port", grpcPort),
  ]);
  const frontend = `127.0.0.1:${grpcPort}`;
  const models = ["stator-mock", "identity_bool", ...(llama === undefined ? [] : ["stator-demo"])];
  await untilReady(frontend, models);
  return { targets: { hub, frontend, mock, tensor, ...(llama !== undefined && { llama }) }, missing };
}

async function untilReady(address: string, models: readonly string[]): Promise<void> {
  const { client, close } = openClient(GRPCInferenceService, address);
  try {
    for (const name of models) {
      while (!(await client.modelReady({ name })).ready) await new Promise((resolve) => setTimeout(resolve, 50));
    }
  } finally {
    close();
  }
}
