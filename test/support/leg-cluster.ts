import { WorkerAdminService } from "#gen/stator/worker/v1/admin_pb";
import { openClient } from "#lib/rpc/open-client";
import { Cluster, readMetric, type Serving } from "./cluster.ts";
import { type Holdings, holdingsOf } from "./process-holdings.ts";

/** What a worker of the cluster does. */
export type LegRole = "prefill" | "decode";

/** How a cluster of roles is started. */
export interface LegClusterOptions {
  /** How many of each. */
  readonly workers: Readonly<Record<LegRole, number>>;
  /** Of every worker. */
  readonly workerArgs: readonly string[];
  /** Of every frontend, one list each. */
  readonly frontends: readonly (readonly string[])[];
}

/** A worker process. */
export interface LegWorker extends Serving {
  /** As it was told last. */
  role: LegRole;
  /** It takes nothing for a while. */
  isAway: boolean;
  /** Where its numbers are. */
  readonly metricsUrl: string;
}

/** Worker processes of two roles behind frontends: they are killed and come back. */
export class LegCluster {
  readonly #cluster = new Cluster();
  readonly #options: LegClusterOptions;
  readonly #workers = new Set<LegWorker>();
  readonly #starting = new Set<Promise<unknown>>();
  #hub = "";
  #frontends: readonly Serving[] = [];

  private constructor(options: LegClusterOptions) {
    this.#options = options;
  }

  static async start(options: LegClusterOptions): Promise<LegCluster> {
    const legs = new LegCluster(options);
    const { address } = await legs.#cluster.hub();
    legs.#hub = `hub://${address}`;
    const { prefill, decode } = options.workers;
    const roles = [...Array<LegRole>(prefill).fill("prefill"), ...Array<LegRole>(decode).fill("decode")];
    const starting = roles.map((role) => legs.add(role));
    const args = ["--discovery", legs.#hub];
    legs.#frontends = await Promise.all(options.frontends.map((own) => legs.#cluster.frontend(...args, ...own)));
    await Promise.all(starting);
    return legs;
  }

  /** host:port of each frontend. */
  get addresses(): readonly string[] {
    return this.#frontends.map(({ address }) => address);
  }

  /** Those that serve, or that are stopped. */
  get workers(): readonly LegWorker[] {
    return [...this.#workers];
  }

  of(role: LegRole): LegWorker[] {
    return this.workers.filter((worker) => worker.role === role);
  }

  /** Lines of all processes that tell of a loss by our fault. */
  get complaints(): string[] {
    return this.#cluster.complaints;
  }

  /** Starts one more, and resolves when it serves. */
  async add(role: LegRole, ...args: readonly string[]): Promise<LegWorker> {
    const own = ["--role", role, "--discovery", this.#hub, "--metrics-port", "0"];
    const { program, address } = await this.#cluster.worker(...own, ...this.#options.workerArgs, ...args);
    const [, port = ""] = /"metrics port open".*"port":(\d+)/.exec(program.stderr) ?? [];
    const worker: LegWorker = { role, program, address, isAway: false, metricsUrl: `http://127.0.0.1:${port}/metrics` };
    this.#workers.add(worker);
    return worker;
  }

  /** Ends one at once; another one of its role comes after it. */
  kill(worker: LegWorker): void {
    this.#workers.delete(worker);
    worker.program.signal("SIGKILL");
    const coming = this.add(worker.role).finally(() => this.#starting.delete(coming));
    this.#starting.add(coming);
  }

  /** Gives one the other role, with so long to finish what it does. Rejects where it dies meanwhile. */
  async change(worker: LegWorker, drainMs: number): Promise<void> {
    worker.role = worker.role === "prefill" ? "decode" : "prefill";
    worker.isAway = true;
    const { client, close } = openClient(WorkerAdminService, worker.address);
    try {
      await client.setRole({ role: worker.role, drainMs });
    } finally {
      worker.isAway = false;
      close();
    }
  }

  /** Stops one for so long. */
  async pause(worker: LegWorker, ms: number): Promise<void> {
    worker.isAway = true;
    worker.program.signal("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, ms));
    worker.program.signal("SIGCONT");
    worker.isAway = false;
  }

  /** Resolves when those that were to come are there. */
  async settled(): Promise<void> {
    while (this.#starting.size > 0) await Promise.all(this.#starting);
  }

  /** A number of all frontends together. */
  async readFrontends(name: string, labels = ""): Promise<number> {
    const texts = await Promise.all(this.addresses.map((address) => textOf(`http://${address}/metrics`)));
    return texts.reduce((sum, text) => sum + readMetric(text, name, labels), 0);
  }

  /** A number of all workers of a role together. */
  async readWorkers(role: LegRole, name: string, labels = ""): Promise<number> {
    const texts = await Promise.all(this.of(role).map(({ metricsUrl }) => textOf(metricsUrl)));
    return texts.reduce((sum, text) => sum + readMetric(text, name, labels), 0);
  }

  /** What each process holds that answers now, by its process id. */
  holdings(): Map<number, Holdings> {
    const pids = [...this.#frontends, ...this.workers].map(({ program }) => program.pid);
    return new Map(pids.map((pid) => [pid, holdingsOf(pid)]));
  }

  /** What is kept or in use at workers, in words; nothing when all is free. */
  async leftovers(): Promise<string[]> {
    const found: string[] = [];
    for (const worker of this.workers) {
      const text = await textOf(worker.metricsUrl);
      for (const name of IDLE_AT_ZERO) {
        const value = readMetric(text, name);
        if (value !== 0) found.push(`${worker.role} ${worker.address}: ${name} ${value}`);
      }
      const [kept, told] = [
        readMetric(text, "stator_worker_cached_blocks"),
        readMetric(text, "stator_worker_kv_blocks"),
      ];
      if (kept !== told)
        found.push(`${worker.role} ${worker.address}: ${kept} blocks are cached, ${told} were told of`);
    }
    for (const name of ["stator_dispatch_open_requests", "stator_dispatch_waiting_requests"]) {
      const value = await this.readFrontends(name);
      if (value !== 0) found.push(`frontends: ${name} ${value}`);
    }
    return found;
  }

  close(): Promise<void> {
    return this.#cluster.close();
  }
}

/** What is zero at a worker that nobody needs anything of. */
const IDLE_AT_ZERO = [
  "stator_worker_open_requests",
  "stator_worker_used_blocks",
  "stator_transfer_sessions",
  "stator_transfer_pinned_blocks",
  "stator_transfer_waiting",
];

async function textOf(url: string): Promise<string> {
  return await (await fetch(url)).text();
}
