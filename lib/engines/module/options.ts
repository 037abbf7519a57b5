import { integer, type Options, type Values } from "#lib/base/option";
import { TEXT_ENGINE_LIMITS, type TextEngineLimits } from "./limits.ts";

/** What is decided for an engine of text of a module. */
export const MODULE_OPTIONS = {
  "module.max-running": integer({
    initial: TEXT_ENGINE_LIMITS.maxRunning,
    least: 1,
    most: 65_536,
    placeholder: "COUNT",
    doc: "Requests that an engine of text of a module (--engine module:FILE) runs side by side, where it says no smaller number itself.",
  }),
  "module.max-waiting": integer({
    initial: TEXT_ENGINE_LIMITS.maxWaiting,
    least: 0,
    most: 1_048_576,
    placeholder: "COUNT",
    doc: "Requests that may wait for a place there; one more is refused.",
  }),
  "module.cancel-ms": integer({
    initial: TEXT_ENGINE_LIMITS.cancelMs,
    least: 10,
    most: 600_000,
    unit: "ms",
    doc: "Time in which it has to end what nobody waits for any more. What does not end keeps its place, and the worker ends when no place is left.",
  }),
} as const satisfies Options;

/** The bounds of such an engine as the options say. */
export function readTextEngineLimits(values: Values<typeof MODULE_OPTIONS>): TextEngineLimits {
  return {
    ...TEXT_ENGINE_LIMITS,
    maxRunning: values["module.max-running"],
    maxWaiting: values["module.max-waiting"],
    cancelMs: values["module.cancel-ms"],
  };
}
