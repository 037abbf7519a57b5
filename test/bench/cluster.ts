// What cases share that look at the whole program: its processes, their CPU time and memory, and requests to its front door.
import { readdirSync, readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { type Program, readBoard, startProgram } from "../support/program.ts";

/** `stator up`, once everything is ready. */
export interface Cluster {
  readonly port: number;
  readonly frontendPid: number;
  readonly workerPids: readonly number[];
  readonly program: Program;
}

/** Starts `stator up ARGS` on a free port and waits until all of it is ready. */
export async function startCluster(args: readonly string[], env: Record<string, string> = {}): Promise<Cluster> {
  const program = startProgram(["up", "--http-port", "0", ...args], env);
  await program.until(/Try it:/, 120_000);
  const board = readBoard(program);
  const frontend = board.get("frontend");
  if (frontend === undefined) throw new Error(`No frontend in:\n${program.stdout}`);
  const workerPids = [...board].filter(([name]) => name.startsWith("worker-")).map(([, { pid }]) => pid);
  return { port: Number(frontend.address.split(":").at(-1)), frontendPid: frontend.pid, workerPids, program };
}

/** CPU seconds that all threads of a process have used, user and system; the kernel counts in hundredths. */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** CPU seconds by name of thread, the costliest first; names that repeat are added up. */
export function threadSecondsOf(pid: number): Record<string, number> {
  const seconds: Record<string, number> = {};
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    seconds[name] = (seconds[name] ?? 0) + (Number(fields[11]) + Number(fields[12])) / 100;
  }
  return Object.fromEntries(Object.entries(seconds).sort((left, right) => right[1] - left[1]));
}

/** Resident memory of a process in megabytes: now, and the most it ever was. */
export function residentMbOf(pid: number): { now: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const read = (key: string) => (Number(status.match(new RegExp(`^${key}:\\s+(\\d+) kB`, "m"))?.[1]) * 1024) / 1e6;
  return { now: read("VmRSS"), peak: read("VmHWM") };
}

/** Requests to one address over a bounded number of connections that stay open. */
export class HttpCaller {
  readonly #agent: Agent;
  readonly #port: number;

  constructor(port: number, sockets: number) {
    this.#port = port;
    this.#agent = new Agent({ keepAlive: true, maxSockets: sockets });
  }

  /** Posts JSON and returns the whole answer. Rejects for any status but 200. */
  post(path: string, body: object, onData: (chunk: string) => void = () => {}): Promise<string> {
    const text = JSON.stringify(body);
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
    return new Promise((resolve, reject) => {
      const options = { host: "127.0.0.1", port: this.#port, path, method: "POST", agent: this.#agent, headers };
      const sent = request(options, (response) => {
        let answer = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          answer += chunk;
          onData(chunk);
        });
        response.on("error", reject);
        response.on("end", () => {
          if (response.statusCode === 200) resolve(answer);
          else reject(new Error(`HTTP ${response.statusCode}: ${answer}`));
        });
      });
      sent.on("error", reject);
      sent.end(text);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
