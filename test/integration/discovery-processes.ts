import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** A program of this folder in a process of its own. */
export interface TestProcess {
  /** Lines that it has said. */
  readonly said: readonly string[];
  signal(name: "SIGSTOP" | "SIGCONT"): void;
  /** SIGKILL; waits until it is gone. */
  kill(): Promise<void>;
}

const PROGRAMS = {
  hub: new URL("./discovery-hub-program.ts", import.meta.url),
  member: new URL("./discovery-member-program.ts", import.meta.url),
};

/** Starts a program with this Node and waits for its first line. */
export async function startProgram(name: keyof typeof PROGRAMS, args: readonly string[]): Promise<TestProcess> {
  const child = spawn(process.execPath, [fileURLToPath(PROGRAMS[name]), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said: string[] = [];
  await new Promise<void>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`${name} ended with ${code} before it said a line`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      said.push(line);
      resolve();
    });
  });
  return { said, signal: (signal) => void child.kill(signal), kill: () => killed(child) };
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
}
