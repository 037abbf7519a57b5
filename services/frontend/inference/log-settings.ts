import type { MessageInitShape } from "@bufbuild/protobuf";
import type { LogSettingsRequest, LogSettingsResponseSchema } from "#gen/inference/settings_pb";
import type { LogDial, LogLevel } from "#lib/host/log";
import { badSetting, checkKeys, type FixedSettings } from "./setting.ts";

/** Settings of Triton that say together which lines are written. */
interface Written {
  readonly log_error: boolean;
  readonly log_warning: boolean;
  readonly log_info: boolean;
  readonly log_verbose_level: number;
}

/** What each level means in them: lines are written from one level on. */
const LEVELS: Readonly<Record<LogLevel, Written>> = {
  trace: { log_error: true, log_warning: true, log_info: true, log_verbose_level: 2 },
  debug: { log_error: true, log_warning: true, log_info: true, log_verbose_level: 1 },
  info: { log_error: true, log_warning: true, log_info: true, log_verbose_level: 0 },
  warn: { log_error: true, log_warning: true, log_info: false, log_verbose_level: 0 },
  error: { log_error: true, log_warning: false, log_info: false, log_verbose_level: 0 },
  silent: { log_error: false, log_warning: false, log_info: false, log_verbose_level: 0 },
};

/** The most important lines first. */
const FLAGS = ["log_error", "log_warning", "log_info"] as const;
const VERBOSE = "log_verbose_level";
const MOST_VERBOSE = 2;

const FIXED: FixedSettings = {
  log_file: "lines go to standard error",
  log_format: "a process has the form that --log-format gave it at its start",
};

/**
 * LogSettings over a log's dial: changes what the request names and tells how it is then. Throws INVALID_ARGUMENT, which
 * names the key, for a setting that is not here, a value that it cannot have, and values that do not go together: then
 * nothing has changed.
 */
export function logSettings(
  { settings }: Pick<LogSettingsRequest, "settings">,
  dial: LogDial,
): MessageInitShape<typeof LogSettingsResponseSchema> {
  checkKeys(settings, [...FLAGS, VERBOSE], FIXED);
  if (Object.keys(settings).length > 0) dial.level = levelOf({ ...LEVELS[dial.level], ...readChanges(settings) });
  const now = LEVELS[dial.level];
  const flags = FLAGS.map(
    (key) => [key, { parameterChoice: { case: "boolParam" as const, value: now[key] } }] as const,
  );
  return {
    settings: {
      ...Object.fromEntries(flags),
      [VERBOSE]: { parameterChoice: { case: "uint32Param", value: now[VERBOSE] } },
    },
  };
}

function readChanges(settings: LogSettingsRequest["settings"]): Partial<Written> {
  const changes: Partial<Record<keyof Written, boolean | number>> = {};
  for (const [key, { parameterChoice: given }] of Object.entries(settings)) {
    if (key === VERBOSE) {
      const isLevel = given.case === "uint32Param" && given.value <= MOST_VERBOSE;
      if (!isLevel) throw badSetting(key, "expected 0, 1 for lines about requests, or 2 for lines about tokens");
      changes[key] = given.value;
    } else {
      if (given.case !== "boolParam") throw badSetting(key, "expected true or false");
      changes[key as (typeof FLAGS)[number]] = given.value;
    }
  }
  return changes as Partial<Written>;
}

function levelOf(wanted: Written): LogLevel {
  const isWanted = (level: Written): boolean => [...FLAGS, VERBOSE].every((key) => isSame(level, wanted, key));
  const found = (Object.keys(LEVELS) as LogLevel[]).find((level) => isWanted(LEVELS[level]));
  if (found !== undefined) return found;
  const off = FLAGS.find((key) => !wanted[key]) ?? "log_info";
  const on = [...FLAGS.slice(FLAGS.indexOf(off) + 1), VERBOSE].find((key) => wanted[key as keyof Written]);
  throw badSetting(off, `false does not go with ${on}: lines are written from one level on`);
}

function isSame(left: Written, right: Written, key: string): boolean {
  return left[key as keyof Written] === right[key as keyof Written];
}
