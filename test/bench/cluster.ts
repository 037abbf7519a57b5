// What cases share that look at the whole program: its processes, their CPU time and memory, and requests to its front door.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { Agent, request } from "node:http";
import { type Program, readBoard, startProgram } from "../support/program.ts";
import { sleep } from "./harness.ts";

/** A whole cluster, once a request would be answered. */
export interface Cluster {
  readonly port: number;
  readonly frontendPid: number;
  readonly workerPids: readonly number[];
  /** The process that holds the frontend: `stator up`, or the frontend itself when it was started by hand. */
  readonly program: Program;
  close(): Promise<void>;
}

/** Who starts the processes: `stator up`, or somebody who calls `stator hub`, `worker` and `frontend` one by one. */
export type StartedBy = "up" | "hand";

/** Loading sixteen processes on a small machine takes its time. */
const START_TIMEOUT_MS = 180_000;

/** Starts `stator up ARGS` on a free port and waits until all of it is ready. */
export async function startCluster(args: readonly string[], env: Record<string, string> = {}): Promise<Cluster> {
  const program = startProgram(["up", "--http-port", "0", ...args], env);
  try {
    await program.until(/Try it:/, START_TIMEOUT_MS);
    const board = readBoard(program);
    const frontend = board.get("frontend");
    if (frontend === undefined) throw new Error(`No frontend in:\n${program.stdout}`);
    const workerPids = [...board].filter(([name]) => name.startsWith("worker-")).map(([, { pid }]) => pid);
    const port = Number(frontend.address.split(":").at(-1));
    return { port, frontendPid: frontend.pid, workerPids, program, close: () => program.close() };
  } catch (error) {
    await program.close();
    throw error;
  }
}

/** The same processes, each started by hand, with one worker. `args` are the worker's. */
export async function startByHand(args: readonly string[]): Promise<Cluster> {
  const programs: Program[] = [];
  const start = (...command: string[]): Program => {
    const program = startProgram(command);
    programs.push(program);
    return program;
  };
  const close = async () => {
    for (const program of programs.toReversed()) await program.close();
  };
  try {
    const [, hub] = await start("hub", "--hub-port", "0").until(/(hub:\/\/[\w.:]+\d)/);
    const place = ["--discovery", hub!];
    const worker = start("worker", ...args, ...place);
    const frontend = start("frontend", "--http-port", "0", ...place);
    await worker.until(/worker serves/);
    const [, port] = await frontend.until(/http:\/\/[^/]+:(\d+)/);
    await untilHealthy(Number(port));
    return { port: Number(port), frontendPid: frontend.pid, workerPids: [worker.pid], program: frontend, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Workers are ready before the frontend has fetched their tokenizer and linked to them. */
async function untilHealthy(port: number): Promise<void> {
  for (const endMs = performance.now() + START_TIMEOUT_MS; performance.now() < endMs; ) {
    const answer = await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.ok) return;
    await sleep(50);
  }
  throw new Error("The frontend did not become healthy");
}

/** The fields of /proc/PID/stat after the name: state, parent, and so on; none for a process that has ended. */
function statOf(pid: number): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}

/** A process and all that it started: a launcher that stays belongs to what it launched. */
function familyOf(pid: number): number[] {
  const family = [pid];
  // Children have higher ids than their parents, but for the case that the kernel's ids start anew.
  for (const name of readdirSync("/proc")) {
    const other = Number(name);
    if (Number.isInteger(other) && family.includes(Number(statOf(other)[1]))) family.push(other);
  }
  return family;
}

/** Ports that a process and its children listen on. */
export function listeningPortsOf(pid: number): number[] {
  const inodes = new Set(familyOf(pid).flatMap(socketInodesOf));
  const rows = readFileSync("/proc/net/tcp", "utf8").trim().split("\n").slice(1);
  return rows.flatMap((row) => {
    const fields = row.trim().split(/\s+/);
    const [address = "", state, inode = ""] = [fields[1], fields[3], fields[9]];
    return state === LISTENING && inodes.has(inode) ? [Number.parseInt(address.split(":")[1] ?? "", 16)] : [];
  });
}

/** State of a socket in /proc/net/tcp. */
const LISTENING = "0A";

function socketInodesOf(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((name) => {
    try {
      return readlinkSync(`${folder}/${name}`).match(/^socket:\[(\d+)\]$/)?.[1] ?? [];
    } catch {
      return [];
    }
  });
}

/** CPU seconds that all threads of a process and its children have used, user and system; the kernel counts in hundredths. */
export function cpuSecondsOf(pid: number): number {
  return familyOf(pid).reduce((sum, each) => {
    const fields = statOf(each);
    return sum + (Number(fields[11]) + Number(fields[12])) / 100;
  }, 0);
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

/** Resident memory of a process and its children in megabytes: now, and the sum of the most that each ever had. */
export function residentMbOf(pid: number): { now: number; peak: number } {
  const total = { now: 0, peak: 0 };
  for (const each of familyOf(pid)) {
    const status = readFileSync(`/proc/${each}/status`, "utf8");
    const read = (key: string) => (Number(status.match(new RegExp(`^${key}:\\s+(\\d+) kB`, "m"))?.[1]) * 1024) / 1e6;
    total.now += read("VmRSS");
    total.peak += read("VmHWM");
  }
  return total;
}

/** The sum of a metric over its labels, as the frontend tells it now; 0 when it does not know it yet. */
export async function metricOf(port: number, name: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}/metrics`);
  const lines = (await answer.text()).matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)`, "gm"));
  return [...lines].reduce((sum, [, value]) => sum + Number(value), 0);
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
