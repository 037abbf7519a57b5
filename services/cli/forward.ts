import { flagOf, type Option, type Options } from "#lib/base/option";
import type { Config } from "#lib/host/config/resolve";

/** The flags that say the same to another process: only what somebody set, so that a default stays a default. */
export function flagsFor<Table extends Options>(
  config: Config<Table>,
  options: Table,
  keys: readonly (keyof Table & string)[],
): string[] {
  return keys.flatMap((key) => {
    const value: unknown = config.values[key];
    if (config.sources[key] === "default" || value === undefined) return [];
    if ((options[key] as Option).bare) return value ? [flagOf(key)] : [flagOf(key).replace("--", "--no-")];
    return [`${flagOf(key)}=${String(value)}`];
  });
}
