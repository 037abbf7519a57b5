import type { Clock } from "#lib/base/clock";

const MONTHS = [
  ...["January", "February", "March", "April", "May", "June", "July"],
  ...["August", "September", "October", "November", "December"],
];

/**
 * What every template may call or name, beside what its messages bring. `raise` is called with what a template says
 * when it refuses its messages, and throws.
 */
export function templateGlobals(clock: Clock, raise: (message: string) => never): Readonly<Record<string, unknown>> {
  return {
    ...{ true: true, True: true, false: false, False: false, none: null, None: null },
    raise_exception: (message: unknown) => raise(String(message)),
    range: (first: number, last?: number, step?: number) =>
      step === 0 ? raise("range() step must not be zero") : range(first, last, step),
    strftime_now: (format: unknown) => printTime(new Date(clock.unixMs()), String(format)),
  };
}

/** Python's `range`; the step is not 0. */
function range(first: number, last?: number, step = 1): number[] {
  const [start, stop] = last === undefined ? [0, first] : [first, last];
  const numbers: number[] = [];
  if (step > 0) for (let at = start; at < stop; at += step) numbers.push(at);
  else for (let at = start; at > stop; at += step) numbers.push(at);
  return numbers;
}

/** Python's `strftime`, as far as templates use it, in the time zone of the process. */
function printTime(date: Date, format: string): string {
  const pad = (number: number) => String(number).padStart(2, "0");
  const month = MONTHS[date.getMonth()] ?? "";
  const parts: Readonly<Record<string, string>> = {
    "%Y": String(date.getFullYear()),
    "%m": pad(date.getMonth() + 1),
    "%d": pad(date.getDate()),
    "%b": month.slice(0, 3),
    "%B": month,
    "%H": pad(date.getHours()),
    "%M": pad(date.getMinutes()),
    "%%": "%",
  };
  return format.replace(/%[YmdbBHM%]/g, (part) => parts[part] ?? part);
}
