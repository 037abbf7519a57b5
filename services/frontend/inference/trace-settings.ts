import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TraceSettingRequest, TraceSettingResponseSchema } from "#gen/inference/settings_pb";
import type { TraceDial } from "#lib/host/trace-dial";
import { badSetting, checkKeys, type FixedSettings } from "./setting.ts";

/** What decides of traces in a process. */
export interface TraceSettings {
  /** Turned while the process runs. */
  readonly dial: TraceDial;
  /** How the dial stood at the start: what a setting without values goes back to. */
  readonly usual: Readonly<TraceDial>;
  /** Whether spans have anywhere to go. */
  readonly hasEndpoint: boolean;
}

const KNOWN = ["trace_level", "trace_rate", "trace_mode"] as const;
const MODE = "opentelemetry";

const FIXED: FixedSettings = {
  trace_file: "spans go to the endpoint of --trace-endpoint",
  trace_count: "traces are not counted",
  log_frequency: "spans go to the endpoint of --trace-endpoint as they end",
};

/**
 * TraceSetting over a dial: changes what the request names and tells how it is then. Throws INVALID_ARGUMENT, which names
 * the key, for a setting that is not here and a value that it cannot have: then nothing has changed. `knows` throws for
 * the name of a model that is not there; no model has settings of its own.
 */
export function traceSetting(
  { settings, modelName }: Pick<TraceSettingRequest, "settings" | "modelName">,
  now: TraceSettings,
  knows: (model: string) => void,
): MessageInitShape<typeof TraceSettingResponseSchema> {
  const { dial } = now;
  if (modelName !== "") knows(modelName);
  const [first] = Object.keys(settings);
  if (modelName !== "" && first !== undefined) throw badSetting(first, "is set for all models together, not for one");
  checkKeys(settings, KNOWN, FIXED);
  const next = { on: dial.on, everyNth: dial.everyNth };
  for (const [key, { value }] of Object.entries(settings)) change(next, { key, values: value }, now);
  Object.assign(dial, next);
  return {
    settings: {
      trace_level: { value: [dial.on ? "TIMESTAMPS" : "OFF"] },
      trace_rate: { value: [String(dial.everyNth)] },
      trace_mode: { value: [MODE] },
    },
  };
}

function change(
  next: TraceDial,
  { key, values }: { readonly key: string; readonly values: readonly string[] },
  { usual, hasEndpoint }: TraceSettings,
): void {
  const [value, ...more] = values;
  if (more.length > 0) throw badSetting(key, "expected one value");
  switch (key) {
    case "trace_level": {
      const level = value ?? (usual.on ? "TIMESTAMPS" : "OFF");
      if (level === "TENSORS") throw badSetting(key, "tensors are not traced: expected OFF or TIMESTAMPS");
      if (level !== "OFF" && level !== "TIMESTAMPS") throw badSetting(key, "expected OFF or TIMESTAMPS");
      if (level !== "OFF" && !hasEndpoint)
        throw badSetting(key, "there is no endpoint: say --trace-endpoint at the start");
      next.on = level === "TIMESTAMPS";
      return;
    }
    case "trace_rate": {
      const rate = /^\d{1,9}$/.test(value ?? "") ? Number(value) : Number.NaN;
      if (value !== undefined && !(rate >= 1)) throw badSetting(key, "expected a whole number above 0");
      next.everyNth = value === undefined ? usual.everyNth : rate;
      return;
    }
    default:
      if (value !== undefined && value !== MODE) throw badSetting(key, `expected ${MODE}: there is no other way`);
  }
}
