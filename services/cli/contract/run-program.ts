import { spawn } from "node:child_process";
import { StatorError } from "#lib/base/errors";

/** What a program takes at most: it is ended then. */
export interface ProgramLimits {
  /** ms until it must have ended. */
  readonly timeoutMs: number;
  /** Bytes that it may write. */
  readonly outputBytes: number;
}

/** What compilers and git need far less than. */
export const PROGRAM_LIMITS: ProgramLimits = { timeoutMs: 60_000, outputBytes: 134_217_728 };

/** How a program is run. */
export interface ProgramRun {
  /** Its working folder; that of this process when absent. */
  readonly cwd?: string;
  /** What it reads. */
  readonly input?: string;
  /** Bounds; those for compilers when absent. */
  readonly limits?: ProgramLimits;
}

/** How a program ended. */
export interface ProgramEnd {
  /** It exited with 0. */
  readonly ok: boolean;
  /** What it wrote to standard output. */
  readonly output: Buffer;
  /** What it wrote to standard error. */
  readonly complaint: string;
}

/** Runs a program to its end. Throws BAD_CONFIG where it cannot be started, takes too long or writes too much. */
export function runProgram(command: readonly string[], { cwd, input = "", limits = PROGRAM_LIMITS }: ProgramRun = {}) {
  const [program = "", ...args] = command;
  const { promise, resolve, reject } = Promise.withResolvers<ProgramEnd>();
  const child = spawn(program, args, {
    ...(cwd !== undefined && { cwd }),
    timeout: limits.timeoutMs,
    killSignal: "SIGKILL",
  });
  const refuse = (detail: string, cause?: unknown): void => {
    child.kill("SIGKILL");
    reject(new StatorError("BAD_CONFIG", { detail: `${program} ${detail}.` }, { cause }));
  };
  const output: Buffer[] = [];
  const complaint: Buffer[] = [];
  let length = 0;
  const keep = (pieces: Buffer[]) => (piece: Buffer) => {
    length += piece.length;
    if (length > limits.outputBytes) refuse(`wrote more than ${limits.outputBytes} bytes`);
    else pieces.push(piece);
  };
  child.stdout.on("data", keep(output));
  child.stderr.on("data", keep(complaint));
  child.on("error", (error) => refuse("cannot be started", error));
  // One that ends before it has read everything says by its exit what it thinks of the rest.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  child.on("close", (code, signal) => {
    if (signal !== null) refuse(`was ended by ${signal}, after ${limits.timeoutMs} ms at most`);
    resolve({ ok: code === 0, output: Buffer.concat(output), complaint: Buffer.concat(complaint).toString().trim() });
  });
  return promise;
}
