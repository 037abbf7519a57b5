import type { OptionBase } from "#lib/base/option";

const UNITS_MS = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const;

/** Milliseconds of a time as people write it, such as 10m, 1.5h, 90s; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const [, number = "", unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text.trim()) ?? [];
  return unit === undefined ? undefined : Math.round(Number(number) * UNITS_MS[unit as keyof typeof UNITS_MS]);
}

/** A whole number of milliseconds in the largest unit that divides it. */
export function printDuration(ms: number): string {
  const units = Object.entries(UNITS_MS);
  const [unit, size] = units.find(([, each]) => ms >= each && ms % each === 0) ?? (["s", 1_000] as const);
  return `${ms / size}${unit}`;
}

/** A time within bounds, in milliseconds. */
export function duration(options: {
  readonly initial: number;
  readonly least: number;
  readonly most: number;
  readonly doc: string;
}): OptionBase<number> {
  const { least, most } = options;
  const expected = `a time from ${printDuration(least)} to ${printDuration(most)}, such as 90s or 10m`;
  return {
    ...options,
    placeholder: "TIME",
    parse(given) {
      const value = parseDuration(given);
      return value !== undefined && value >= least && value <= most ? value : { expected };
    },
    print: printDuration,
    schema: { type: "string", pattern: "^\\d+(\\.\\d+)?(ms|s|m|h)$" },
  };
}
