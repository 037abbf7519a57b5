import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import process from "node:process";
import { StatorError } from "#lib/base/errors";
import { nearest } from "#lib/base/nearest";
import { printOptionHelp } from "#lib/host/config/print";
import { resolveConfig } from "#lib/host/config/resolve";
import { createLog, type Log, type LogDial, type Speaker } from "#lib/host/log";
import { Scope } from "#lib/host/scope";
import { listenForStop } from "#lib/host/stop";
import { systemClock } from "#lib/host/system-clock";
import { CHILD_VARIABLE, failureReport, type ParentOrder, reportToParent } from "./children.ts";
import type { Command, CommandContext } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { OPTIONS, type OptionKey } from "./compose/options.ts";
import { wrapWords } from "./display-width.ts";
import { createScreen, hasColors, type Screen } from "./screen.ts";
import { VERSION } from "./version.ts";

/** Exit codes: 0 done, 1 failed while running, 2 asked for something that cannot be, 130 ended by a second Ctrl-C. */
const EXIT = { done: 0, failed: 1, usage: 2, forced: 130 } as const;

function usage(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length)) + 2;
  const rows = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`);
  return [
    `stator ${VERSION}: LLM inference serving, contract first.`,
    "",
    "Usage: stator COMMAND [options]",
    "",
    ...rows,
    "",
    "`stator COMMAND --help` explains one, `stator version` tells the version. `npm start` is `stator up`.",
  ].join("\n");
}

/** Every option that a command reads, those of every command last. */
function optionsOf(command: Command): OptionKey[] {
  return [...command.options, "config", "log.level", "log.format"];
}

function commandHelp(name: string, command: Command): string {
  const args = command.arguments === "" ? "" : ` ${command.arguments}`;
  return [
    `Usage: stator ${name}${args} [options]`,
    "",
    command.help,
    "",
    "Options:",
    printOptionHelp(OPTIONS, optionsOf(command), command.says),
    "",
    "Every option is also a variable (STATOR_…) and a key of the --config file; `stator config explain NAME` tells which counts.",
  ].join("\n");
}

/** Breaks lines of help at words where they are wider than the terminal; what an option decides stays beside its name. */
function fitHelp(help: string, columns: number): string {
  const lines = help.split("\n").map((line) => {
    const name = /^ {2}(--)?\S+( \S+)? {2,}/.exec(line)?.[0] ?? "";
    return wrapWords(line, columns, " ".repeat(Math.min(name.length, Math.floor(columns / 2))));
  });
  return lines.join("\n");
}

async function readConfigFile(args: readonly string[]): Promise<unknown> {
  const at = args.findIndex((arg) => arg === "--config" || arg.startsWith("--config="));
  const path = at < 0 ? process.env.STATOR_CONFIG : args[at]!.includes("=") ? args[at]!.slice(9) : args[at + 1];
  if (!path) return undefined;
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new StatorError("FILE_NOT_FOUND", { path, hint: "It was named by --config." });
    const detail = `${path}, named by --config, cannot be read: ${code === "EISDIR" ? "it is a folder" : code}.`;
    throw new StatorError("BAD_CONFIG", { detail }, { cause: error });
  }
  try {
    // Few starts have a file, and the parser is a twentieth of what a start loads.
    const { parse } = await import("yaml");
    return parse(text) as unknown;
  } catch (error) {
    const detail = `${path} is not valid YAML: ${error instanceof Error ? error.message.split("\n")[0] : "unreadable"}`;
    throw new StatorError("BAD_CONFIG", { detail }, { cause: error });
  }
}

function openLog(
  values: CommandContext["values"],
  screen: Screen,
  speaker: Speaker,
): Pick<CommandContext, "log" | "logDial"> {
  const format = values["log.format"];
  const pretty = format === "pretty" || (format === "auto" && process.stderr.isTTY === true);
  const colors = hasColors(process.env, process.stderr);
  const logDial: LogDial = { level: values["log.level"] };
  const log = createLog({ level: logDial, pretty, colors, speaker, write: (line) => screen.note(line) });
  return { log, logDial };
}

function waitForStop(scope: Scope, log: Log, isChild: boolean): Promise<string> {
  return new Promise((resolve) => {
    const drain = (why: string): void => {
      log.info("stopping", { why });
      resolve(why);
    };
    const handlers = { drain, force: () => process.exit(EXIT.forced) };
    scope.defer("signals", listenForStop(process, systemClock, handlers, isChild));
    process.on("message", (order: ParentOrder) => {
      if (order.type === "drain") drain("the parent asked");
    });
  });
}

/** `explain --http-port` asks about a flag and does not set it: a flag right there that has no value is a name. */
function nameLast(args: readonly string[]): readonly string[] {
  const [verb = "", name = "", next] = args;
  const isName = verb === "explain" && name.startsWith("--") && !name.includes("=");
  if (!isName || (next !== undefined && !next.startsWith("--"))) return args;
  return [verb, ...args.slice(2), "--", name];
}

async function runCommand(name: string, command: Command, args: readonly string[]): Promise<number> {
  const flags = command.explains ? undefined : optionsOf(command);
  const given = {
    args: command.explains ? nameLast(args) : args,
    env: process.env,
    file: await readConfigFile(args),
    ...(flags && { flags }),
  };
  const { config, positional } = resolveConfig(OPTIONS, given);
  if (command.arguments === "" && positional.length > 0) {
    throw new StatorError("BAD_CONFIG", {
      detail: `${name} takes options alone, not ${positional.join(" ")}.`,
    });
  }
  const { values } = config;
  const childName = process.env[CHILD_VARIABLE];
  const isChild = childName !== undefined;
  const screen = createScreen({ out: process.stdout, err: process.stderr, env: process.env });
  const { log, logDial } = openLog(values, screen, {
    role: name,
    name: childName ?? hostname(),
    pid: process.pid,
  });
  const scope = new Scope(name, log);
  const stopped = waitForStop(scope, log, isChild);
  const print = (line: string): void => screen.print(line);
  try {
    return await command.run({ config, values, positional, log, logDial, scope, print, screen, stopped, isChild });
  } finally {
    await scope.close();
    screen.settle();
  }
}

/** Where nobody reads or nothing can be written any more, a command of a moment ends, and what serves goes on unheard. */
function endQuietly(serves: boolean): void {
  const onError = ({ code }: NodeJS.ErrnoException): void => {
    if (!serves) process.exit(code === "EPIPE" ? EXIT.done : EXIT.failed);
  };
  process.stdout.on("error", onError);
  process.stderr.on("error", onError);
}

/** Runs the program and returns its exit code. One clear sentence for every error, never a stack trace. */
export async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args[0] === "help" && args[1] !== undefined ? [args[1], "--help"] : args;
  const { columns } = createScreen({ out: process.stdout, err: process.stderr, env: process.env });
  const asksHelp = rest.includes("--help") || rest.includes("-h");
  const entry = COMMANDS.find((each) => each.name === name);
  const command = await entry?.load();
  endQuietly(command?.serves === true && !asksHelp);
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    process.stdout.write(`${fitHelp(usage(), columns)}\n`);
    return EXIT.done;
  }
  if (name === "--version" || name === "-v" || name === "version") {
    process.stdout.write(`${VERSION}\n`);
    return EXIT.done;
  }
  if (!command) {
    const hint = nearest(
      name,
      COMMANDS.map((each) => each.name),
    );
    process.stderr.write(
      `stator: there is no command ${name}.${hint ? ` Did you mean ${hint}?` : ""} See \`stator --help\`.\n`,
    );
    return EXIT.usage;
  }
  if (asksHelp) {
    process.stdout.write(`${fitHelp(commandHelp(name, command), columns)}\n`);
    return EXIT.done;
  }
  try {
    return await runCommand(name, command, rest);
  } catch (error) {
    const message = error instanceof StatorError ? error.message : `Something went wrong inside: ${String(error)}`;
    // Who started this process says it, once for all that have the same fault.
    if (!reportToParent(failureReport("failed", error))) process.stderr.write(`stator ${name}: ${message}\n`);
    if (!(error instanceof StatorError) && process.env.STATOR_LOG_LEVEL === "trace") console.error(error);
    return error instanceof StatorError && error.reason === "BAD_CONFIG" ? EXIT.usage : EXIT.failed;
  } finally {
    if (process.connected) process.disconnect();
  }
}
