/**
 * error: data or a request lost by our fault; warn: healed; info: life cycle and one line per request; debug: more about a
 * request; trace: per token.
 */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;

/** One of the levels. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Fields beside the constant phrase. bigint prints as 16 hexadecimal digits: here it is always an id. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes constant phrases with fields. No prompt text and no secret, ever. */
export interface Log {
  /** Per token. */
  trace(phrase: string, fields?: LogFields): void;
  /** More about a request. */
  debug(phrase: string, fields?: LogFields): void;
  /** Life cycle, and one line for each request. */
  info(phrase: string, fields?: LogFields): void;
  /** Something went wrong and was healed. */
  warn(phrase: string, fields?: LogFields): void;
  /** Data or a request was lost by our fault. */
  error(phrase: string, fields?: LogFields): void;
  /** A log whose lines carry these fields too. */
  with(fields: LogFields): Log;
  /** Whether lines of this level are written: guards work that only a line needs. */
  enabled(level: LogLevel): boolean;
}

/** Who speaks: what a process is, what it is called, and its number. */
export interface Speaker {
  /** Such as worker. */
  readonly role: string;
  /** Such as worker-1 under `stator up`; else that of the machine. */
  readonly name: string;
  /** Of this process; tells two of one name apart. */
  readonly pid: number;
}

/** Which lines are written now: whoever has it may turn it while the process runs. */
export interface LogDial {
  /** The lowest level that is written. */
  level: LogLevel;
}

/** Where lines go and which. `pretty` writes for a terminal, otherwise one JSON object a line. */
export interface LogOptions {
  /** The lowest level that is written, or what tells it for each line. */
  readonly level: LogLevel | LogDial;
  /** For people at a terminal; otherwise for machines. */
  readonly pretty: boolean;
  /** Whether the word for the level is coloured in a pretty line. */
  readonly colors?: boolean;
  /** Told in every line. */
  readonly speaker?: Speaker;
  /** Receives each line with its newline. */
  readonly write: (line: string) => void;
}

/** A log that writes. */
export function createLog(options: LogOptions, bound: LogFields = {}): Log {
  const { level: dial } = options;
  const enabled = (level: LogLevel): boolean =>
    LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(typeof dial === "string" ? dial : dial.level);
  const at = (level: LogLevel) => (phrase: string, fields?: LogFields) => {
    if (!enabled(level)) return;
    options.write(
      (options.pretty ? prettyLine : jsonLine)(options, { level, phrase, fields: { ...bound, ...fields } }),
    );
  };
  return {
    trace: at("trace"),
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    with: (fields) => createLog(options, { ...bound, ...fields }),
    enabled,
  };
}

/** A log that writes nothing. */
export const silentLog: Log = createLog({ level: "silent", pretty: false, write: () => {} });

function plain(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString(16).padStart(16, "0");
  if (!(value instanceof Error)) return value;
  const causes: string[] = [];
  for (let error: unknown = value; error instanceof Error && causes.length < 5; error = error.cause) {
    causes.push(`${error.name}: ${error.message}`);
  }
  return causes.join(" <- ");
}

interface Entry {
  readonly level: LogLevel;
  readonly phrase: string;
  readonly fields: LogFields;
}

function jsonLine({ speaker }: LogOptions, { level, phrase, fields }: Entry): string {
  const entry = { time: new Date().toISOString(), level, ...speaker, phrase, ...fields };
  return `${JSON.stringify(entry, (_, value) => plain(value))}\n`;
}

/** SGR codes of the levels that people must not miss. */
const COLORS: Partial<Record<LogLevel, number>> = { error: 31, warn: 33 };

function prettyLine({ speaker, colors }: LogOptions, { level, phrase, fields }: Entry): string {
  const color = colors ? COLORS[level] : undefined;
  const word = color === undefined ? level.padEnd(5) : `\x1b[${color}m${level.padEnd(5)}\x1b[39m`;
  let line = `${new Date().toISOString().slice(11, 23)} ${word} ${speaker ? `${printSpeaker(speaker)}: ` : ""}${phrase}`;
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const shown = plain(value);
    line += ` ${name}=${typeof shown === "string" ? shown : JSON.stringify(shown, (_, inner) => plain(inner))}`;
  }
  return `${line}\n`;
}

/** Such as `worker-1 4711`, or `worker host-7 4711` where the name does not say the role. */
function printSpeaker({ role, name, pid }: Speaker): string {
  return name.startsWith(role) ? `${name} ${pid}` : `${role} ${name} ${pid}`;
}
