const NUMBER = new Intl.NumberFormat("en-US");
const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"] as const;

/** A count as people read it, such as 8,192 tokens. */
export function countOf(count: number, unit: string): string {
  return `${NUMBER.format(count)} ${unit}`;
}

/** A size as people read it: three digits at most, such as 17.4 MiB. */
export function sizeOf(bytes: number): string {
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < UNITS.length - 1; unit++) value /= 1024;
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}
