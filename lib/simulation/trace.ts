import { printId } from "#lib/base/bytes";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Log, LogFields } from "#lib/host/log";
import { Xxh3 } from "#lib/tokens/xxh3";

/** What happened in a world, line by line: who, when, what. The same seed writes the same lines. */
export class Trace {
  readonly #clock: Clock;
  readonly #write: ((line: string) => void) | undefined;
  readonly #kernel = new Xxh3();
  readonly #encoder = new TextEncoder();
  #hash = [0, 0];

  /** Without `write` nothing is written and the hash stays that of nothing, which costs nothing. */
  constructor(clock: Clock, write?: (line: string) => void) {
    this.#clock = clock;
    this.#write = write;
  }

  /** Whether lines are written: guards work that only a line needs. */
  get isOn(): boolean {
    return this.#write !== undefined;
  }

  /** Of all lines so far, in hex. */
  get hash(): string {
    return this.#hash.map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
  }

  say(who: string, phrase: string, fields: LogFields = {}): void {
    if (!this.#write) return;
    const told = Object.entries(fields).flatMap(([name, value]) =>
      value === undefined ? [] : `${name}=${show(value)}`,
    );
    const line = [this.#clock.nowMs().toFixed(3).padStart(10), who.padEnd(10), phrase, ...told].join(" ");
    const bytes = this.#encoder.encode(line);
    this.#kernel.hash(new DataView(bytes.buffer), 0, bytes.length, this.#hash[1]!, this.#hash[0]!);
    this.#hash = [this.#kernel.hi, this.#kernel.lo];
    this.#write(line);
  }

  /** The log of one process, from debug on. */
  log(who: string, bound: LogFields = {}): Log {
    const at = (level: string) => (phrase: string, fields?: LogFields) =>
      this.say(who, `${level} ${phrase}`, { ...bound, ...fields });
    return {
      trace() {},
      debug: at("debug"),
      info: at("info"),
      warn: at("warn"),
      error: at("error"),
      with: (fields) => (this.isOn ? this.log(who, { ...bound, ...fields }) : this.log(who)),
      enabled: (level) => this.isOn && level !== "trace",
    };
  }
}

function show(value: unknown): string {
  if (typeof value === "bigint") return printId(value);
  if (value instanceof StatorError) return value.cause ? `${value.reason}(${show(value.cause)})` : value.reason;
  if (value instanceof Error) return value.message;
  return Array.isArray(value) ? `[${value.map(show).join(",")}]` : String(value);
}
