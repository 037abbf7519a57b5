import { integer, MILLIS, type Options, type Values } from "#lib/base/option";
import { LIFE_LIMITS, type LifeLimits } from "./life.ts";

/** What is decided of how long a request is tried. */
export const SERVING_OPTIONS = {
  "migration.limit": integer({
    initial: LIFE_LIMITS.fruitless,
    least: 0,
    most: 100,
    placeholder: "COUNT",
    doc: "Workers in a row on which a request may end without a token before it fails. 0: it never continues elsewhere.",
    alike: "--migration-limit",
  }),
  "request.deadline-ms": integer({ initial: 600_000, ...MILLIS, doc: "Longest time for one request." }),
} as const satisfies Options;

/** The limits of a request's life as the options say. */
export function readLifeLimits(values: Values<typeof SERVING_OPTIONS>): Partial<LifeLimits> {
  return { fruitless: values["migration.limit"] };
}
