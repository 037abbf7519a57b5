import { spawn } from "node:child_process";
import { stripVTControlCharacters } from "node:util";
import type { CommandLine } from "#lib/stubs/recipe";

/** What a run of a tool is held to. */
export interface ToolRun {
  /** Values of the places in the command line, by their names. */
  readonly places: Readonly<Record<string, string>>;
  /** Given to its standard input. */
  readonly input?: Uint8Array;
  /** Where it runs. */
  readonly folder: string;
  /** It is killed after so long. */
  readonly timeoutMs: number;
  /** It is killed when it has written more than this to standard output. */
  readonly maxBytes: number;
  /** It is killed when this aborts. */
  readonly signal?: AbortSignal | undefined;
  /** Gets the lines that it writes to standard error while it runs. */
  onLine?(line: string): void;
}

/** How a run of a tool ended. */
export interface ToolEnd {
  /** What is wrong, as the end of a sentence that begins with the tool; empty when it ended well. */
  readonly failure: string;
  /** True: there is no such program. */
  readonly isMissing: boolean;
  /** What it wrote to standard output. */
  readonly output: Buffer;
}

/** Puts values in the places of a text. */
export function fill(text: string, places: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\{(\w+)\}/g, (whole, name: string) => places[name] ?? whole);
}

/** Runs a tool to its end, within bounds. Never rejects. */
export function runTool({ words, env = {} }: CommandLine, run: ToolRun): Promise<ToolEnd> {
  const [command = "", ...args] = words.map((word) => fill(word, run.places));
  const added = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, fill(value, run.places)]));
  const { promise, resolve } = Promise.withResolvers<ToolEnd>();
  // What runs in Node runs in ours, which may not be the one on PATH.
  const child = spawn(command === "node" ? process.execPath : command, args, {
    cwd: run.folder,
    env: { ...process.env, ...added },
    stdio: "pipe",
    timeout: run.timeoutMs,
    killSignal: "SIGKILL",
    signal: run.signal,
  });
  const chunks: Buffer[] = [];
  let bytes = 0;
  let last = "";
  let isMissing = false;
  let failure = "";
  child.stdout.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= run.maxBytes) chunks.push(chunk);
    else if (failure === "") {
      failure = `wrote more than ${run.maxBytes} bytes`;
      child.kill("SIGKILL");
    }
  });
  readLines(child.stderr, (line) => {
    last = line;
    run.onLine?.(line);
  });
  // A tool that ends without reading is told of by its exit code.
  child.stdin.on("error", () => {});
  child.stdin.end(run.input);
  child.on("error", (error: NodeJS.ErrnoException) => {
    isMissing = error.code === "ENOENT";
    failure ||= isMissing
      ? "is not there"
      : error.name === "AbortError"
        ? "was stopped"
        : `does not start (${error.code})`;
    if (child.pid === undefined) resolve({ failure, isMissing, output: Buffer.alloc(0) });
  });
  child.on("close", (code, signal) => {
    if (signal !== null && child.killed) failure ||= `was not done after ${run.timeoutMs / 1000} s`;
    else if (signal !== null) failure ||= `crashed (${signal})`;
    else if (code !== 0) failure ||= `failed with exit code ${code}${last === "" ? "" : `: ${last}`}`;
    resolve({ failure, isMissing, output: Buffer.concat(chunks) });
  });
  return promise;
}

/** The longest line that is kept of what a tool says. */
const LINE_LENGTH = 400;

function readLines(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = "";
  const tell = (line: string): void => {
    const text = stripVTControlCharacters(line).trimEnd();
    if (text !== "") onLine(text.slice(0, LINE_LENGTH));
  };
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!.slice(0, LINE_LENGTH);
    for (const line of lines) tell(line);
  });
  stream.on("end", () => tell(rest));
}
