import { spawn } from "node:child_process";
import { findNode24, NODE24_MISSING } from "./node24.mjs";

const FORWARDED = ["SIGTERM", "SIGHUP", "SIGINT"];

/**
 * Makes sure that the calling script runs under Node 24. Returns true when it does. Otherwise starts the script again
 * under the Node 24 that the install brought, lives on as its shadow and returns false: signals go to the child, the
 * child's exit code or deadly signal becomes this process's own. Without any Node 24 it says so and exits with 1.
 *
 * @param {string} script path of the calling script
 * @param {readonly string[]} args its arguments
 * @param {{ flags: readonly string[], variables: Record<string, string> }} settings of the process that is started
 */
export function ensureNode24(script, args, { flags, variables } = { flags: [], variables: {} }) {
  const executable = findNode24();
  if (executable === process.execPath) return true;
  if (executable === undefined) {
    process.stderr.write(`${NODE24_MISSING}\n`);
    process.exitCode = 1;
    return false;
  }
  // The channel carries nothing: when this process is killed it breaks, and the child knows that it is alone.
  const env = { ...variables, ...process.env };
  shadow(spawn(executable, [...flags, script, ...args], { stdio: ["inherit", "inherit", "inherit", "ipc"], env }));
  return false;
}

/** Stands for `child` until it ends: the caller of this process sees the child's end as if it were this one's. */
function shadow(child) {
  // A terminal sends Ctrl-C to the whole process group, so the child has it already; nobody else does that.
  const atTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  const forward = (signal) => {
    if (signal !== "SIGINT" || !atTerminal) child.kill(signal);
  };
  for (const signal of FORWARDED) process.on(signal, forward);
  child.on("error", (error) => {
    process.stderr.write(`Node 24 did not start: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    for (const name of FORWARDED) process.off(name, forward);
    if (signal === null) process.exitCode = code ?? 1;
    else process.kill(process.pid, signal);
  });
}
