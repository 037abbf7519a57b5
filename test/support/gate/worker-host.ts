import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { HostCall, HostReply, WorkerCounts, WorkerSpec } from "./worker-spec.ts";

const SCRIPT = fileURLToPath(new URL("./worker-process.ts", import.meta.url));

/** A worker in another process. */
export interface HostedWorker {
  /** host:port of its gRPC port. */
  readonly address: string;
  /** What it has done so far. */
  counts(): Promise<WorkerCounts>;
  /** Ends it, after the time that its options give to what runs. Returns what it had done. */
  close(): Promise<WorkerCounts>;
}

/** A process that opens workers. What is asked of one that has ended rejects. */
export class WorkerHost {
  readonly #child: ChildProcess;
  readonly #calls = new Map<number, PromiseWithResolvers<HostReply>>();
  readonly #ended: Promise<void>;
  #next = 1;
  #log = "";

  private constructor() {
    this.#child = fork(SCRIPT, { execArgv: [], stdio: ["ignore", "pipe", "pipe", "ipc"] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (data: Buffer) => {
        this.#log = `${this.#log}${data}`.slice(-4_000);
      });
    }
    this.#child.on("message", (reply: HostReply) => this.#settle(reply));
    this.#ended = new Promise((resolve) => {
      this.#child.once("close", () => {
        for (const call of this.#calls.values())
          call.reject(new Error(`A process of the gate has ended: ${this.#log}`));
        this.#calls.clear();
        resolve();
      });
    });
  }

  /** Starts it; resolves when it listens. */
  static async start(): Promise<WorkerHost> {
    const host = new WorkerHost();
    await host.#expect(0);
    return host;
  }

  /** Opens a worker there; resolves when it is published. */
  async open(spec: WorkerSpec): Promise<HostedWorker> {
    const { worker = 0, address = "" } = await this.#call({ kind: "open", spec });
    const counted = async (kind: "counts" | "close") => (await this.#call({ kind, worker })).counts!;
    return { address, counts: () => counted("counts"), close: () => counted("close") };
  }

  /** It is gone at once, with all of its workers. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  #call(call: HostCall): Promise<HostReply> {
    const number = this.#next++;
    const reply = this.#expect(number);
    this.#child.send([number, call]);
    return reply;
  }

  #expect(call: number): Promise<HostReply> {
    const promise = Promise.withResolvers<HostReply>();
    this.#calls.set(call, promise);
    return promise.promise;
  }

  #settle(reply: HostReply): void {
    const call = this.#calls.get(reply.call);
    this.#calls.delete(reply.call);
    if (reply.error === undefined) call?.resolve(reply);
    else call?.reject(new Error(reply.error));
  }
}
