import { type ChildProcess, fork, spawnSync } from "node:child_process";
import os from "node:os";
import path from "node:path";

/** Whether the case is only to show that it works: seconds in place of minutes, and figures that say nothing. */
export const SMALL = process.env.BENCH_VOLUME === "small";

/** How much is measured: `full`, or so little that it takes next to no time. */
export function volume(full: number, small: number): number {
  return SMALL ? small : full;
}

/** How often everything is started anew: what the compiler and the memory make of a process differs from start to start. */
export function startsOf(full: number): number {
  return Number(process.env.BENCH_STARTS ?? volume(full, 1));
}

/** Another process of a case, that answers questions one at a time. */
export class Program {
  readonly #child: ChildProcess;

  /** `file` is beside the case; the program's first message says that it is ready. */
  constructor(file: string, ...args: readonly (string | number)[]) {
    this.#child = fork(path.join(import.meta.dirname, "cases", file), args.map(String), {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** The next message. Rejects when the program ends before. */
  heard<Message>(): Promise<Message> {
    return new Promise((resolve, reject) => {
      const gone = () => reject(new Error("The program of a case ended early"));
      this.#child.once("exit", gone);
      this.#child.once("message", (message) => {
        this.#child.off("exit", gone);
        resolve(message as Message);
      });
    });
  }

  ask<Message>(question: object): Promise<Message> {
    const answer = this.heard<Message>();
    this.#child.send(question);
    return answer;
  }

  end(): void {
    this.#child.kill("SIGKILL");
  }
}

/**
 * Keeps a process on one core; `core` counts from 0. For figures that stand beside, marked as pinned: what a wake-up costs
 * differs by a third with who shares the core. Does nothing where it cannot be done.
 */
export function pinTo(pid: number, core: number): void {
  if (os.availableParallelism() < 2) return;
  spawnSync("taskset", ["-a", "-p", "-c", String(core), String(pid)]);
}

/** CPU time that this process has used, in microseconds. */
export function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** What a call took by a clock, and what it returned. */
export async function timed<Value>(
  now: () => number,
  call: () => Value | Promise<Value>,
): Promise<readonly [took: number, value: Value]> {
  const before = now();
  const value = await call();
  return [now() - before, value];
}

/** The middle one. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((left, right) => left - right);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

/** Waits. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** By figure the middle one over several starts; what is no number is that of the first start. */
export function medianFigures<Figures extends object>(starts: readonly Figures[]): Figures {
  const [first] = starts;
  if (first === undefined) throw new Error("A case has no start");
  const middle = Object.entries(first).map(([figure, value]) => [
    figure,
    typeof value === "number" ? median(starts.map((start) => start[figure as keyof Figures] as number)) : value,
  ]);
  return Object.fromEntries(middle) as Figures;
}

/** Runs the cases of a file whose name contains the first argument of the process, and prints their figures. */
export async function runCases(cases: Readonly<Record<string, () => Promise<object> | object>>): Promise<void> {
  for (const [name, run] of Object.entries(cases)) {
    if (!process.argv[2] || name.includes(process.argv[2])) printFigures(name, await run());
  }
}

/** Prints the figures of a case on one line, numbers with four digits. */
export function printFigures(name: string, figures: object): void {
  const line = JSON.stringify(figures, (_, value) =>
    typeof value === "number" ? Number(value.toPrecision(4)) : value,
  );
  console.log(`${name} ${line}`);
}
