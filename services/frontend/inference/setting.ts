import { StatorError } from "#lib/base/errors";
import { nearest } from "#lib/base/nearest";

/** Why settings that other servers have cannot be set here, by their names. */
export type FixedSettings = Readonly<Record<string, string>>;

/** The error of a setting that was given what it cannot be; it names the key. */
export function badSetting(key: string, detail: string): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail: `${key.slice(0, 64)}: ${detail}` }, { param: key });
}

/** Throws INVALID_ARGUMENT for the first key that is not one of these, with the reason or the name that may be meant. */
export function checkKeys(
  given: Readonly<Record<string, unknown>>,
  known: readonly string[],
  fixed: FixedSettings,
): void {
  for (const key of Object.keys(given)) {
    if (known.includes(key)) continue;
    const why = Object.hasOwn(fixed, key) ? fixed[key] : undefined;
    if (why !== undefined) throw badSetting(key, `cannot be set: ${why}`);
    const near = nearest(key, known);
    throw badSetting(key, `there is no such setting${near === undefined ? "" : `; did you mean ${near}?`}`);
  }
}
