// Plain JavaScript on purpose: see stator.mjs.
import { readFileSync } from "node:fs";

/** What the process of a command is started with: flags of V8 and variables of malloc, which later would change nothing. */
export function settingsOf(command) {
  const table = JSON.parse(readFileSync(new URL("./process-settings.json", import.meta.url), "utf8"));
  return { flags: [], variables: {}, ...(Object.hasOwn(table, command ?? "") ? table[command] : {}) };
}

/**
 * Gives this process the settings of its command, by becoming the same program with them: it does not return then. A
 * process that has them, or whose parent talks to it over a channel, which would be lost, stays as it is.
 */
export function applySettings(script, args) {
  const { flags, variables } = settingsOf(args[0]);
  const isSet = flags.every((flag) => process.execArgv.includes(flag));
  if (isSet || process.send !== undefined || process.execve === undefined) return;
  const all = [process.execPath, ...process.execArgv, ...flags, script, ...args];
  process.execve(process.execPath, all, { ...variables, ...process.env });
}
