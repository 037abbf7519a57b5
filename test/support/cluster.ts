import { type Program, startProgram } from "./program.ts";

/** A process of ours that serves, as a test holds it. */
export interface Serving {
  readonly program: Program;
  /** host:port that it said it serves. */
  readonly address: string;
}

/** Processes of one test; all of them end with it. */
export class Cluster {
  readonly #programs: Program[] = [];
  readonly #root: string | undefined;

  /** Of programs of this tree, unless the root of another is named. */
  constructor(root?: string) {
    this.#root = root;
  }

  /** Starts `stator ARGS` without waiting. */
  start(args: readonly string[], env?: Record<string, string>, uid?: number): Program {
    const program = startProgram(args, env, { uid, root: this.#root });
    this.#programs.push(program);
    return program;
  }

  async hub(...args: string[]): Promise<Serving> {
    return this.#serving(
      ["hub", ...(args.includes("--hub-port") ? [] : ["--hub-port", "0"]), ...args],
      /hub:\/\/([^\s]+)\. /,
    );
  }

  /** A mock worker unless `--engine` says otherwise. */
  worker(...args: string[]): Promise<Serving> {
    return this.workerOf(undefined, args);
  }

  /** The same, as another user. */
  async workerOf(uid: number | undefined, args: readonly string[]): Promise<Serving> {
    const engine = args.includes("--engine") ? [] : ["--engine", "mock"];
    return this.#serving(["worker", ...engine, ...args], / on (\S+)\. Ctrl/, uid);
  }

  async frontend(...args: string[]): Promise<Serving> {
    return this.#serving(["frontend", "--http-port", "0", ...args], /http:\/\/(\S+)\/v1\. /);
  }

  /** Lines of all processes that tell of a loss by our fault. */
  get complaints(): string[] {
    const lines = this.#programs.flatMap(({ stderr }) => stderr.split("\n"));
    return lines.filter((line) => line.includes('"level":"error"') || /^\s+at /.test(line));
  }

  async close(): Promise<void> {
    // The last started first: a frontend before its workers, and those before their hub.
    for (const program of this.#programs.splice(0).reverse()) {
      program.signal("SIGCONT");
      await program.close();
    }
  }

  async #serving(args: readonly string[], pattern: RegExp, uid?: number): Promise<Serving> {
    const program = this.start(args, {}, uid);
    const [, address = ""] = await program.until(pattern, 60_000);
    return { program, address };
  }
}

/** The sum of an instrument over its labels in Prometheus text; 0 when it is not there. */
export function readMetric(text: string, name: string, labels = ""): number {
  const rows = text
    .split("\n")
    .filter((line) => line.startsWith(`${name}${labels ? "" : " "}`) || line.startsWith(`${name}{`));
  return rows
    .filter((line) => labels === "" || line.includes(labels))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}
