import { integer, type Options, type Values } from "#lib/base/option";
import { SHARED_LIMITS, type SharedLimits } from "./limits.ts";

/** What is decided of the memory that a process shares with its clients. */
export const SHARED_OPTIONS = {
  "shared-memory.max-regions": integer({
    initial: SHARED_LIMITS.regions,
    least: 0,
    most: 65_536,
    placeholder: "COUNT",
    doc: "Regions of system shared memory that may be registered; 0 takes none.",
  }),
  "shared-memory.max-region-bytes": integer({
    initial: SHARED_LIMITS.regionBytes,
    least: 0,
    most: 2 ** 48,
    unit: "bytes",
    doc: "Length of all registered regions of system shared memory together.",
  }),
  "shared-memory.max-request-bytes": integer({
    initial: SHARED_LIMITS.requestBytes,
    least: 1,
    most: 2 ** 32,
    unit: "bytes",
    doc: "Inputs that one request may have in system shared memory.",
  }),
  "shared-memory.max-copied-bytes": integer({
    initial: SHARED_LIMITS.copiedBytes,
    least: 1,
    most: 2 ** 40,
    unit: "bytes",
    doc: "Memory for inputs that were read from system shared memory, of all requests that have not ended.",
  }),
} as const satisfies Options;

/** The limits as the options say. */
export function readSharedLimits(values: Values<typeof SHARED_OPTIONS>): SharedLimits {
  return {
    regions: values["shared-memory.max-regions"],
    regionBytes: values["shared-memory.max-region-bytes"],
    requestBytes: values["shared-memory.max-request-bytes"],
    copiedBytes: values["shared-memory.max-copied-bytes"],
  };
}
