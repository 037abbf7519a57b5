import { type ChildProcess, fork, spawnSync } from "node:child_process";
import os from "node:os";
import path from "node:path";

/** Another process of a case, that answers questions one at a time. */
export class Program {
  readonly #child: ChildProcess;

  /** `file` is beside the case; the program's first message says that it is ready. */
  constructor(file: string, ...args: readonly (string | number)[]) {
    this.#child = fork(path.join(import.meta.dirname, "cases", file), args.map(String), {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
  }

  /**
   * Keeps it on one core; `core` counts from 0. What a wake-up costs differs by a third with who shares the core, and
   * the scheduler decides that anew every second. Does nothing where it cannot be done.
   */
  pin(core: number): void {
    if (os.availableParallelism() < 2) return;
    spawnSync("taskset", ["-a", "-p", "-c", String(core), String(this.#child.pid)]);
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

/** CPU time that this process has used, in microseconds. */
export function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
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

/** Prints the figures of a case on one line, numbers with four digits. */
export function printFigures(name: string, figures: object): void {
  const line = JSON.stringify(figures, (_, value) =>
    typeof value === "number" ? Number(value.toPrecision(4)) : value,
  );
  console.log(`${name} ${line}`);
}
