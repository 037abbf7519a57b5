import { integer, MILLIS, type Options, type Values } from "#lib/base/option";
import { LINK_LIMITS, type LinkLimits } from "./limits.ts";

/** What is decided of the watch over links. */
export const LINK_OPTIONS = {
  "watchdog.suspect-ms": integer({
    initial: LINK_LIMITS.pongTimeoutMs,
    ...MILLIS,
    doc: "A worker that does not answer a ping for so long is suspect.",
  }),
  "watchdog.stall-ms": integer({
    initial: LINK_LIMITS.stallFloorMs,
    ...MILLIS,
    doc: "A request without progress for so long (and 20 median steps) is moved.",
  }),
} as const satisfies Options;

/** The limits of a caller's links as the options say. */
export function readLinkLimits(values: Values<typeof LINK_OPTIONS>): Partial<LinkLimits> {
  return { pongTimeoutMs: values["watchdog.suspect-ms"], stallFloorMs: values["watchdog.stall-ms"] };
}
