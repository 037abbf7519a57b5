import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { LogSettingsRequestSchema, TraceSettingRequestSchema } from "#gen/inference/settings_pb";
import { StatorError } from "#lib/base/errors";
import { LOG_LEVELS, type LogDial, type LogLevel } from "#lib/host/log";
import { logSettings } from "./log-settings.ts";
import { type TraceSettings, traceSetting } from "./trace-settings.ts";

describe("log settings", () => {
  const set = (dial: LogDial, settings: Record<string, boolean | number | string> = {}) => {
    const values = Object.entries(settings).map(([key, value]) => {
      if (typeof value === "boolean") return [key, { parameterChoice: { case: "boolParam" as const, value } }];
      if (typeof value === "number") return [key, { parameterChoice: { case: "uint32Param" as const, value } }];
      return [key, { parameterChoice: { case: "stringParam" as const, value } }];
    });
    const request = create(LogSettingsRequestSchema, { settings: Object.fromEntries(values) });
    const told = Object.entries(logSettings(request, dial).settings ?? {});
    return Object.fromEntries(told.map(([key, { parameterChoice }]) => [key, parameterChoice?.value]));
  };

  test.each(LOG_LEVELS)("what the level %s is told as sets it again", (level) => {
    const told = set({ level });
    for (const other of LOG_LEVELS) {
      const dial = { level: other };
      expect(set(dial, told as Record<string, boolean | number>)).toEqual(told);
      expect(dial.level).toBe(level);
    }
  });

  test.each<[LogLevel, Record<string, boolean | number>, LogLevel]>([
    ["info", { log_verbose_level: 1 }, "debug"],
    ["trace", { log_verbose_level: 0 }, "info"],
    ["info", { log_info: false }, "warn"],
    ["info", { log_info: false, log_warning: false }, "error"],
    ["error", { log_info: true, log_warning: true, log_verbose_level: 2 }, "trace"],
    ["error", { log_error: false }, "silent"],
  ])("from %s %j leads to %s", (from, settings, to) => {
    const dial = { level: from };
    set(dial, settings);
    expect(dial.level).toBe(to);
  });

  test.each<[Record<string, boolean | number | string>, string]>([
    [{ log_warning: false }, "log_warning: false does not go with log_info"],
    [{ log_info: false, log_verbose_level: 1 }, "log_info: false does not go with log_verbose_level"],
    [{ log_verbose_level: 3 }, "log_verbose_level: expected 0, 1"],
    [{ log_verbose_level: true }, "log_verbose_level: expected 0, 1"],
    [{ log_info: 1 }, "log_info: expected true or false"],
    [{ log_file: "/tmp/log" }, "log_file: cannot be set: lines go to standard error"],
    [{ log_format: "ISO8601" }, "log_format: cannot be set"],
    [{ log_warnings: true }, "log_warnings: there is no such setting; did you mean log_warning?"],
    [{ constructor: true }, "constructor: there is no such setting"],
  ])("%j is refused by its name, and nothing changes", (settings, message) => {
    const dial: LogDial = { level: "info" };
    expect(() => set(dial, settings)).toThrow(message);
    expect(() => set(dial, { log_error: true, ...settings })).toThrow(StatorError);
    expect(dial.level).toBe("info");
  });
});

describe("trace settings", () => {
  type Init = MessageInitShape<typeof TraceSettingRequestSchema>;
  const usual = { on: true, everyNth: 1 };
  const now = (change: Partial<TraceSettings> = {}): TraceSettings => ({
    ...{ dial: { ...usual }, usual, hasEndpoint: true, ...change },
  });
  const set = (settings: TraceSettings, init: Init) => {
    const knows = (model: string) => {
      if (model !== "m") throw new StatorError("MODEL_NOT_FOUND", { model });
    };
    const told = Object.entries(traceSetting(create(TraceSettingRequestSchema, init), settings, knows).settings ?? {});
    return Object.fromEntries(told.map(([key, { value }]) => [key, value]));
  };
  const value = (...values: string[]) => ({ value: values });
  const USUAL = { trace_level: ["TIMESTAMPS"], trace_rate: ["1"], trace_mode: ["opentelemetry"] };

  test("tells what there is, for a model too", () => {
    expect(set(now(), {})).toEqual(USUAL);
    expect(set(now(), { modelName: "m" })).toEqual(USUAL);
    expect(() => set(now(), { modelName: "n" })).toThrow(expect.objectContaining({ reason: "MODEL_NOT_FOUND" }));
  });

  test("turns the dial, and no value turns it back", () => {
    const settings = now();
    const changed = set(settings, { settings: { trace_level: value("OFF"), trace_rate: value("100") } });
    expect(changed).toEqual({ ...USUAL, trace_level: ["OFF"], trace_rate: ["100"] });
    expect(settings.dial).toEqual({ on: false, everyNth: 100 });
    expect(set(settings, { settings: { trace_level: value(), trace_mode: value("opentelemetry") } })).toEqual({
      ...{ ...USUAL, trace_rate: ["100"] },
    });
    expect(set(settings, { settings: { trace_rate: value() } })).toEqual(USUAL);
  });

  test.each<[Init, string]>([
    [{ settings: { trace_level: value("TENSORS") } }, "trace_level: tensors are not traced"],
    [{ settings: { trace_level: value("MAX") } }, "trace_level: expected OFF or TIMESTAMPS"],
    [{ settings: { trace_level: value("TIMESTAMPS", "TENSORS") } }, "trace_level: expected one value"],
    [{ settings: { trace_rate: value("0") } }, "trace_rate: expected a whole number"],
    [{ settings: { trace_rate: value("1e3") } }, "trace_rate: expected a whole number"],
    [{ settings: { trace_mode: value("triton") } }, "trace_mode: expected opentelemetry"],
    [{ settings: { trace_file: value("/tmp/t") } }, "trace_file: cannot be set"],
    [{ settings: { trace_count: value("-1") } }, "trace_count: cannot be set"],
    [{ settings: { trace_rates: value("1") } }, "trace_rates: there is no such setting; did you mean trace_rate?"],
    [{ settings: { trace_rate: value("7") }, modelName: "m" }, "trace_rate: is set for all models together"],
  ])("%j is refused by its name, and nothing changes", (init, message) => {
    const settings = now();
    expect(() => set(settings, init)).toThrow(message);
    const more = { trace_rate: value("9"), ...init.settings };
    expect(() => set(settings, { ...init, settings: more } as Init)).toThrow(message);
    expect(settings.dial).toEqual(usual);
  });

  test("nothing is traced where spans have nowhere to go", () => {
    const off = { on: false, everyNth: 1 };
    const settings = now({ dial: { ...off }, usual: off, hasEndpoint: false });
    expect(set(settings, { settings: { trace_level: value() } }).trace_level).toEqual(["OFF"]);
    expect(() => set(settings, { settings: { trace_level: value("TIMESTAMPS") } })).toThrow("say --trace-endpoint");
  });
});
