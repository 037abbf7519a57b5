/** error: data or a request lost by our fault; warn: healed; info: life cycle; debug: per request; trace: per token. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;

/** One of the levels. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Fields beside the constant phrase. bigint prints as 16 hexadecimal digits: here it is always an id. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes constant phrases with fields. No prompt text and no secret, ever. */
export interface Log {
  trace(phrase: string, fields?: LogFields): void;
  debug(phrase: string, fields?: LogFields): void;
  info(phrase: string, fields?: LogFields): void;
  warn(phrase: string, fields?: LogFields): void;
  error(phrase: string, fields?: LogFields): void;
  /** A log whose lines carry these fields too. */
  with(fields: LogFields): Log;
  /** Whether lines of this level are written: guards work that only a line needs. */
  enabled(level: LogLevel): boolean;
}

/** Where lines go and which. `pretty` writes for a terminal, otherwise one JSON object a line. */
export interface LogOptions {
  readonly level: LogLevel;
  readonly pretty: boolean;
  /** Receives each line with its newline. */
  readonly write: (line: string) => void;
}

/** A log that writes. */
export function createLog(options: LogOptions, bound: LogFields = {}): Log {
  const least = LOG_LEVELS.indexOf(options.level);
  const at = (level: LogLevel) => (phrase: string, fields?: LogFields) => {
    if (LOG_LEVELS.indexOf(level) < least) return;
    options.write((options.pretty ? prettyLine : jsonLine)(level, phrase, { ...bound, ...fields }));
  };
  return {
    trace: at("trace"),
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    with: (fields) => createLog(options, { ...bound, ...fields }),
    enabled: (level) => LOG_LEVELS.indexOf(level) >= least,
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

function jsonLine(level: LogLevel, phrase: string, fields: LogFields): string {
  return `${JSON.stringify({ time: new Date().toISOString(), level, phrase, ...fields }, (_, value) => plain(value))}\n`;
}

function prettyLine(level: LogLevel, phrase: string, fields: LogFields): string {
  let line = `${new Date().toISOString().slice(11, 23)} ${level.padEnd(5)} ${phrase}`;
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const shown = plain(value);
    line += ` ${name}=${typeof shown === "string" ? shown : JSON.stringify(shown, (_, inner) => plain(inner))}`;
  }
  return `${line}\n`;
}
