import { integer, type Options, text, type Values } from "#lib/base/option";
import { OPENENGINE_LIMITS, type OpenEngineLimits } from "./limits.ts";

/** What is decided for an engine that speaks openengine.v1, where a worker stands in front of it and where a frontend calls it. */
export const OPENENGINE_OPTIONS = {
  "openengine.model": text({
    initial: undefined,
    placeholder: "NAME",
    doc: "Name of the model at the engine that a worker of the openengine engine stands in front of; its only one when absent.",
  }),
  "openengine.look-ms": integer({
    initial: OPENENGINE_LIMITS.lookMs,
    least: 50,
    most: 60_000,
    unit: "ms",
    doc: "How often an engine that is called over openengine.v1 is asked how it is and how busy.",
  }),
  "openengine.max-open": integer({
    initial: OPENENGINE_LIMITS.openRequests,
    least: 1,
    most: 100_000,
    doc: "Requests that may be open at once, from one process, at an engine that is called over openengine.v1; one more is refused.",
  }),
  "openengine.cancel-ms": integer({
    initial: OPENENGINE_LIMITS.cancelMs,
    least: 10,
    most: 600_000,
    unit: "ms",
    doc: "Time in which an engine that is called over openengine.v1 has to end a request that it was told to; afterwards the request ends here, and its stream is reset.",
  }),
} as const satisfies Options;

/** The bounds of an adapter, as the options say. */
export function readOpenEngineLimits(values: Values<typeof OPENENGINE_OPTIONS>): OpenEngineLimits {
  return {
    ...OPENENGINE_LIMITS,
    lookMs: values["openengine.look-ms"],
    openRequests: values["openengine.max-open"],
    cancelMs: values["openengine.cancel-ms"],
  };
}
