import type { Config } from "#lib/host/config/resolve";
import type { Log, LogDial } from "#lib/host/log";
import type { Scope } from "#lib/host/scope";
import type { OPTIONS, OptionKey } from "./compose/options.ts";
import type { Screen } from "./screen.ts";

/** The resolved configuration of this program. */
export type CliConfig = Config<typeof OPTIONS>;

/** What a command gets. */
export interface CommandContext {
  /** With where each value came from. */
  readonly config: CliConfig;
  /** Those of `config`. */
  readonly values: CliConfig["values"];
  /** Arguments that are not flags. */
  readonly positional: readonly string[];
  /** The process's own, to standard error. */
  readonly log: Log;
  /** Says which lines of it are written. */
  readonly logDial: LogDial;
  /** Closed when the command has ended. */
  readonly scope: Scope;
  /** Writes to standard output, for people and pipes. */
  print(line: string): void;
  /** The same and more: what is printed goes through it. */
  readonly screen: Screen;
  /** Resolves when the process was asked to end, with why. */
  readonly stopped: Promise<string>;
  /** Whether this process was started by `stator up`. */
  readonly isChild: boolean;
}

/** What of it a process is opened with: the scope owns what is opened. Without a dial the log is that of a program around. */
export type ProcessContext = Pick<CommandContext, "values" | "scope" | "log"> &
  Partial<Pick<CommandContext, "logDial">>;

/** One command of the program. */
export interface Command {
  /** Arguments that are not flags, for the usage line. */
  readonly arguments: string;
  /** A paragraph for `--help`. */
  readonly help: string;
  /** Options that it reads, in the order of its help. */
  readonly options: readonly OptionKey[];
  /** What some of these options decide for this command, where that is not what they say of themselves. */
  readonly says?: Readonly<Partial<Record<OptionKey, string>>>;
  /** Takes the flags of every command, because it tells what they would mean. */
  readonly explains?: true;
  /** Runs until it is told to stop, whether or not anybody reads what it prints. */
  readonly serves?: true;
  /** Returns the exit code. */
  run(context: CommandContext): Promise<number>;
}
